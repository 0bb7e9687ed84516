"""Small pictures of faces and images, to be looked at.

Room:    vision (thinks)
Imports: types, vision.decode, numpy, cv2
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from face_organizer.types import UInt8
from face_organizer.vision.decode import decode

MARGIN = 0.35
"""Around a face, in sides of its box: hair and chin belong to what a person is known by."""

JPEG_QUALITY = 85


def face_thumbnail(data: bytes, box: Sequence[float], size_px: tuple[int, int], side_px: int, pixels_max: int) -> bytes:
    """A face and a margin, square, at most side_px wide, as JPEG.

    data: the file; box: x1 y1 x2 y2 in px of the upright original, whose width and height are size_px. The image is
    decoded no larger than that needs. Raises DecodeError.
    """
    reach_px = _reach_px(box)
    scale = min(1.0, side_px / (2 * reach_px))
    image = decode(data, pixels_max=pixels_max, side_max_px=max(side_px, math.ceil(max(size_px) * scale)))
    pixels = image.pixels
    across, down = pixels.shape[1] / image.width_px, pixels.shape[0] / image.height_px
    x, y = (box[0] + box[2]) / 2 * across, (box[1] + box[3]) / 2 * down
    return _as_jpeg(_square(pixels, x, y, reach_px * across), side_px)


def image_thumbnail(data: bytes, side_px: int, pixels_max: int) -> bytes:
    """A whole image, upright, its longer side at most side_px, as JPEG. Raises DecodeError."""
    return _as_jpeg(decode(data, pixels_max=pixels_max, side_max_px=side_px).pixels, side_px)


def _reach_px(box: Sequence[float]) -> float:
    """From the middle of a face to the edge of its picture."""
    return max(1.0, (0.5 + MARGIN) * max(box[2] - box[0], box[3] - box[1]))


def _square(pixels: UInt8, x: float, y: float, reach_px: float) -> UInt8:
    """The square around a point, moved into the image where it would leave it, smaller where it is too large."""
    height, width = pixels.shape[:2]
    side = max(1, min(round(2 * reach_px), height, width))
    left = min(max(0, round(x - side / 2)), width - side)
    top = min(max(0, round(y - side / 2)), height - side)
    return pixels[top : top + side, left : left + side]


def _as_jpeg(pixels: UInt8, side_px: int) -> bytes:
    height, width = pixels.shape[:2]
    shrink = min(1.0, side_px / max(height, width))
    if shrink < 1:
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done, pixels.shape
    return jpeg.tobytes()
