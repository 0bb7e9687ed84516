"""Decoding: whatever the bytes, the outcome is upright RGB pixels or a DecodeError, never anything else."""

from __future__ import annotations

import io
import random
import struct
import threading
import time
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from face_organizer.errors import DecodeError
from face_organizer.vision.decode import Pixels, content_digest, decode

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def picture(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    """Left half red, right half blue, with a little texture so that compressed data has a body."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = RED
    pixels[:, width // 2 :] = BLUE
    pixels[:, :, 1] = np.random.default_rng(0).integers(0, 60, (height, width))
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def read(data: bytes, pixels_max: int = 120_000_000, side_max_px: int = 2048) -> Pixels:
    return decode(data, pixels_max=pixels_max, side_max_px=side_max_px)


def png_declaring(width: int, height: int, body: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def refusal(data: bytes, **bounds: int) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        read(data, **bounds)
    return caught.value


FORMATS = {
    "jpeg": lambda: encoded(picture(), "JPEG", quality=90),
    "progressive jpeg": lambda: encoded(picture(), "JPEG", progressive=True),
    "grey jpeg": lambda: encoded(picture(mode="L"), "JPEG"),
    "png": lambda: encoded(picture(), "PNG"),
    "webp": lambda: encoded(picture(), "WEBP"),
    "bmp": lambda: encoded(picture(), "BMP"),
    "tiff": lambda: encoded(picture(), "TIFF"),
    "tiff lzw": lambda: encoded(picture(), "TIFF", compression="tiff_lzw"),
    "gif": lambda: encoded(picture(), "GIF"),
    "ppm": lambda: encoded(picture(), "PPM"),
    "mpo": lambda: encoded(picture(), "MPO", save_all=True, append_images=[picture()]),
    "cmyk jpeg": lambda: encoded(picture(mode="CMYK"), "JPEG"),
    "palette png": lambda: encoded(picture(mode="P"), "PNG"),
    "1-bit png": lambda: encoded(picture(mode="1"), "PNG"),
    "1-bit tiff": lambda: encoded(picture(mode="1"), "TIFF", compression="group4"),
    "alpha png": lambda: encoded(picture(mode="RGBA"), "PNG"),
    "grey alpha png": lambda: encoded(picture(mode="LA"), "PNG"),
    "alpha webp": lambda: encoded(picture(mode="RGBA"), "WEBP"),
    "16-bit png": lambda: encoded(Image.fromarray(np.full((48, 64), 40_000, np.uint16)), "PNG"),
    "16-bit tiff": lambda: encoded(Image.fromarray(np.full((48, 64), 40_000, np.uint16)), "TIFF"),
    "float tiff": lambda: encoded(Image.fromarray(np.full((48, 64), 0.5, np.float32)), "TIFF"),
    "animated gif": lambda: encoded(picture(), "GIF", save_all=True, append_images=[picture().rotate(90)] * 3),
    "animated webp": lambda: encoded(picture(), "WEBP", save_all=True, append_images=[picture().rotate(90)] * 3),
}
if features.check("avif"):
    FORMATS["avif"] = lambda: encoded(picture(), "AVIF")


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
def test_every_format_and_mode_becomes_rgb_of_its_size(make: Callable[[], bytes]) -> None:
    decoded = read(make())

    assert decoded.pixels.shape == (48, 64, 3)
    assert decoded.pixels.dtype == np.uint8
    assert not decoded.pixels.flags.writeable
    assert decoded.pixels.flags.c_contiguous
    assert (decoded.width_px, decoded.height_px) == (64, 48)
    assert decoded.pixels.max() > 60


@pytest.mark.parametrize(
    "name", ["jpeg", "png", "webp", "bmp", "tiff", "gif", "cmyk jpeg", "palette png", "animated gif"]
)
def test_red_stays_red_and_left(name: str) -> None:
    pixels = read(FORMATS[name]()).pixels.astype(int)

    left, right = pixels[:, 4:24].mean(axis=(0, 1)), pixels[:, 40:60].mean(axis=(0, 1))
    assert left[0] > 200 > 90 > left[2]
    assert right[2] > 200 > 90 > right[0]


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", *(["AVIF"] if features.check("avif") else [])])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_the_declared_size_turned_with_it(format_: str, orientation: int) -> None:
    upright = Image.new("RGB", (96, 64), GREEN)
    upright.paste(RED, (0, 0, 48, 32))  # the red corner is top left of the upright image
    transposes = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(transposes[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, format_, exif=exif)

    decoded = read(data)

    assert decoded.pixels.shape == (64, 96, 3)
    assert (decoded.width_px, decoded.height_px) == (96, 64)
    assert decoded.pixels[16, 24].tolist() == pytest.approx(RED, abs=12)
    assert decoded.pixels[48, 24].tolist() == pytest.approx(GREEN, abs=12)
    assert decoded.pixels[16, 72].tolist() == pytest.approx(GREEN, abs=12)


def test_a_reduced_decode_keeps_the_original_size_on_record_also_when_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(800, 600), "JPEG", exif=exif)

    decoded = read(data, side_max_px=200)

    assert (decoded.width_px, decoded.height_px) == (600, 800)
    assert decoded.pixels.shape == (200, 150, 3)


def test_a_large_jpeg_is_not_decoded_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("RGB", (4000, 3000), RED), "JPEG")
    sizes: list[tuple[int, int]] = []
    load = Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda image: (sizes.append(image.size), load(image))[1])

    decoded = read(data, side_max_px=2048)

    assert sizes
    assert max(sizes) == (2000, 1500)
    assert decoded.pixels.shape == (1500, 2000, 3)
    assert (decoded.width_px, decoded.height_px) == (4000, 3000)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF", "TIFF"])
@pytest.mark.parametrize(("width", "height"), [(3000, 20), (20, 3000), (301, 299), (3000, 1)])
def test_the_longer_side_never_exceeds_the_bound(format_: str, width: int, height: int) -> None:
    decoded = read(encoded(picture(width, height), format_), side_max_px=256)

    assert 230 <= max(decoded.pixels.shape[:2]) <= 256
    assert min(decoded.pixels.shape[:2]) >= 1
    assert (decoded.width_px, decoded.height_px) == (width, height)


def test_a_small_image_is_not_enlarged() -> None:
    assert read(encoded(picture(30, 20), "JPEG"), side_max_px=2048).pixels.shape == (20, 30, 3)


def test_transparent_parts_become_white() -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 4, 8))

    pixels = read(encoded(image, "PNG")).pixels

    assert pixels[4, 1].tolist() == list(RED)
    assert pixels[4, 6].tolist() == list(WHITE)


def test_a_transparent_palette_colour_becomes_white() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30, 255, 0, 0])
    image.paste(1, (0, 0, 4, 8))

    pixels = read(encoded(image, "PNG", transparency=0)).pixels

    assert pixels[4, 1].tolist() == list(RED)
    assert pixels[4, 6].tolist() == list(WHITE)


def test_sixteen_bit_greys_keep_their_gradation() -> None:
    ramp = np.repeat(np.linspace(0, 4095, 64).astype(np.uint16)[None], 48, axis=0)

    pixels = read(encoded(Image.fromarray(ramp), "PNG")).pixels

    assert pixels[0, 0, 0] == 0
    assert pixels[0, 63, 0] == 255
    assert len(np.unique(pixels)) == 64


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]

    for format_ in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], format_, save_all=True, append_images=frames[1:])
        assert read(data).pixels[8, 8].tolist() == pytest.approx(RED, abs=4), format_


# refusals


def test_an_empty_file_is_refused_as_unfinished() -> None:
    error = refusal(b"")

    assert str(error) == "the file is empty"
    assert error.unfinished


CUTTABLE = ("jpeg", "progressive jpeg", "png", "webp", "bmp", "gif", "ppm", "tiff")


@pytest.mark.parametrize("name", [*CUTTABLE, *(["avif"] if features.check("avif") else [])])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_a_truncated_image_is_refused_with_its_reason_and_as_unfinished(name: str, share: float) -> None:
    data = FORMATS[name]()

    error = refusal(data[: int(len(data) * share) + 1])

    assert error.unfinished
    assert "truncated" in str(error) or name == "tiff"  # a TIFF does not say how long it is


def test_a_file_of_the_right_size_but_half_written_is_unfinished() -> None:
    data = encoded(picture(640, 480), "JPEG")

    assert refusal(data[: len(data) // 2] + bytes(len(data) - len(data) // 2)).unfinished
    assert refusal(bytes(len(data))).unfinished


def test_a_stranger_is_refused_and_its_beginning_shown() -> None:
    text = refusal(b"%PDF-1.7 and so on" * 100)
    binary = refusal(b"\x7fELF\x02\x01\x01\x00" * 100)

    assert str(text) == 'not an image we read: the file begins with "%PDF-1.7 and"'
    assert "7f 45 4c 46" in str(binary)
    assert not text.unfinished
    assert not binary.unfinished


def test_formats_outside_the_list_are_refused_although_pillow_reads_them() -> None:
    for format_ in ("ICO", "TGA", "PCX", "EPS", "PDF", "SGI", "JPEG2000"):
        assert "not an image we read" in str(refusal(encoded(picture(), format_))), format_


def test_a_png_claiming_400_megapixels_is_refused_fast() -> None:
    data = png_declaring(20_000, 20_000, b"\0" * 48_000)

    started = time.perf_counter()
    error = refusal(data)

    assert time.perf_counter() - started < 0.2
    assert str(error) == "declares 400 megapixels, more than the allowed 120"
    assert not error.unfinished


def test_the_bound_on_pixels_is_ours_not_pillows() -> None:
    data = encoded(picture(100, 100), "PNG")

    assert read(data, pixels_max=10_000).width_px == 100
    assert "0.009" in str(refusal(data, pixels_max=9_000))
    assert "truncated" in str(refusal(png_declaring(20_000, 20_000), pixels_max=500_000_000))


def test_a_heic_image_is_named_when_it_cannot_be_read() -> None:
    data = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(100)

    assert "HEIC" in str(refusal(data))


def corrupt_exif(payload: bytes) -> bytes:
    data = FORMATS["jpeg"]()
    segment = b"Exif\x00\x00" + payload
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"garbage",
        b"II*\x00\xff\xff\xff\xff",
        b"II*\x00\x08\x00\x00\x00\xff\xff" + b"\x12\x01\x03\x00\xff\xff\xff\xff\x06\x00\x00\x00" * 3,
        b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x02\x00\x01\x00\x00\x00x\x00\x00\x00\x00\x00\x00\x00",
        b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x63\x00\x00\x00\x00\x00\x00\x00",
        b"MM\x00*\x00\x00\x00\x08\x00\x01\x87\x69\x00\x04\x00\x00\x00\x01\x00\x00\x00\x08\x00\x00\x00\x08",
    ],
    ids=["empty", "garbage", "far offset", "many tags", "text", "orientation 99", "nested in itself"],
)
def test_corrupt_exif_does_not_refuse_an_image_nor_warn(payload: bytes) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decoded = read(corrupt_exif(payload))

    assert decoded.pixels.shape == (48, 64, 3)
    assert not caught


def malformed(data: bytes) -> dict[str, bytes]:
    """One good image, spoilt in many ways: cut, flipped, zeroed, filled with noise, behind another header."""
    rng = random.Random(7)
    cases = {f"cut at {share}": data[: int(len(data) * share)] for share in (0.01, 0.1, 0.3, 0.5, 0.7, 0.95, 0.99)}
    for seed in range(8):
        flipped = bytearray(data)
        for _ in range(1 + 4 * seed):
            flipped[rng.randrange(len(flipped) if seed % 2 else min(200, len(flipped)))] ^= 1 << rng.randrange(8)
        cases[f"bits flipped {seed}"] = bytes(flipped)
    third = len(data) // 3
    cases["zeros inside"] = data[:third] + bytes(third) + data[2 * third :]
    cases["zeros at the end"] = data[:third] + bytes(len(data) - third)
    cases["noise after the header"] = data[:40] + rng.randbytes(len(data))
    cases["ones after the header"] = data[:40] + b"\xff" * 500
    cases["behind a PNG header"] = FORMATS["png"]()[:8] + data[8:]
    cases["behind a JPEG header"] = FORMATS["jpeg"]()[:20] + data
    cases["twice"] = data * 2
    return cases


@pytest.mark.parametrize("name", FORMATS)
def test_a_malformed_image_gives_pixels_or_a_decode_error(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    for case, data in malformed(FORMATS[name]()).items():
        try:
            decoded = read(data, pixels_max=4_000_000)
        except DecodeError:
            continue
        assert decoded.pixels.shape[2] == 3, case
    if "tiff" not in name:  # libtiff writes to stderr by itself
        assert capfd.readouterr() == ("", "")


SIZES = [(0, 0), (0, 5), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1), (65_535, 65_535), (1, 1)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_odd_declared_sizes_are_refused(width: int, height: int) -> None:
    bmp = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    gif = b"GIF89a" + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF) + b"\x00\x00\x00\x3b"
    ppm = b"P6 %d %d 255\n" % (width, height)

    for data in (png_declaring(width, height), bmp, gif, ppm):
        assert str(refusal(data))


def test_pillow_lacking_memory_is_a_decode_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError

    data = FORMATS["png"]()
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refuse)

    assert "memory" in str(refusal(data))


def test_decoding_in_many_threads_gives_the_same_pixels_and_no_warning() -> None:
    inputs = [corrupt_exif(b"garbage"), *(FORMATS[name]() for name in ("jpeg", "png", "gif", "webp"))]
    expected = [read(data).pixels for data in inputs]
    wrong: list[object] = []

    def work() -> None:
        try:
            for _ in range(20):
                wrong.extend(
                    1
                    for data, want in zip(inputs, expected, strict=True)
                    if not np.array_equal(read(data).pixels, want)
                )
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong


def test_equal_bytes_have_equal_digests_of_16_bytes() -> None:
    assert content_digest(b"a") == content_digest(b"a")
    assert content_digest(b"a") != content_digest(b"b")
    assert len(content_digest(b"")) == 16
