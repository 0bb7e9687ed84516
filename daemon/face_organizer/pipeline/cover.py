"""The face that stands for a person: whoever names the person has looked at it.

Room:    pipeline (moves)
Imports: ports, roster

In the gallery's thread only.
"""

from __future__ import annotations

import numpy as np

from face_organizer.pipeline.roster import Roster
from face_organizer.ports import Transaction

AT_ONCE = 4096


def cover_of(txn: Transaction, roster: Roster, person_id: int) -> list[int]:
    """The founder that is nearest to the person's centroid; the first face where there is none; [] without a face."""
    rows = np.flatnonzero(roster.centroids.ids == person_id)
    ids = np.flatnonzero((roster.person_of == person_id) & roster.founder)
    if len(rows) == 0 or len(ids) == 0:
        return [int(face_id) for face_id in np.flatnonzero(roster.person_of == person_id)[:1]]
    centroid = roster.centroids.matrix[rows[0]]
    best = max(
        (float(similarity), -int(face_id))
        for start in range(0, len(ids), AT_ONCE)
        for part in (ids[start : start + AT_ONCE],)
        for face_id, similarity in zip(part, txn.vectors(part) @ centroid, strict=True)
    )
    return [-best[1]]
