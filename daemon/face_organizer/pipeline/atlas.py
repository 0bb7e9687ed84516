"""Where each person is on the map, and stays as far as possible.

Room:    pipeline (moves)
Imports: types, identity
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from face_organizer.identity.layout import layout
from face_organizer.types import Float32, Int64


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """person_ids: int64 (p,), ascending; places: float32 (p, 2), each within -1..1."""

    person_ids: Int64
    places: Float32


def plane_of(person_ids: Int64, sums: Float32, before: Plane | None) -> Plane:
    """A place for each person; who had one begins there. person_ids: int64 (p,); sums: float32 (p, d), of each one's
    founders' embeddings."""
    order = np.argsort(person_ids)
    ids, matrix = person_ids[order], sums[order]
    matrix = matrix / np.maximum(np.linalg.norm(matrix, axis=1), 1e-6)[:, None]
    if before is None or len(before.person_ids) == 0:
        return Plane(ids, layout(matrix))
    start = np.full((len(ids), 2), np.nan, np.float32)
    at = np.minimum(np.searchsorted(before.person_ids, ids), len(before.person_ids) - 1)
    known = before.person_ids[at] == ids
    start[known] = before.places[at[known]]
    return Plane(ids, layout(matrix, start))
