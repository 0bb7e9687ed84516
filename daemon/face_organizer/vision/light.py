"""Bring dark pictures into the light that the networks were trained in.

Room:    vision
Imports: types, numpy, cv2
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from face_organizer.types import UInt8

DARK_LEVEL = 128
"""A picture whose brightest hundredth is no brighter than this counts as dark; daylight reaches 200 and more."""

LIT_LEVEL = 240.0
"""What that brightest hundredth becomes."""

_SAMPLES = 1_000
"""Pixels that are asked how bright it is: all of them would cost as much as the detector."""


def lit(pixels: UInt8) -> UInt8:
    """The picture, brightened by one factor where it is dark, else itself. pixels: uint8 (h, w, 3).

    One factor for all pixels and channels keeps the colours, and the ratios that faces are told apart by; gamma and
    local equalisation (CLAHE) were worse than leaving it dark (docs/models.md).
    """
    step = max(1, math.isqrt(pixels.shape[0] * pixels.shape[1] // _SAMPLES))
    asked = pixels[::step, ::step]
    count = asked.shape[0] * asked.shape[1]
    place = count * 99 // 100
    if np.count_nonzero(asked[:, :, 1] >= DARK_LEVEL) >= count - place:
        return pixels  # green alone is that bright, as in nearly every picture; the rest costs ten times as much
    levels = np.ascontiguousarray(asked).max(axis=2).ravel()
    brightest = int(np.partition(levels, place)[place])
    if not 0 < brightest < DARK_LEVEL:
        return pixels
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=LIT_LEVEL / brightest), np.uint8)
