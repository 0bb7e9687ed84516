"""Which region of an image that another program drew is which face.

Room:    identity (thinks)
Imports: types, pairing, numpy
"""

from __future__ import annotations

import numpy as np

from face_organizer.identity.pairing import paired
from face_organizer.types import Float32, Int64

OVERLAP_MIN = 0.2
"""Intersection over union. Some programs draw the whole head, others eyes to mouth; of two people side by side the
boxes share less."""


def overlaps(one: Float32, other: Float32) -> Float32:
    """Intersection over union, float32 (n, m). one: float32 (n, 4), x1 y1 x2 y2; other: float32 (m, 4)"""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None] - both
    return np.asarray(both / np.maximum(union, 1e-12), np.float32)


def matched(faces: Float32, regions: Float32, orientation: int = 1) -> Int64:
    """Pairs (face, region), int64 (k, 2), one to one, that overlap most in sum.

    faces: float32 (n, 4), shares of the upright image; regions: float32 (m, 4), shares of the image upright or as it is
    stored: programs do not agree, so what fits better counts. orientation: EXIF's, 1..8.
    """
    best, pairs = 0.0, np.empty((0, 2), np.int64)
    for boxes in (regions, upright(regions, orientation)):
        shared = overlaps(faces, boxes)
        rows, columns = paired(shared)
        kept = shared[rows, columns] >= OVERLAP_MIN
        total = float(shared[rows, columns][kept].sum())
        if total > best:
            best, pairs = total, np.stack([rows[kept], columns[kept]], axis=1)
    return pairs


def upright(boxes: Float32, orientation: int) -> Float32:
    """Shares of the image as it is stored -> of the upright one. boxes: float32 (n, 4); orientation: EXIF's, 1..8"""
    x1, y1, x2, y2 = boxes.T
    turned = {
        2: (1 - x2, y1, 1 - x1, y2),
        3: (1 - x2, 1 - y2, 1 - x1, 1 - y1),
        4: (x1, 1 - y2, x2, 1 - y1),
        5: (y1, x1, y2, x2),
        6: (1 - y2, x1, 1 - y1, x2),
        7: (1 - y2, 1 - x2, 1 - y1, 1 - x1),
        8: (y1, 1 - x2, y2, 1 - x1),
    }.get(orientation, (x1, y1, x2, y2))
    return np.stack(turned, axis=1).astype(np.float32)


def as_stored(boxes: Float32, orientation: int) -> Float32:
    """The other way round."""
    return upright(boxes, {6: 8, 8: 6}.get(orientation, orientation))
