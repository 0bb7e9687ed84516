"""Which faces of two looks at one image are the same: the boxes that overlap most.

Room:    vision
Imports: types, vision.detect
"""

from __future__ import annotations

from collections.abc import Sequence

from face_organizer.types import Detection
from face_organizer.vision.detect import overlap

OVERLAP_MIN = 0.3
"""Two detectors draw their boxes differently (with or without the forehead), and faces of one photo hardly overlap."""


def same_faces(known: Sequence[Detection], found: Sequence[Detection]) -> list[int]:
    """For each known face its row in found, -1 for none; no row twice, the best overlaps first."""
    pairs = sorted(
        ((overlap(one, other), row, at) for row, one in enumerate(known) for at, other in enumerate(found)),
        key=lambda pair: -pair[0],
    )
    rows, taken = [-1] * len(known), set[int]()
    for shared, row, at in pairs:
        if shared >= OVERLAP_MIN and rows[row] < 0 and at not in taken:
            rows[row] = at
            taken.add(at)
    return rows
