"""Faces that are the same person's without anybody having said so: those of pictures that were saved twice.

Room:    pipeline (moves)
Imports: types, records, ports, identity
"""

from __future__ import annotations

import numpy as np

from face_organizer.identity.copies import near_copies, same_places
from face_organizer.ports import Transaction
from face_organizer.records import ImageRecord
from face_organizer.types import Float32, Int64

COPIES_MAX = 20_000
"""Pairs of pictures whose faces are looked at; more would say no more."""

_ASPECT_MAX = 1.03
"""Copies have the same shape, but for a pixel's rounding."""


def positives_of(txn: Transaction, face_ids: Int64, seed: int) -> Int64:
    """Rows of faces, int64 (m, 2), that are known to be one person: same place in two copies of a picture.

    face_ids: int64 (n,), ascending: only of these. The same seed draws the same pairs, where there are many.
    """
    image_ids, looks = txn.looks()
    a, b, flipped = near_copies(looks)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(a))[:COPIES_MAX])
    found: list[tuple[int, int]] = []
    pairs_of_images = np.stack([image_ids[a[drawn]], image_ids[b[drawn]], flipped[drawn]], axis=1)
    for one, other, mirror in pairs_of_images.tolist():
        first, second = txn.images.get(one), txn.images.get(other)
        if first is None or second is None or not _same_shape(first, second):
            continue
        places = same_places(_boxes(txn, first), _boxes(txn, second, mirror=bool(mirror)))
        found += [(first.face_ids[i], second.face_ids[j]) for i, j in places]
    pairs = np.array(found, np.int64).reshape(-1, 2)
    rows = np.minimum(np.searchsorted(face_ids, pairs), max(0, len(face_ids) - 1))
    there = (face_ids[rows] == pairs).all(axis=1) if len(face_ids) else np.zeros(len(pairs), np.bool_)
    kept: Int64 = rows[there]
    return kept


def _same_shape(one: ImageRecord, other: ImageRecord) -> bool:
    ratio = one.width_px * other.height_px / (one.height_px * other.width_px)
    return 1 / _ASPECT_MAX <= ratio <= _ASPECT_MAX


def _boxes(txn: Transaction, image: ImageRecord, *, mirror: bool = False) -> Float32:
    """The boxes of an image's faces as shares of it, float32 (p, 4)."""
    records = [txn.faces.get(face_id) for face_id in image.face_ids]
    boxes = np.array([record.box if record else (0, 0, 0, 0) for record in records], np.float32).reshape(-1, 4)
    shares: Float32 = (boxes / np.array([image.width_px, image.height_px] * 2)).astype(np.float32)
    if mirror:
        shares[:, [0, 2]] = 1 - shares[:, [2, 0]]
    return shares
