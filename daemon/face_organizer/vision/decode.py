"""From bytes to upright RGB pixels, or a sentence that says why not.

Room:    vision (thinks)
Imports: errors, types, vision.bounded, numpy, Pillow, stdlib

The bytes may be hostile. Only the formats listed here are looked at, the declared size is checked before anything is
decoded, the whole image is loaded (half a JPEG is refused), and whatever Pillow throws becomes a DecodeError.

Memory: decoding holds at most BYTES_PER_PIXEL_MAX for each declared pixel, and the bytes themselves a few times over.
"""

from __future__ import annotations

import functools
import hashlib
import re
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from face_organizer.errors import DecodeError
from face_organizer.types import UInt8
from face_organizer.vision.bounded import SCANS_MAX, BoundedBytes, scans_of

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "AVIF")
"""What we read, in Pillow's words; HEIF joins when pillow-heif is installed."""

BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n": "PNG",
    b"RIFF": "WebP",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"P5": "PPM",
    b"P6": "PPM",
}
"""A file that begins so and cannot be read is a damaged image, not a stranger."""

BYTES_PER_PIXEL_MAX = 16
"""Of each declared pixel while it is decoded: WebP 15, AVIF 9, with alpha 9, palettes 6, RGB 5, a JPEG 1 to 6."""

EXIF_BYTES_MAX = 1 << 16
"""Of the EXIF looked at for the orientation, which is among its first entries: one JPEG segment."""

SHORTFALL_MAX = 0.1
"""A JPEG's cheap half-size decode may miss side_max_px by this share: 4,000 px become 2,000 where 2,048 are allowed."""

RESIZABLE = frozenset({"L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"})
"""Modes that Pillow shrinks as they are; the others (palettes, 1 bit) become RGB first, big-endian 16 bits "I"."""

ORIENTATION_TAG = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the image upright; 5 to 8 swap width and height."""

QUIET = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
"""The entry of warnings.filters that silences Pillow's modules."""


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """An upright image. pixels: uint8 (h, w, 3) RGB, read-only; width_px, height_px: of the upright original."""

    pixels: UInt8
    width_px: int
    height_px: int


def content_digest(data: bytes) -> bytes:
    """The content's name: 16 bytes of BLAKE2b."""
    return hashlib.blake2b(data, digest_size=16).digest()


def decode(data: bytes, *, pixels_max: int, side_max_px: int) -> Pixels:
    """The first frame as upright RGB, its longer side at most side_max_px. Thread-safe.

    Transparent parts become white; greys of more than 8 bits are scaled so that their brightest value is white.
    Raises DecodeError with a sentence for a person, `unfinished` where the rest of the file may only not be there yet.
    """
    assert min(pixels_max, side_max_px) > 0, (pixels_max, side_max_px)
    if not data:
        raise DecodeError("the file is empty", unfinished=True)
    _hush_pillow()
    Image.MAX_IMAGE_PIXELS = pixels_max  # Pillow's own guard, for sizes that a header hides (tiles, frames)
    try:
        if data.startswith(b"\xff\xd8\xff") and scans_of(data) > SCANS_MAX:
            raise DecodeError(f"damaged JPEG: it has more than {SCANS_MAX} scans")
        with Image.open(BoundedBytes(data), formats=_formats()) as image:
            width_px, height_px = image.size
            if width_px * height_px > pixels_max:
                raise Image.DecompressionBombError(f"({width_px * height_px} pixels)")
            return _pixels(image, side_max_px)
    except DecodeError:
        raise
    except Exception as error:  # whatever a decoder of hostile bytes throws is about the bytes
        raise _refusal(data, error, pixels_max) from error


def orientation_of(head: bytes) -> int:
    """The EXIF orientation 1..8 of an image, from the beginning of its file; 1 where it cannot be read."""
    _hush_pillow()
    try:
        with Image.open(BoundedBytes(head), formats=_formats()) as image:
            return _orientation(image)
    except Exception:  # hostile or cut bytes
        return 1


def refuse_stranger(data: bytes) -> None:
    """Raises DecodeError for what does not even begin like an image; says nothing of the rest."""
    if not data:
        raise DecodeError("the file is empty")
    if not _kind(data):
        raise DecodeError(f"not an image we read: the file begins with {_shown(data[:12])}")


def _pixels(image: Image.Image, side_max_px: int) -> Pixels:
    width_px, height_px = image.size
    shrink = min(1.0, side_max_px / max(image.size))
    if shrink < 1:
        image.draft("RGB", _scaled(image.size, shrink * (1 - SHORTFALL_MAX)))
    image.load()
    orientation = _orientation(image)  # after load: a TIFF comes out upright, its tag removed
    shrink = min(1.0, side_max_px / max(image.size))
    upright = _rgb(_shrunk(image, shrink) if shrink < 1 else image)
    if orientation in TURNS:
        upright = upright.transpose(TURNS[orientation])
    if orientation >= 5:
        width_px, height_px = height_px, width_px
    pixels = np.asarray(upright)
    pixels.setflags(write=False)
    return Pixels(pixels, width_px, height_px)


def _shrunk(image: Image.Image, shrink: float) -> Image.Image:
    if image.mode not in RESIZABLE:
        image = image.convert("I") if image.mode.startswith("I;16") else _rgb(image)
    gap = None if image.mode == "I;16" else 2.0  # Pillow has no quick reduction of 16 bits
    return image.resize(_scaled(image.size, shrink), Image.Resampling.BILINEAR, reducing_gap=gap)


def _scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation 1..8; 1 where there is none or it cannot be read: no reason to refuse an image."""
    try:
        if len(image.info.get("exif", b"")) > EXIF_BYTES_MAX:
            image.info["exif"] = image.info["exif"][:EXIF_BYTES_MAX]
        orientation = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # hostile bytes again
        return 1
    return orientation if isinstance(orientation, int) and orientation in TURNS else 1


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB: 16-bit, int and float greys scaled to their brightest value, transparency on white."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0, neginf=0)
        grey = np.clip(grey * (255 / max(float(grey.max()), 1e-9)), 0, 255)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        transparent = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(transparent, mask=transparent.getchannel("A"))
        return white
    return image.convert("RGB")


@functools.cache
def _formats() -> tuple[str, ...]:
    """The formats that this Pillow can read, of those we allow."""
    Image.init()
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        allowed: tuple[str, ...] = FORMATS
    else:
        register_heif_opener()
        allowed = (*FORMATS, "HEIF")
    return tuple(name for name in allowed if name in Image.OPEN)


def _hush_pillow() -> None:
    """Keep Pillow's warnings (odd EXIF, odd tags) to ourselves: the outcome says what matters.

    A filter for its modules, put in front again if somebody changed the filters since; warnings.catch_warnings is not
    thread-safe.
    """
    if warnings.filters[:1] != [QUIET]:
        warnings.filterwarnings("ignore", module=QUIET[3].pattern)


def _refusal(data: bytes, error: Exception, pixels_max: int) -> DecodeError:
    """The sentence for a person."""
    if isinstance(error, Image.DecompressionBombError):
        declared = re.search(r"(\d+) pixels", str(error))
        size = f"{int(declared[1]) / 1e6:.3g}" if declared else "too many"
        return DecodeError(f"declares {size} megapixels, more than the allowed {pixels_max / 1e6:g}")
    if isinstance(error, MemoryError):
        return DecodeError("decoding it needs more memory than there is")
    if not any(data[:4096]):
        return DecodeError("not an image: the file begins with zeros, as if still being written", unfinished=True)
    kind = _kind(data)
    if not kind:
        return DecodeError(f"not an image we read: the file begins with {_shown(data[:12])}")
    if kind == "HEIC" and "HEIF" not in _formats():
        return DecodeError("a HEIC image, which needs the extra [heic]: pip install 'face-organizer[heic]'")
    if _ends_early(data, kind) or re.search("truncated|not enough|end of file", str(error), re.IGNORECASE):
        return DecodeError(f"truncated {kind}: the file ends after {len(data):,} bytes", unfinished=True)
    if "MAX_TEXT" in str(error):
        return DecodeError(f"damaged {kind}: its texts and profiles unpack to more than Pillow allows")
    cause = "its header makes no sense" if isinstance(error, UnidentifiedImageError) else str(error) or repr(error)
    return DecodeError(f"damaged {kind}: {cause}", unfinished=kind == "TIFF")  # a TIFF does not say how long it is


def _kind(data: bytes) -> str:
    """The format whose beginning this is, or a beginning of that beginning; "" if none."""
    if data[4:8] == b"ftyp":
        return {b"avif": "AVIF", b"avis": "AVIF"}.get(data[8:12], "HEIC" if data[8:10] in (b"he", b"mi", b"ms") else "")
    if data.startswith(b"RIFF") and data[8:12] not in (b"WEBP", b""):
        return ""
    return next((kind for start, kind in BEGINNINGS.items() if data.startswith(start) or start.startswith(data)), "")


def _ends_early(data: bytes, kind: str) -> bool:
    """Is the format's own end missing? Asked only of files that could not be decoded."""
    tail = data[-65536:].rstrip(b"\0")
    match kind:
        case "JPEG":
            return not tail.endswith(b"\xff\xd9")
        case "PNG":
            return b"IEND" not in tail
        case "GIF":
            return not tail.endswith(b";")
        case "WebP":
            return int.from_bytes(data[4:8], "little") + 8 > len(data) or not tail
        case "BMP":
            return int.from_bytes(data[2:6], "little") > len(data) or not tail
        case "AVIF" | "HEIC":
            end = 0
            while end < len(data) and (size_bytes := int.from_bytes(data[end : end + 4])) >= 8:
                end += size_bytes  # a file is a row of boxes
            return end > len(data)
    return not tail


def _shown(start: bytes) -> str:
    """The first bytes of a file, as text where they are text."""
    return f'"{start.decode("ascii")}"' if start.isascii() and start.decode().isprintable() else start.hex(" ")
