"""How a person falls into parts, when a human says that it is several.

Room:    pipeline (moves)
Imports: types, errors, ports, identity, book, messages
"""

from __future__ import annotations

import numpy as np

from face_organizer.errors import RequestError
from face_organizer.identity.assign import nearest
from face_organizer.identity.centroids import Centroids
from face_organizer.identity.cluster import cluster_graph
from face_organizer.identity.fixed import cluster_fixed
from face_organizer.identity.graph import symmetric_graph
from face_organizer.pipeline.book import constraints_of
from face_organizer.pipeline.messages import Rules
from face_organizer.ports import Transaction
from face_organizer.types import Int64

SIMILARITY_STEP, SIMILARITY_MAX = 0.02, 0.9
"""Without a number of parts, the bound for re-clustering is raised by steps until the faces fall apart."""

PART_FACES_MIN = 2


def parts_of(txn: Transaction, person_id: int, into: int | None, rules: Rules, seed: int) -> list[list[int]]:
    """The face ids of each part, the one that stays the person first: the one with most confirmed and then most faces.

    into: how many parts; None: as many as appear first when similarity is asked for ever more strictly.
    Raises RequestError when it does not fall apart.
    """
    face_ids = np.array([id_ for id_, record in txn.assignments.items() if record.person_id == person_id], np.int64)
    if len(face_ids) < max(2, into or 2):
        raise RequestError(f"person {person_id} has {len(face_ids)} faces: too few to split")
    vectors = txn.vectors(face_ids)
    images = np.array([face.image_id if (face := txn.faces.get(int(id_))) else 0 for id_ in face_ids], np.int64)
    image_of = images if rules.one_face_per_image else None
    if into is None:
        labels = _falls_apart(txn, face_ids, vectors, image_of, rules)
    else:
        labels = cluster_fixed(vectors, into, similarity_min=-1.0, seed=seed, image_of=image_of).labels
    found, sizes = np.unique(labels, return_counts=True)
    if len(found) < (into or 2):
        raise RequestError(f"person {person_id} looks like one person; say --into 2 to split it all the same")
    confirmed = constraints_of(txn).anchors(face_ids) == person_id
    said = np.array([np.count_nonzero(confirmed & (labels == label)) for label in found])
    order = found[np.lexsort((-sizes, -said))]
    return [face_ids[labels == label].tolist() for label in order]


def _falls_apart(txn: Transaction, face_ids: Int64, vectors: np.ndarray, image_of: Int64 | None, rules: Rules) -> Int64:
    """A part for every face, as soon as there are two parts of PART_FACES_MIN faces; one part if that never comes."""
    edges = txn.neighbours(rules.neighbours)
    row = np.searchsorted(edges.face_ids, face_ids)
    for bound in np.arange(rules.similarity_link_min, SIMILARITY_MAX, SIMILARITY_STEP):
        graph = symmetric_graph(face_ids, edges.neighbours[row], edges.similarities[row], float(bound))
        labels = cluster_graph(graph, vectors, similarity_min=float(bound), image_of=image_of)
        large = np.flatnonzero(np.bincount(labels) >= PART_FACES_MIN)
        if len(large) >= 2:
            centroids = Centroids(vectors.shape[1])
            member = np.isin(labels, large)
            centroids.add_all(labels[member] + 1, vectors[member])
            nearest_row, _, _ = nearest(vectors, centroids.matrix)
            return np.where(member, labels, centroids.ids[nearest_row] - 1)
    return np.zeros(len(face_ids), np.int64)
