"""A person's faces in the order in which a human wants to look at them.

Room:    pipeline (moves)
Imports: types, ports, pulse
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import numpy as np

from face_organizer.pipeline.pulse import beat
from face_organizer.ports import Transaction
from face_organizer.types import Float32, Int64

ALBUMS_KEPT = 8
_ROWS_AT_ONCE = 8192


class Albums:
    """Sorted faces of the persons that were looked at last: who turns the pages of 200,000 faces sorts them once.

    Any thread.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[tuple[int, bytes, bytes], tuple[Int64, Float32]] = OrderedDict()

    def by_similarity(
        self, txn: Transaction, person_id: int, face_ids: Int64, centroid: Float32 | None
    ) -> tuple[Int64, Float32]:
        """The person's faces, the most similar to its centroid first (intruders sit last), and how similar; NaN where
        there is no centroid. face_ids: int64 (n,), ascending; centroid: float32 (d,)"""
        key = (person_id, face_ids.tobytes(), b"" if centroid is None else centroid.tobytes())
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = _sorted(txn, face_ids, centroid)
        with self._lock:
            for stale in [each for each in self._kept if each[0] == person_id]:
                del self._kept[stale]
            self._kept[key] = made
            while len(self._kept) > ALBUMS_KEPT:
                self._kept.popitem(last=False)
        return made


def _sorted(txn: Transaction, face_ids: Int64, centroid: Float32 | None) -> tuple[Int64, Float32]:
    similarity = np.full(len(face_ids), np.nan, np.float32)
    if centroid is None:
        return face_ids, similarity
    for start in range(0, len(face_ids), _ROWS_AT_ONCE):
        beat()
        part = slice(start, start + _ROWS_AT_ONCE)
        similarity[part] = txn.vectors(face_ids[part]) @ centroid
    order = np.argsort(-similarity, kind="stable")
    return face_ids[order], similarity[order]
