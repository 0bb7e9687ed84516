"""Re-clustering after a little growth: reads what is new, and nothing else that grows with the library.

Room:    pipeline (moves)
Imports: types, ports, identity, messages, roster
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from face_organizer.identity.incremental import Open, Persons, cluster_open
from face_organizer.pipeline.messages import Rules
from face_organizer.pipeline.roster import Picture
from face_organizer.ports import Transaction
from face_organizer.types import NOBODY, Int64, Neighbours


def clusters_of_growth(
    txn: Transaction,
    picture: Picture,
    rules: Rules,
    last_face_id: int,
    *,
    anchor_of: Int64 | None = None,
    rejected: Int64 | None = None,
) -> Int64:
    """A label for each face of the picture, -1 for none, as a run over everything would give them but for splits.

    Decided anew are the founders that came after last_face_id, and nobody's founders near them; everybody else stays
    with the person of now. txn: not older than the picture; anchor_of, rejected: as `cluster_graph` wants them.
    """
    newer = picture.founder & (picture.face_ids > last_face_id)
    rows = np.flatnonzero(newer | (picture.founder & (picture.person_of == NOBODY)))
    edges = txn.neighbours_of(picture.face_ids[rows], rules.neighbours)
    neighbours = _rows(picture, edges)
    near = (neighbours >= 0) & (edges.similarities >= rules.similarity_link_min)
    matters = _matters(rows, neighbours, near, newer, len(picture.face_ids))
    rows, neighbours, near = rows[matters], neighbours[matters], near[matters]
    open_ = Open(
        rows=rows,
        new=newer[rows],
        vectors=txn.vectors(picture.face_ids[rows]),
        neighbours=np.where(near, neighbours, -1),
        similarities=edges.similarities[matters],
    )
    return cluster_open(
        open_,
        Persons(picture.person_ids, picture.sums, picture.sizes),
        picture.person_of,
        similarity_min=rules.similarity_link_min,
        image_of=picture.image_of if rules.one_face_per_image else None,
        anchor_of=anchor_of,
        rejected=rejected,
    )


def _rows(picture: Picture, edges: Neighbours) -> Int64:
    """The neighbours as rows of the picture, -1 where it lacks one or where that one is no founder."""
    row = np.minimum(np.searchsorted(picture.face_ids, edges.neighbours), max(0, len(picture.face_ids) - 1))
    there = (picture.face_ids[row] == edges.neighbours) & picture.founder[row]
    return np.where(there, row, -1)


def _matters(
    rows: Int64, neighbours: Int64, near: NDArray[np.bool_], newer: NDArray[np.bool_], n: int
) -> NDArray[np.bool_]:
    """Which of these are new, or are near anybody: most of nobody's faces never are."""
    named = np.zeros(n, np.bool_)
    named[neighbours[near]] = True
    return newer[rows] | near.any(axis=1) | named[rows]
