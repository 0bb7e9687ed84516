"""Re-clustering after a little growth: only the new faces and what they touch are looked at.

Room:    identity (thinks)
Imports: types, numpy, identity

The persons of now are clusters to start from, each known by the sum of its embeddings; new faces and nobody's faces
join them, found new ones, or bring two of them together, by the same linkage and rules as in `cluster_graph`. A person
is never taken apart: that is left to the next run over everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face_organizer.identity.cluster import agglomerated
from face_organizer.identity.clusters import Clusters
from face_organizer.identity.links import Links, bars, connected, pairs_apart, pairs_rejected, starting_rows
from face_organizer.types import Float32, Int64


@dataclass(frozen=True, slots=True, eq=False)
class Open:
    """The m faces that are decided anew: the new ones, and others that belong to nobody.

    rows:         int64 (m,), distinct, among all n faces
    new:          bool (m,), came since the last run: where no new face is near, nothing is looked at
    vectors:      float16 or float32 (m, d), unit rows
    neighbours:   int64 (m, k), rows among all n faces, -1 for none and for a face that takes no part in clustering
    similarities: float32 (m, k)
    """

    rows: Int64
    new: NDArray[np.bool_]
    vectors: NDArray[np.floating]
    neighbours: Int64
    similarities: Float32


@dataclass(frozen=True, slots=True, eq=False)
class Persons:
    """The persons of now. ids: int64 (p,), ascending; sums: (p, d), of the embeddings of all their faces that take part
    in clustering, open ones included; sizes: int64 (p,), of how many."""

    ids: Int64
    sums: NDArray[np.floating]
    sizes: Int64


def cluster_open(
    open_: Open,
    persons: Persons,
    person_of: Int64,
    *,
    similarity_min: float,
    image_of: Int64 | None = None,
    anchor_of: Int64 | None = None,
    rejected: Int64 | None = None,
) -> Int64:
    """Every face in one cluster, as `cluster_graph` would have it if no person had to be taken apart.

    person_of: int64 (n,), the person of each face, 0 for nobody: of an open face the one to be taken back
    image_of, anchor_of, rejected: as `cluster_graph` wants them, for all n faces
    returns:   labels int64 (n,): faces of one cluster have one label; -1 for a face of nobody that is not open
    """
    m, p = len(open_.rows), len(persons.ids)
    assert m == len(open_.vectors) == len(open_.neighbours) == len(open_.new), m
    sums, sizes = _without_open(open_, persons, person_of)
    node_of = np.where(person_of > 0, m + np.searchsorted(persons.ids, person_of), -1)  # open faces, then persons
    node_of[open_.rows] = np.arange(m)
    links = _edges(open_, node_of, similarity_min)

    anchors = np.zeros(m + p, np.int64)
    if anchor_of is not None:
        said = np.flatnonzero((anchor_of > 0) & (node_of >= 0))
        anchors[node_of[said]] = anchor_of[said]
    first = starting_rows(m + p, anchors, None, None)
    part_of = connected(np.concatenate([links.a, first]), np.concatenate([links.b, np.arange(m + p)]), m + p)
    looked_at = np.isin(part_of, part_of[:m][open_.new])
    links = links.kept(looked_at[links.a])
    links = links.joined(bars(_apart(node_of, looked_at, part_of, image_of, anchors, rejected)))

    used = np.flatnonzero(looked_at)
    place = np.zeros(m + p, np.int64)
    place[used] = np.arange(len(used))
    clusters = Clusters(
        np.concatenate([open_.vectors[used[used < m]].astype(np.float32), sums[used[used >= m] - m]]),
        np.arange(len(used)),
        np.concatenate([np.ones(m, np.float32), sizes])[used],
        (anchors > 0)[used],
    )
    clusters.gather(place[first[used]])
    root = first.copy()  # also where nothing new is near, what a human put together stays together
    root[used] = used[agglomerated(clusters, links.contracted(place[first]), similarity_min)[place[first[used]]]]
    return np.where(node_of >= 0, root[node_of], -1)


def _without_open(open_: Open, persons: Persons, person_of: Int64) -> tuple[Float32, Float32]:
    """The sums and sizes of the persons' other faces, float32 (p, d) and (p,)."""
    sums, sizes = persons.sums.astype(np.float32), persons.sizes.astype(np.float32)
    held = np.flatnonzero(person_of[open_.rows] > 0)
    at = np.searchsorted(persons.ids, person_of[open_.rows[held]])
    order = np.argsort(at, kind="stable")
    hit, starts = np.unique(at[order], return_index=True)
    if len(hit):
        sums[hit] -= np.add.reduceat(open_.vectors[held[order]].astype(np.float32), starts, axis=0)
        sizes[hit] -= np.bincount(at)[hit]
    return sums, sizes


def _edges(open_: Open, node_of: Int64, similarity_min: float) -> Links:
    """Which open faces and persons are near one another."""
    one, place = np.nonzero((open_.similarities >= similarity_min) & (open_.neighbours >= 0))
    other = node_of[open_.neighbours[one, place]]
    kept = (other >= 0) & (other != one)
    one, other, similarity = one[kept], other[kept], open_.similarities[one[kept], place[kept]]
    return Links(np.minimum(one, other), np.maximum(one, other), similarity, np.ones(len(one), np.bool_))


def _apart(
    node_of: Int64,
    looked_at: NDArray[np.bool_],
    part_of: Int64,
    image_of: Int64 | None,
    anchors: Int64,
    rejected: Int64 | None,
) -> Int64:
    """Pairs of open faces and persons that may never meet, int64 (b, 2)."""
    found = [np.empty((0, 2), np.int64)]
    if image_of is not None:
        faces = np.flatnonzero((node_of >= 0) & looked_at[node_of])
        nodes = node_of[faces]
        found.append(nodes[pairs_apart(image_of[faces], part_of[nodes])])
    if rejected is not None and len(rejected):
        node = node_of[rejected[:, 0]]
        there = (node >= 0) & (
            anchors[node] != rejected[:, 1]
        )  # a face that sits with whom it is not: not ours to mend
        found.append(pairs_rejected(anchors, np.stack([node[there], rejected[there, 1]], axis=1)))
    pairs = np.concatenate(found)
    return pairs[looked_at[pairs[:, 0]] & looked_at[pairs[:, 1]]]
