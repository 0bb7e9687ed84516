"""Images nobody would take by mistake, made anew each time: cut, flipped, lying about their size, or only unusual."""

from __future__ import annotations

import functools
import io
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps, features

RED, BLUE = (250, 0, 0), (0, 0, 250)
WIDTH, HEIGHT = 160, 120


@dataclass(frozen=True, slots=True)
class Case:
    """data: the file. says: what the sentence of its refusal must match; None where it must be read: an odd but valid
    image, left half `left`, right half `right`; "" where both may happen (a flipped bit may hit only a pixel)."""

    data: bytes
    says: str | None = None
    left: tuple[int, int, int] = RED
    right: tuple[int, int, int] = BLUE


def picture(mode: str = "RGB", width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Left half red, right half blue, a little noise in the green so that compressed data has a body."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = RED, BLUE
    pixels[:, :, 1] = np.random.default_rng(5).integers(0, 30, (height, width))
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


@functools.cache
def heic_is_there() -> bool:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


@functools.cache
def seeds() -> dict[str, bytes]:
    """One good image of every format we read, by the ending of its name."""
    made = {
        "jpg": encoded(picture(), "JPEG", quality=85),
        "progressive.jpg": encoded(picture(), "JPEG", progressive=True),
        "png": encoded(picture(), "PNG"),
        "gif": encoded(picture(), "GIF"),
        "webp": encoded(picture(), "WEBP"),
        "lossless.webp": encoded(picture(), "WEBP", lossless=True),
        "bmp": encoded(picture(), "BMP"),
        "tif": encoded(picture(), "TIFF"),
        "lzw.tif": encoded(picture(), "TIFF", compression="tiff_lzw"),
        "jpeg.tif": encoded(picture(), "TIFF", compression="jpeg"),
        "ppm": encoded(picture(), "PPM"),
        "mpo": encoded(picture(), "MPO", save_all=True, append_images=[picture()]),
    }
    if features.check("avif"):
        made["avif"] = encoded(picture(), "AVIF", speed=10)
    if heic_is_there():
        made["heic"] = encoded(picture(), "HEIF")
    return made


@functools.cache
def corpus() -> dict[str, Case]:
    """{file name: case}, the same every time. Not to be changed: it is made once."""
    cases: dict[str, Case] = {}
    for part in (_cut, _flipped, _zeroed, _strangers, _bombs, _sizes, _metadata, _odd):
        for name, case in part():
            assert name not in cases, name
            cases[name] = case
    return cases


def _cut() -> Iterator[tuple[str, Case]]:
    for ending, data in seeds().items():
        for share in (0.01, 0.05, 0.2, 0.5, 0.8, 0.97):
            whole = share > 0.9 or ending == "mpo"  # an MPO's first image may be whole
            says = "" if whole else "truncated|damaged|not an image"
            yield f"cut-{share:.2f}.{ending}", Case(data[: 1 + int(share * len(data))], says)


def _flipped() -> Iterator[tuple[str, Case]]:
    for ending, data in seeds().items():
        for seed in range(6):
            rng = random.Random(f"{ending}{seed}")
            spoilt = bytearray(data)
            reach = len(data) if seed % 2 else min(len(data), 300)
            for _ in range(2 ** (seed + 1)):
                spoilt[rng.randrange(reach)] ^= 1 << rng.randrange(8)
            yield f"flipped-{seed}.{ending}", Case(bytes(spoilt), "")


def _zeroed() -> Iterator[tuple[str, Case]]:
    for ending, data in seeds().items():
        middle = len(data) // 2
        yield f"64-zeros.{ending}", Case(data[: middle - 32] + bytes(64) + data[middle + 32 :], "")
        yield f"only-zeros.{ending}", Case(bytes(len(data)), "begins with zeros")
        yield f"begins-with-zeros.{ending}", Case(bytes(64) + data[64:], "not an image|damaged|truncated")
    jpeg = seeds()["jpg"]
    yield "half-and-an-end.jpg", Case(jpeg[: len(jpeg) // 2] + b"\xff\xd9", "")
    yield "half-then-zeros.jpg", Case(jpeg[: len(jpeg) // 2] + bytes(len(jpeg) // 2), "truncated|damaged")


def _strangers() -> Iterator[tuple[str, Case]]:
    stranger = "not an image we read: the file begins with"
    yield "text.jpg", Case(b"Dear diary, today I was a photo.\n" * 50, stranger)
    yield "page.jpg", Case(b"<!DOCTYPE html><html><body>404</body></html>" * 20, stranger)
    yield "archive.jpg", Case(b"PK\x03\x04\x14\x00" + bytes(range(256)), stranger)
    yield "paper.jpg", Case(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"obj " * 99, stranger)
    yield "film.jpg", Case(b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + bytes(200), stranger)
    yield "program.png", Case(b"\x7fELF\x02\x01\x01" + b"\x01" * 400, stranger)
    yield "drawing.png", Case(b'<svg xmlns="http://www.w3.org/2000/svg"/>' * 9, stranger)
    yield "script.gif", Case(b"#!/bin/sh\nrm -rf /\n" * 9, stranger)
    yield "sound.webp", Case(b"RIFF\x24\x08\x00\x00WAVEfmt " + b"\x10" * 900, stranger)
    yield "noise.jpg", Case(random.Random(3).randbytes(5000), stranger)
    for format_ in ("ICO", "TGA", "PCX", "EPS", "PDF", "SGI", "JPEG2000"):
        yield f"a-{format_.lower()}.png", Case(encoded(picture(), format_), stranger)
    for ending in ("png", "webp", "gif"):
        yield f"a-{ending}-named.jpg", Case(seeds()[ending])
    yield "a-jpeg-named.png", Case(seeds()["jpg"])
    yield "jpeg-behind-a-png-header.png", Case(seeds()["png"][:8] + seeds()["jpg"], "damaged|truncated")
    yield "png-behind-a-jpeg-header.jpg", Case(seeds()["jpg"][:4] + seeds()["png"], "damaged|truncated")
    yield "one-byte.jpg", Case(b"\xff", "not an image|truncated|damaged")
    yield "empty.jpg", Case(b"", "the file is empty")


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, body: bytes = b"", *, depth: int = 8, colour: int = 2, before: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def tiff(*tags: tuple[int, int, int, int], body: bytes = b"", following: int = 0) -> bytes:
    """A little-endian TIFF of one directory: tags (number, type, count, value), whose body begins at 8 + 6 + 12 n."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", following) + body


def tiff_declaring(width: int, height: int, rows_per_strip: int, strip_bytes: int, compression: int = 1) -> bytes:
    body_at = 8 + 6 + 12 * 9
    return tiff(
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, compression),
        (262, 3, 1, 1),
        (273, 4, 1, body_at),
        (277, 3, 1, 1),
        (278, 4, 1, rows_per_strip),
        (279, 4, 1, strip_bytes),
        body=b"\x11" * 500,
    )


def gif(width: int, height: int, *frames: tuple[int, int, int, int], before: bytes = b"") -> bytes:
    """Frames (left, top, width, height) on a canvas, each with a body of one code."""
    images = b"".join(b"\x2c" + struct.pack("<HHHHB", *frame, 0) + b"\x02\x02\x44\x01\x00" for frame in frames)
    palette = bytes((0, 0, 0, 255, 255, 255))
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + palette + before + images + b";"


def bmp(width: int, height: int, bits: int = 24, compression: int = 0) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 100, 0, 0, 54) + header + bytes(100)


def webp(width: int, height: int) -> bytes:
    """An extended WebP whose canvas is declared, with the body of a small one."""
    body = seeds()["webp"][12:]
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    content = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas + body
    return b"RIFF" + struct.pack("<I", len(content)) + content


def scans(count: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """A progressive JPEG whose last scan comes again and again: each is a pass over all pixels."""
    data = encoded(picture(width=width, height=height), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def jpeg_declaring(width: int, height: int) -> bytes:
    data = bytearray(seeds()["jpg"])
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def _bombs() -> Iterator[tuple[str, Case]]:
    too_large = "declares .* megapixels, more than the allowed"
    yield "bomb-400-megapixels.png", Case(png(20_000, 20_000, bytes(48_000)), too_large)
    yield "bomb-16-bit.png", Case(png(15_000, 15_000, depth=16), too_large)
    yield "bomb-1-bit.png", Case(png(60_000, 60_000, depth=1, colour=0), too_large)
    yield "bomb.gif", Case(gif(65_535, 65_535, (0, 0, 65_535, 65_535)), too_large)
    yield "bomb-frame.gif", Case(gif(10, 10, (0, 0, 65_535, 65_535)), f"{too_large}|truncated|damaged")
    yield "bomb-second-frame.gif", Case(gif(10, 10, (0, 0, 10, 10), (0, 0, 65_535, 65_535)), "")
    yield "bomb.jpg", Case(jpeg_declaring(65_000, 65_000), too_large)
    yield "bomb-just-allowed.jpg", Case(jpeg_declaring(10_900, 10_900), "")
    yield "bomb.bmp", Case(bmp(40_000, 40_000), too_large)
    yield "bomb-runs.bmp", Case(bmp(40_000, 40_000, bits=8, compression=1), too_large)
    yield "bomb.webp", Case(webp(16_384, 16_384), f"{too_large}|damaged|truncated")
    yield "bomb.ppm", Case(b"P6 90000 90000 255\n" + bytes(100), too_large)
    yield "bomb-strip.tif", Case(tiff_declaring(100, 100, 4_000_000_000, 500), "")
    yield "bomb-strip-bytes.tif", Case(tiff_declaring(100, 100, 100, 4_000_000_000), "")
    yield "bomb-packed-strip.tif", Case(tiff_declaring(10_000, 10_000, 10_000, 500, compression=5), "damaged|truncated")
    yield "bomb.tif", Case(tiff_declaring(4_000_000_000, 4_000_000_000, 1, 500), too_large)
    yield "bomb-scans.jpg", Case(scans(5000), "more than 100 scans")
    inflated = zlib.compress(bytes(50_000_000), 6)
    good = zlib.compress(b"\x00" + bytes(30))
    for kind, content in {
        b"zTXt": b"Comment\x00\x00" + inflated,
        b"iTXt": b"Comment\x00\x01\x00\x00\x00" + inflated,
        b"iCCP": b"profile\x00\x00" + inflated,
    }.items():
        yield f"bomb-{kind.decode()}.png", Case(png(10, 1, good, before=chunk(kind, content)), "texts and profiles")
    text = zlib.compress(bytes(1_000_000), 6)
    texts = b"".join(chunk(b"zTXt", b"k%d\x00\x00" % n + text) for n in range(70))
    yield "bomb-many-zTXt.png", Case(png(10, 1, good, before=texts), "texts and profiles")
    yield "bomb-chunks.png", Case(png(10, 1, good, before=chunk(b"teSt", b"") * 400_000), "would not end")


def _sizes() -> Iterator[tuple[str, Case]]:
    for width, height in ((0, 0), (0, 50), (50, 0)):
        sides = f"{width}x{height}"
        yield f"{sides}.png", Case(png(width, height), "damaged|truncated|not an image")
        yield f"{sides}.gif", Case(gif(width, height), "damaged|truncated|not an image")
        yield f"{sides}.bmp", Case(bmp(width, height), "damaged|truncated|not an image")
        yield f"{sides}.jpg", Case(jpeg_declaring(width, height), "damaged|truncated|not an image")
        yield f"{sides}.ppm", Case(b"P6 %d %d 255\n" % (width, height), "damaged|truncated|not an image")
        yield f"{sides}.tif", Case(tiff_declaring(width, height, 1, 500), "damaged|truncated|not an image")
    yield "negative.bmp", Case(bmp(-50, 50), "damaged|truncated|declares")
    yield "far-too-wide.png", Case(png(2**31 - 1, 1), "declares|damaged|truncated")
    yield "far-too-high.png", Case(png(1, 2**31 - 1), "declares|damaged|truncated")


def with_exif(payload: bytes) -> bytes:
    """The JPEG seed with this EXIF in its first segment."""
    data = seeds()["jpg"]
    content = b"Exif\x00\x00" + payload
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + data[2:]


def _metadata() -> Iterator[tuple[str, Case]]:
    orientation = (0x0112, 3, 1, 9)
    yield "orientation-9.jpg", Case(with_exif(tiff(orientation)))
    yield "orientation-65535.jpg", Case(with_exif(tiff((0x0112, 3, 1, 65_535))))
    yield "orientation-as-text.jpg", Case(with_exif(tiff((0x0112, 2, 4, 0x36363636))))
    yield "directory-in-itself.jpg", Case(with_exif(tiff((0x8769, 4, 1, 8), following=8)))
    yield "directories-in-a-ring.jpg", Case(with_exif(tiff((0x8769, 4, 1, 26), body=tiff((0x8769, 4, 1, 8))[8:])))
    yield "directory-far-away.jpg", Case(with_exif(b"II*\x00\xff\xff\xff\xff"))
    yield "huge-tag.jpg", Case(with_exif(tiff((0x010F, 2, 0xFFFFFFFF, 8))))
    yield "many-huge-tags.jpg", Case(with_exif(tiff(*((t, 1, 60_000, 8) for t in range(3000)), body=bytes(20_000))))
    yield "no-exif-at-all.jpg", Case(with_exif(b""))
    yield "exif-of-noise.jpg", Case(with_exif(random.Random(4).randbytes(60_000)))
    piece = b"\xff\xe1\x00\x09Exif\x00\x00x"
    yield "exif-in-a-million-pieces.jpg", Case(seeds()["jpg"][:2] + piece * 400_000 + seeds()["jpg"][2:], "not end")
    yield "mpo-in-itself.jpg", Case(_mpo_of(0), "")
    yield "mpo-far-away.jpg", Case(_mpo_of(0x7FFFFFFF), "")
    for ending in ("jpg", "png", "webp", "tif"):
        format_ = {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper())
        yield (
            f"profile-of-noise.{ending}",
            Case(encoded(picture(), format_, icc_profile=random.Random(1).randbytes(999))),
        )
    huge_text = chunk(b"tEXt", b"Comment\x00" + b"x" * 900_000)
    rows = zlib.compress(b"".join(b"\x00" + bytes(RED) * 80 + bytes(BLUE) * 80 for _ in range(120)))
    yield "long-comment.png", Case(png(160, 120, rows, before=huge_text))
    many_tags = tiff(*((tag, 1, 100_000, 8) for tag in range(40_000, 60_000)), body=bytes(100_000))
    yield "many-huge-tags.tif", Case(many_tags, "damaged|truncated|not end")
    yield "directory-in-itself.tif", Case(tiff((256, 4, 1, 10), (257, 4, 1, 10), following=8), "damaged|truncated")


def _mpo_of(offset: int) -> bytes:
    data = bytearray(seeds()["mpo"])
    at = data.index(b"MPF\x00") + 4
    entry = data.index(b"\xb0", at)  # the tag of the list of images, 0xB002
    for place in range(entry, min(entry + 120, len(data) - 4), 16):
        data[place + 8 : place + 12] = struct.pack("<I", offset)
    return bytes(data)


def _odd() -> Iterator[tuple[str, Case]]:
    """Valid, and not what a camera writes."""
    dark, light = (0, 0, 0), (255, 255, 255)
    yield "cmyk.jpg", Case(encoded(picture("CMYK"), "JPEG"))
    yield "ycck.jpg", Case(ycck())
    yield "cmyk.tif", Case(encoded(picture("CMYK"), "TIFF"))
    sixteen = np.zeros((HEIGHT, WIDTH), np.uint16)
    sixteen[:, WIDTH // 2 :] = 40_000
    yield "16-bit.png", Case(encoded(Image.fromarray(sixteen), "PNG"), None, dark, light)
    yield "16-bit.tif", Case(encoded(Image.fromarray(sixteen), "TIFF"), None, dark, light)
    rows = b"".join(b"\x00" + b"\xfa\x00\x00\x00\x00\x00" * 80 + b"\x00\x00\x00\x00\xfa\x00" * 80 for _ in range(120))
    yield "16-bit-rgb.png", Case(png(160, 120, zlib.compress(rows), depth=16))
    yield "1-bit.png", Case(encoded(_halves(), "PNG"), None, dark, light)
    yield "1-bit.tif", Case(encoded(_halves(), "TIFF", compression="group4"), None, dark, light)
    yield "palette.png", Case(encoded(picture("P"), "PNG"))
    palette = Image.new("P", (WIDTH, HEIGHT), 0)
    palette.putpalette([*BLUE, *RED])
    palette.paste(1, (0, 0, WIDTH // 2, HEIGHT))
    yield "palette-transparent.png", Case(encoded(palette, "PNG", transparency=0), None, RED, light)
    yield "palette-transparent.gif", Case(encoded(palette, "GIF", transparency=0), None, RED, light)
    alpha = picture("RGBA")
    alpha.paste((9, 9, 9, 0), (WIDTH // 2, 0, WIDTH, HEIGHT))
    yield "alpha.png", Case(encoded(alpha, "PNG"), None, RED, light)
    yield "alpha.webp", Case(encoded(alpha, "WEBP", lossless=True), None, RED, light)
    yield "alpha.tif", Case(encoded(alpha, "TIFF"), None, RED, light)
    yield "grey-alpha.png", Case(encoded(alpha.convert("LA"), "PNG"), None, (75, 75, 75), light)
    yield "grey.jpg", Case(encoded(_halves().convert("L"), "JPEG"), None, dark, light)
    others = [Image.new("RGB", (WIDTH, HEIGHT), "lime")] * 3
    for format_ in ("GIF", "WEBP", "PNG"):
        data = encoded(picture(), format_, save_all=True, append_images=others)
        yield f"animated.{format_.lower()}", Case(data)
    yield "several.tif", Case(encoded(picture(), "TIFF", save_all=True, append_images=others))
    yield "twice.jpg", Case(seeds()["jpg"] * 2)
    yield "with-an-archive-behind.jpg", Case(seeds()["jpg"] + b"PK\x03\x04" * 500)
    yield "arithmetic-free.jpg", Case(encoded(picture(), "JPEG", optimize=True, subsampling=0))
    yield "float.tif", Case(encoded(Image.fromarray(sixteen.astype(np.float32)), "TIFF"), None, dark, light)


def _halves() -> Image.Image:
    image = Image.new("1", (WIDTH, HEIGHT), 0)
    image.paste(1, (WIDTH // 2, 0, WIDTH, HEIGHT))
    return image


def ycck() -> bytes:
    """A CMYK JPEG whose first three channels are YCbCr, as Photoshop writes them: inverted, and told by its marker."""
    cmy = ImageOps.invert(picture())
    channels = [*cmy.convert("YCbCr").split(), Image.new("L", cmy.size, 255)]
    data = bytearray(encoded(Image.merge("CMYK", [ImageOps.invert(channel) for channel in channels]), "JPEG"))
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)
