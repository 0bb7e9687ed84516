"""Is a file that somebody wrote anew still the same picture?

Room:    identity (thinks)
Imports: copies, numpy
"""

from __future__ import annotations

import numpy as np

from face_organizer.identity.copies import DIFFERING_MAX

ASPECT_MAX = 0.02
"""So much may the ratio of the sides differ: a smaller copy is rounded to whole pixels. More was cropped or turned."""


def is_same_picture(look: bytes, size_px: tuple[int, int], now: bytes, size_now_px: tuple[int, int]) -> bool:
    """Do faces that were found in one lie at the same places, as shares of the picture, in the other? looks: 16 bytes
    (vision/look.py), b"" where nothing is known: then what has the same name and size is taken for the same."""
    if not look or not now:
        return size_px == size_now_px
    differing = int(np.bitwise_count(np.frombuffer(look, np.uint8) ^ np.frombuffer(now, np.uint8)).sum())
    aspect = size_px[0] * size_now_px[1] / (size_px[1] * size_now_px[0])
    return differing <= DIFFERING_MAX and abs(aspect - 1) <= ASPECT_MAX
