"""What a picture looks like at a glance, so that it is known again when somebody saved it anew.

Room:    vision (thinks)
Imports: types, numpy, cv2
"""

from __future__ import annotations

import cv2
import numpy as np

from face_organizer.types import UInt8

_SIDE_MIN_PX = 128
"""Of a larger picture only every so manyth pixel is looked at, but no fewer than this along its shorter side."""


def look(pixels: UInt8) -> bytes:
    """16 bytes that hardly change when a picture is re-encoded, resized or brightened. pixels: uint8 (h, w, 3) RGB.

    64 bits that say whether the grey rises from left to right between 9 x 8 cells, and 64 whether it rises from top to
    bottom between 8 x 9 (the difference hash, twice). A picture in the mirror has the first turned round and negated
    and the second turned round, so that one look knows both (identity/copies.py).
    """
    step = max(1, min(pixels.shape[:2]) // _SIDE_MIN_PX)
    grey = cv2.cvtColor(np.ascontiguousarray(pixels[::step, ::step]), cv2.COLOR_RGB2GRAY)
    wide = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    tall = cv2.resize(grey, (8, 9), interpolation=cv2.INTER_AREA)
    bits = np.concatenate([(wide[:, 1:] > wide[:, :-1]).ravel(), (tall[1:] > tall[:-1]).ravel()])
    return np.packbits(bits).tobytes()
