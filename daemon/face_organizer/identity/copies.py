"""Which pictures are one picture saved twice (smaller, in the mirror, the next of a burst), and which faces in them.

Room:    identity (thinks)
Imports: types, numpy

Their faces are the same person's without anybody having said so. File names and times are no evidence: names often tell
who it is, and the time of a copy is when it was copied.
"""

from __future__ import annotations

import numpy as np

from face_organizer.types import Float32, Int64, UInt8

DIFFERING_MAX = 12
"""Of 128 bits (vision/look.py). Of 6.9 million pairs among photos of 1,711 people only those that show the same picture
are so near, mirrored or not; of copies 19 in 20 differ in 10 or fewer (docs/clustering.md)."""

_PLAIN_BITS = 16
"""A look with so few bits set, or unset, among the 64 from left to right is of a nearly empty picture: it says little.
"""
_OVERLAP_MIN = 0.5
_BAND_BYTES, _LOOK_BYTES = 4, 16


def near_copies(looks: UInt8) -> tuple[Int64, Int64, Int64]:
    """Pairs of pictures that look the same: rows a < b, and 1 where it is in the mirror, else 0; each int64 (m,).

    Not all of them: sorted once for each quarter of a look, each picture is compared with the next, if that quarter is
    the same. So the work is that of a few sorts, however many copies there are. looks: uint8 (n, 16)
    """
    assert looks.shape[1:] == (_LOOK_BYTES,), looks.shape
    sideways = np.bitwise_count(looks[:, :8]).sum(axis=1)
    telling = np.flatnonzero((sideways >= _PLAIN_BITS) & (sideways <= 64 - _PLAIN_BITS))
    both = np.concatenate([looks[telling], mirrored(looks[telling])])
    found = [np.empty((0, 3), np.int64)]
    for start in range(0, _LOOK_BYTES, _BAND_BYTES):
        rolled = np.ascontiguousarray(np.roll(both, -start, axis=1))
        words = rolled.view(">u8").astype(np.uint64)
        order = np.lexsort((words[:, 1], words[:, 0]))
        one, other = order[:-1], order[1:]
        near = np.flatnonzero(words[one, 0] >> np.uint64(32) == words[other, 0] >> np.uint64(32))
        one, other = one[near], other[near]
        near = np.flatnonzero(np.bitwise_count(both[one] ^ both[other]).sum(axis=1) <= DIFFERING_MAX)
        one, other = one[near], other[near]
        a, b = telling[one % len(telling)], telling[other % len(telling)]
        flipped = (one < len(telling)) != (other < len(telling))
        found.append(np.stack([np.minimum(a, b), np.maximum(a, b), flipped.astype(np.int64)], axis=1)[a != b])
    pairs = np.unique(np.concatenate(found), axis=0)
    pairs = pairs[np.unique(pairs[:, :2], axis=0, return_index=True)[1]]  # one that is both counts as not mirrored
    return pairs[:, 0], pairs[:, 1], pairs[:, 2]


def mirrored(looks: UInt8) -> UInt8:
    """The looks, uint8 (n, 16), of the same pictures in the mirror, but for bits where two cells are equal."""
    bits = np.unpackbits(looks, axis=1).reshape(-1, 2, 8, 8)[..., ::-1].copy()
    bits[:, 0] ^= 1
    return np.packbits(bits.reshape(len(looks), 8 * _LOOK_BYTES), axis=1)


def same_places(boxes: Float32, others: Float32) -> list[tuple[int, int]]:
    """Which faces of two copies lie in the same place: they overlap by at least half, each the other's best.

    boxes: float32 (p, 4), others: (q, 4): x1 y1 x2 y2 as shares of their picture, mirrored back where need be
    """
    if len(boxes) == 0 or len(others) == 0:
        return []
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    opposite = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.prod(np.maximum(opposite - corner, 0), axis=2)
    areas = [np.prod(of[:, 2:] - of[:, :2], axis=1) for of in (boxes, others)]
    overlap = common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-12)
    best = overlap.argmax(axis=1)
    return [
        (row, int(at))
        for row, at in enumerate(best)
        if overlap[row, at] >= _OVERLAP_MIN and overlap[:, at].argmax() == row
    ]
