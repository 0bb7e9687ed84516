"""Remakes the graph of nearest neighbours from the embeddings: it is a view, and its table may be lost or doubted.

Room:    pipeline (moves)
Imports: ports, keep_index
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from face_organizer.pipeline.keep_index import OUTDATED
from face_organizer.ports import NeighbourFinder, Store, Transaction

FACES_PER_COMMIT = 1_000
SIMILARITY_MIN = 0.2
"""Edges below are never asked for; strangers of 128 dimensions come so near once in a hundred pairs."""


def remake_graph(
    store: Store,
    find: NeighbourFinder,
    k: int,
    in_gallery: Callable[[Callable[[], None]], None],
    view: Callable[[Transaction], Transaction] = lambda txn: txn,
) -> int:
    """Write every face's k nearest of other images anew; returns how many faces. Any thread but the gallery's.

    view(txn): whose graph, if not that of the model in use. in_gallery runs work in the gallery's thread, the one
    writer. Some of it may be written when this is interrupted: each face's row is right by itself, old or new. Faces
    enrolled meanwhile have theirs already; of those that are forgotten meanwhile, nothing is written.
    """
    with store.read() as txn:
        table, outdated = view(txn).face_table(), txn.note(OUTDATED)
        face_ids, vectors = view(txn).vectors_from()
    assert np.array_equal(face_ids, table.face_ids), "a face without a vector, or a vector without a face"
    rows, similarities = find(vectors, k, similarity_min=SIMILARITY_MIN, image_of=table.image_of)

    def write(start: int) -> None:
        with store.write() as written:
            txn = view(written)
            left = face_ids if written.note(OUTDATED) == outdated else np.intersect1d(face_ids, txn.face_ids())
            part = slice(start, start + FACES_PER_COMMIT)
            for face_id, near, similar in zip(face_ids[part].tolist(), rows[part], similarities[part], strict=True):
                kept = near >= 0
                if left is not face_ids:
                    if face_id not in left:
                        continue
                    kept &= np.isin(face_ids[near], left)
                txn.put_neighbours(face_id, face_ids[near[kept]], similar[kept])

    for start in range(0, len(face_ids), FACES_PER_COMMIT):
        in_gallery(partial(write, start))
    return len(face_ids)
