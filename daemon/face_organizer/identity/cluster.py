"""Which faces are one person, when nobody said how many persons there are.

Room:    identity (thinks)
Imports: types, numpy, scipy

Agglomeration on the graph of nearest neighbours. The linkage of two clusters of n faces whose embeddings add up to S is
    S_a . S_b / sqrt(n_a n_b |S_a| |S_b|)
the geometric mean of average linkage (S_a . S_b / n_a n_b: exact from the sums, so an edge the graph lacks costs
nothing) and of the cosine of the centroids. Average linkage alone loses blurred and turned faces to their noise;
centroids alone fuse large clusters of poor faces; methods that count edges (CPM, modularity) break a person of
thousands of faces into clusters of a few hundred, because 20 neighbours a face cannot fill it. bench/clustering.py has
the figures. Merges run in parallel rounds, within a small step of best-first order, as in TeraHAC (Dhulipala et al.
2023, arXiv 2308.03578).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from face_organizer.types import Float32, Int64

_STEP = 0.02
"""Merges within a step of similarity may happen in any order; .005 to .05 gave the same clusters."""

_BARRED = np.float32(np.inf)
"""The linkage of two clusters that may never merge. The largest, so that it survives in a union of links."""

_FACES_AT_ONCE = 65_536
_PAIRS_AT_ONCE = 100_000


def cluster_graph(
    graph: sparse.csr_array,
    vectors: NDArray[np.floating],
    *,
    similarity_min: float,
    image_of: Int64 | None = None,
) -> Int64:
    """Every face in exactly one cluster, a lonely one in its own. No randomness.

    graph:    csr_array (n, n), symmetric, from `symmetric_graph` with the same bound: who may merge with whom
    vectors:  float16 or float32 (n, d), unit rows
    image_of: int64 (n,), each face's image: two faces of one image never share a cluster; None lets them
    returns:  labels int64 (n,), 0 to number of clusters - 1
    """
    n = graph.shape[0]
    assert len(vectors) == n, (vectors.shape, graph.shape)
    root = np.arange(n)
    for rows, links in _batches(graph, image_of):
        root[rows] = rows[_agglomerated(vectors[rows].astype(np.float32), links, similarity_min)]
    return np.unique(root, return_inverse=True)[1].astype(np.int64)


@dataclass(slots=True, eq=False)
class _Links:
    """Who may merge with whom. a < b: int64 (e,), clusters; linkage: float32 (e,), exact where `fresh`, else an upper
    estimate: a union is linked at most as strongly as its better part (exact for average linkage)."""

    a: Int64
    b: Int64
    linkage: Float32
    fresh: NDArray[np.bool_]

    def kept(self, which: NDArray[np.bool_]) -> _Links:
        return _Links(self.a[which], self.b[which], self.linkage[which], self.fresh[which])

    def joined(self, other: _Links) -> _Links:
        return _Links(
            np.concatenate([self.a, other.a]),
            np.concatenate([self.b, other.b]),
            np.concatenate([self.linkage, other.linkage]),
            np.concatenate([self.fresh, other.fresh]),
        )

    def contracted(self, to: Int64) -> _Links:
        """These links after each cluster c became to[c]: one a pair, the strongest, yet to be measured."""
        one, other = to[self.a], to[self.b]
        a, b = np.minimum(one, other), np.maximum(one, other)
        order = np.lexsort((-self.linkage, b, a))
        order = order[a[order] != b[order]]
        a, b = a[order], b[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
        linkage = self.linkage[order][first]
        return _Links(a[first], b[first], linkage, np.isinf(linkage))


def _batches(graph: sparse.csr_array, image_of: Int64 | None) -> Iterator[tuple[Int64, _Links]]:
    """The graph in whole connected parts, a bounded number of faces at a time (unless one part is larger): the rows of
    each batch and its links, numbered within the batch. Faces without any link are left out."""
    _, part_of = connected_components(graph, directed=False)
    sizes = np.bincount(part_of)
    ends = np.cumsum(np.where(sizes > 1, sizes, 0))
    batch_of = np.where(sizes > 1, (ends - sizes) // _FACES_AT_ONCE, -1)[part_of]
    upper = sparse.triu(graph, 1).tocoo()
    pairs = _pairs_within(image_of, part_of)
    everything = _Links(
        np.concatenate([upper.row, pairs[:, 0]]).astype(np.int64),
        np.concatenate([upper.col, pairs[:, 1]]).astype(np.int64),
        np.concatenate([upper.data, np.full(len(pairs), _BARRED)]).astype(np.float32),
        np.ones(upper.nnz + len(pairs), np.bool_),
    )
    place = np.zeros(len(part_of), np.int64)
    for batch in np.unique(batch_of[batch_of >= 0]).tolist():
        rows = np.flatnonzero(batch_of == batch)
        place[rows] = np.arange(len(rows))
        links = everything.kept(batch_of[everything.a] == batch)
        # Once through `contracted`: an edge between two faces of one image gives way to its bar.
        links = links.contracted(place)
        links.fresh[:] = True
        yield rows, links


def _pairs_within(image_of: Int64 | None, part_of: Int64) -> Int64:
    """All pairs of faces that share an image and a connected part of the graph, int64 (m, 2)."""
    if image_of is None:
        return np.empty((0, 2), np.int64)
    order = np.lexsort((part_of, image_of))
    found = []
    for distance in range(1, len(order)):
        one, other = order[:-distance], order[distance:]
        same = (image_of[one] == image_of[other]) & (part_of[one] == part_of[other])
        if not same.any():
            break
        found.append(np.sort(np.stack([one[same], other[same]], axis=1), axis=1))
    return np.concatenate(found) if found else np.empty((0, 2), np.int64)


def _agglomerated(sums: Float32, links: _Links, similarity_min: float) -> Int64:
    """The cluster (a row of the batch) of each row. sums: float32 (m, d), unit rows, used up."""
    root = np.arange(len(sums))
    sizes = np.ones(len(sums), np.float32)
    weights = np.ones(len(sums), np.float32)  # sqrt(n |S|)
    level = max(float(links.linkage[np.isfinite(links.linkage)].max(initial=0.0)) - _STEP, similarity_min)
    while True:
        _measure(links, np.flatnonzero(~links.fresh & (links.linkage >= level)), sums, weights)
        able = np.flatnonzero((links.linkage >= level) & (links.linkage < _BARRED))
        if len(able) == 0:
            if level <= similarity_min:
                return root
            level = max(level - _STEP, similarity_min)
            continue
        joiners, hosts = _chosen(links, able, sizes)
        grown, starts = np.unique(hosts, return_index=True)
        sums[grown] += np.add.reduceat(sums[joiners], starts, axis=0)
        sizes[grown] += np.add.reduceat(sizes[joiners], starts)
        weights[grown] = np.sqrt(sizes[grown] * np.linalg.norm(sums[grown], axis=1))
        to = np.arange(len(sums))
        to[joiners] = hosts
        root = to[root]
        changed = np.zeros(len(sums), np.bool_)
        changed[joiners] = changed[grown] = True
        touched = changed[links.a] | changed[links.b]
        links = links.kept(~touched).joined(links.kept(touched).contracted(to))


def _measure(links: _Links, which: Int64, sums: Float32, weights: Float32) -> None:
    """Replace estimates by the linkage itself."""
    for start in range(0, len(which), _PAIRS_AT_ONCE):
        part = which[start : start + _PAIRS_AT_ONCE]
        a, b = links.a[part], links.b[part]
        dots = np.einsum("nd,nd->n", sums[a], sums[b])
        links.linkage[part] = dots / np.maximum(weights[a] * weights[b], 1e-6)
    links.fresh[which] = True


def _chosen(links: _Links, able: Int64, sizes: Float32) -> tuple[Int64, Int64]:
    """Which clusters join which host in this round, sorted by host. At least one does.

    Each cluster looks at its strongest link. It joins the cluster there if that one is larger (ties: the lower number)
    and stays itself: so all merges of a round are stars, and a large person gathers many faces at once.
    """
    linkage = np.tile(links.linkage[able], 2)
    own = np.concatenate([links.a[able], links.b[able]])
    other = np.concatenate([links.b[able], links.a[able]])
    order = np.lexsort((other, -linkage, own))
    order = order[np.diff(own[order], prepend=-1) != 0]  # the strongest of each
    own, other, linkage = own[order], other[order], linkage[order]
    larger = (sizes[other] > sizes[own]) | ((sizes[other] == sizes[own]) & (other < own))
    leaves = np.zeros(len(sizes), np.bool_)
    leaves[own[larger]] = True
    joins = larger & ~leaves[other]
    own, other, linkage = own[joins], other[joins], linkage[joins]
    kept = _without_barred(links, own, other, linkage, len(sizes))
    own, other = own[kept], other[kept]
    order = np.argsort(other, kind="stable")
    return own[order], other[order]


def _without_barred(links: _Links, own: Int64, other: Int64, linkage: Float32, m: int) -> NDArray[np.bool_]:
    """Which joiners may go: of two that would meet at one host although barred from one another, the stronger."""
    host = np.arange(m)
    host[own] = other
    strength = np.full(m, -1.0, np.float32)
    strength[own] = linkage
    barred = np.flatnonzero(np.isinf(links.linkage))
    a, b = links.a[barred], links.b[barred]
    meet = host[a] == host[b]
    a, b = a[meet], b[meet]
    refused = np.zeros(m, np.bool_)
    refused[np.where(strength[a] < strength[b], a, b)] = True
    return ~refused[own]
