"""Remakes the graph of nearest neighbours from the embeddings: it is a view, and its table may be lost or doubted.

Room:    pipeline (moves)
Imports: ports
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from face_organizer.ports import NeighbourFinder, Store

FACES_PER_COMMIT = 1_000
SIMILARITY_MIN = 0.2
"""Edges below are never asked for; strangers of 128 dimensions come so near once in a hundred pairs."""


def remake_graph(store: Store, find: NeighbourFinder, k: int, in_gallery: Callable[[Callable[[], None]], None]) -> int:
    """Write every face's k nearest of other images anew; returns how many faces. Any thread but the gallery's.

    in_gallery runs work in the gallery's thread, the one writer. Some of it may be written when this is interrupted:
    each face's row is right by itself, old or new. Faces enrolled meanwhile have theirs already.
    """
    with store.read() as txn:
        table = txn.face_table()
        face_ids, vectors = txn.vectors_from()
    assert np.array_equal(face_ids, table.face_ids), "a face without a vector, or a vector without a face"
    rows, similarities = find(vectors, k, similarity_min=SIMILARITY_MIN, image_of=table.image_of)

    def write(start: int) -> None:
        with store.write() as txn:
            for row in range(start, min(start + FACES_PER_COMMIT, len(face_ids))):
                found = rows[row][rows[row] >= 0]
                txn.put_neighbours(int(face_ids[row]), face_ids[found], similarities[row, : len(found)])

    for start in range(0, len(face_ids), FACES_PER_COMMIT):
        in_gallery(partial(write, start))
    return len(face_ids)
