"""How a person falls into parts, when a human says that it is several.

Room:    pipeline (moves)
Imports: errors, ports, identity, book, messages
"""

from __future__ import annotations

import numpy as np

from face_organizer.errors import RequestError
from face_organizer.identity.falling_apart import parts_suggested
from face_organizer.identity.fixed import cluster_fixed
from face_organizer.pipeline.book import constraints_of
from face_organizer.pipeline.messages import Rules
from face_organizer.ports import Transaction


def parts_of(txn: Transaction, person_id: int, into: int | None, rules: Rules, seed: int) -> list[list[int]]:
    """The face ids of each part, the one that stays the person first: the one with most confirmed and then most faces.

    into: how many parts; None: as many as the faces suggest.
    Raises RequestError where there are too few faces, or they suggest none.
    """
    face_ids = np.array([id_ for id_, record in txn.assignments.items() if record.person_id == person_id], np.int64)
    if len(face_ids) < max(2, into or 2):
        faces = f"{len(face_ids)} face{'' if len(face_ids) == 1 else 's'}"
        raise RequestError(f"person {person_id} has {faces}: too few to split")
    vectors = txn.vectors(face_ids)
    images = np.array([face.image_id if (face := txn.faces.get(int(id_))) else 0 for id_ in face_ids], np.int64)
    image_of = images if rules.one_face_per_image else None
    if into is None:
        labels = parts_suggested(vectors, image_of, rules.similarity_link_min, rules.neighbours, seed)
    else:
        labels = cluster_fixed(vectors, into, similarity_min=-1.0, seed=seed, image_of=image_of).labels
    found, sizes = np.unique(labels, return_counts=True)
    if len(found) < 2:
        raise RequestError(
            f"person {person_id} looks like one person, and nothing in its {len(face_ids)} faces suggests where to part"
            f" them. By hand: `face-organizer reject IMAGE` takes one out, `face-organizer assign IMAGE... NAME --new`"
            f" gives some to somebody new, `face-organizer split {person_id} --into 2` parts them all the same"
        )
    confirmed = constraints_of(txn).anchors(face_ids) == person_id
    said = np.array([np.count_nonzero(confirmed & (labels == label)) for label in found])
    order = found[np.lexsort((-sizes, -said))]
    return [face_ids[labels == label].tolist() for label in order]
