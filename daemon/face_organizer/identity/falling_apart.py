"""Into how many parts the faces of one person fall by themselves, if into any.

Room:    identity (thinks)
Imports: assign, centroids, cluster, graph, types, numpy
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from face_organizer.identity.assign import nearest
from face_organizer.identity.centroids import Centroids
from face_organizer.identity.cluster import cluster_graph
from face_organizer.identity.graph import symmetric_graph
from face_organizer.types import Int64

SAMPLE_FACES, SMALL_SHARE = 2000, 200
"""So many faces, drawn by lot, tell the parts of a larger person; of many faces less than one in so many is no part."""

_STEP = 0.02
_CLEAR = 0.16
"""Parts that stay the same over so wide a range are told apart even if one part does for longer: people who look
alike. Not where each face would stand alone. Of real persons one in twenty has an odd photo that is alone so long."""


def parts_suggested(
    vectors: NDArray[np.floating], image_of: Int64 | None, similarity_link_min: float, neighbours: int, seed: int
) -> Int64:
    """The part of each face, int64 (n,); one part for all where nothing suggests another.

    The faces are clustered by every bound from 0 to twice the pack's: of all numbers of parts, that which stays the
    same over the widest range is the one that does not hang on the bound (of two faces it is one if they are more alike
    than similarity_link_min). An intruder is a part of its own: alone over the whole range in which the rest hold
    together.

    vectors: float16 or float32 (n, d), unit rows, n >= 2; image_of: int64 (n,): two faces of one image are never in one
    part (None: they may be); neighbours: so many links of each face; seed: of the lot that is drawn of many
    """
    n = len(vectors)
    assert n >= 2, n
    rows = np.arange(n)
    if n > SAMPLE_FACES:
        rows = np.sort(np.random.default_rng(seed).choice(n, SAMPLE_FACES, replace=False))
    label = _most_lasting(
        vectors[rows].astype(np.float32), None if image_of is None else image_of[rows], similarity_link_min, neighbours
    )
    if label.max() < 1:
        return np.zeros(n, np.int64)
    placed = label >= 0
    part_of = np.full(n, -1, np.int64)
    part_of[rows[placed]] = label[placed]
    centroids = Centroids(vectors.shape[1])
    centroids.add_all(label[placed] + 1, vectors[rows[placed]])
    left = np.flatnonzero(part_of < 0)
    if len(left):
        near, _, _ = nearest(vectors[left], centroids.matrix)
        part_of[left] = centroids.ids[near] - 1
    return part_of


def _most_lasting(vectors: NDArray[np.float32], image_of: Int64 | None, link_min: float, neighbours: int) -> Int64:
    """The parts that stay the same over the widest range of bounds, from 0 on; -1 for faces in parts that are none."""
    n = len(vectors)
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -1)
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :neighbours]
    closeness = np.take_along_axis(similarities, order, axis=1)
    best, parts = np.zeros(n, np.int64), 0
    best_lasts = whole_lasts = lasts = 0
    for bound in np.arange(_STEP, 2 * link_min, _STEP):
        graph = symmetric_graph(np.arange(n), order, closeness, float(bound))
        found = cluster_graph(graph, vectors, similarity_min=float(bound), image_of=image_of)
        large = np.flatnonzero(np.bincount(found) >= 1 + n // SMALL_SHARE)
        lasts = lasts + 1 if len(large) == parts else 1
        parts = len(large)
        if parts == 1:
            whole_lasts = lasts
        needed = whole_lasts if parts == n else min(whole_lasts, _CLEAR / _STEP - 0.5)
        if parts > 1 and lasts > max(best_lasts, needed):
            best_lasts = lasts
            best = np.where(np.isin(found, large), np.searchsorted(large, found), -1)
    return best
