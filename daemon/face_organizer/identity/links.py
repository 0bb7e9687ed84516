"""Who may merge with whom, and what ties faces together or keeps them apart before anything is compared.

Room:    identity (thinks)
Imports: types, numpy
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face_organizer.types import Float32, Int64

BARRED = np.float32(np.inf)
"""The linkage of two clusters that may never merge. The largest, so that it survives in a union of links."""

_EDGES_AT_ONCE = 500_000


@dataclass(slots=True, eq=False)
class Links:
    """Who may merge with whom. a < b: int64 (e,), clusters; linkage: float32 (e,), exact where `fresh`, else an upper
    estimate: a union is linked at most as strongly as its better part (exact for average linkage)."""

    a: Int64
    b: Int64
    linkage: Float32
    fresh: NDArray[np.bool_]

    def kept(self, which: NDArray[np.bool_]) -> Links:
        return Links(self.a[which], self.b[which], self.linkage[which], self.fresh[which])

    def joined(self, other: Links) -> Links:
        return Links(
            np.concatenate([self.a, other.a]),
            np.concatenate([self.b, other.b]),
            np.concatenate([self.linkage, other.linkage]),
            np.concatenate([self.fresh, other.fresh]),
        )

    def contracted(self, to: Int64) -> Links:
        """These links after each cluster c became to[c]: one a pair, the strongest, yet to be measured."""
        one, other = to[self.a], to[self.b]
        key = np.minimum(one, other) * len(to) + np.maximum(one, other)
        order = np.flatnonzero(one != other)
        del one, other  # millions of each
        order = order[np.argsort(key[order], kind="stable")]
        key = key[order]
        first = np.flatnonzero(np.diff(key, prepend=-1))
        linkage = np.maximum.reduceat(self.linkage[order], first) if len(first) else self.linkage[order]
        return Links(key[first] // len(to), key[first] % len(to), linkage, np.isinf(linkage))

    def without_rivals(self, anchored: NDArray[np.bool_]) -> Links:
        """These links but those between two anchored clusters: each is another person's, and they never merge."""
        return self.kept(~(anchored[self.a] & anchored[self.b]))


def bars(pairs: Int64) -> Links:
    """Links that never let their two clusters merge. pairs: int64 (b, 2)."""
    pairs = np.sort(pairs, axis=1)
    return Links(pairs[:, 0], pairs[:, 1], np.full(len(pairs), BARRED), np.ones(len(pairs), np.bool_))


def starting_rows(n: int, anchor_of: Int64 | None, rejected: Int64 | None, start: Int64 | None) -> Int64:
    """The cluster that each of n faces starts in, as the first row of it; the arguments are `cluster_graph`'s."""
    if anchor_of is None and start is None:
        return np.arange(n)
    alone = n + np.arange(n)  # keys: < n a start, < 2 n a face on its own, then the anchors
    key = alone if start is None else np.where(start >= 0, _numbered(start), alone)
    if anchor_of is not None:
        anchor = _with_the_start(anchor_of, key)
        if rejected is not None and len(rejected):
            out = rejected[anchor[rejected[:, 0]] == rejected[:, 1], 0]
            anchor[out], key[out] = 0, alone[out]
        key = np.where(anchor > 0, 2 * n + _numbered(anchor), key)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return np.asarray(first[inverse])


def connected(a: Int64, b: Int64, n: int) -> Int64:
    """The smallest of n nodes in the connected part of each, int64 (n,). a, b: int64 (e,), edges.

    Every round hangs each tree on its smallest neighbour, until no edge is left between two trees. scipy's
    connected_components holds the interpreter's lock all along: a second for millions of edges.
    """
    root = np.arange(n)
    while len(a):
        one, other = root[a], root[b]
        apart = one != other
        a, b = np.minimum(one, other)[apart], np.maximum(one, other)[apart]
        for start in range(0, len(a), _EDGES_AT_ONCE):
            part = slice(start, start + _EDGES_AT_ONCE)
            np.minimum.at(root, b[part], a[part])
        while not np.array_equal(up := root[root], root):
            root = up
    return root


def pairs_apart(image_of: Int64, part_of: Int64) -> Int64:
    """All pairs of faces that share an image and a connected part of the graph, int64 (m, 2)."""
    order = np.lexsort((part_of, image_of))
    found = []
    for distance in range(1, len(order)):
        one, other = order[:-distance], order[distance:]
        same = (image_of[one] == image_of[other]) & (part_of[one] == part_of[other])
        if not same.any():
            break
        found.append(np.sort(np.stack([one[same], other[same]], axis=1), axis=1))
    return np.concatenate(found) if found else np.empty((0, 2), np.int64)


def pairs_rejected(anchor_of: Int64 | None, rejected: Int64 | None) -> Int64:
    """Each rejection as (the face, one face that is anchored to that person), int64 (m, 2); none where nobody is."""
    if anchor_of is None or rejected is None or len(rejected) == 0:
        return np.empty((0, 2), np.int64)
    face, anchor = rejected[:, 0], rejected[:, 1]
    contradictory = anchor_of[face] == anchor
    assert not contradictory.any(), f"rows {face[contradictory][:5].tolist()} are both anchored to and rejected from"
    anchors, rows = np.unique(anchor_of, return_index=True)
    place = np.minimum(np.searchsorted(anchors, anchor), len(anchors) - 1)
    there = (anchors[place] == anchor) & (anchor > 0)
    return np.stack([face[there], rows[place[there]]], axis=1)


def _with_the_start(anchor_of: Int64, key: Int64) -> Int64:
    """The anchor of each face; a face without one has its start's, where all anchors there are one person's."""
    least, most = (np.zeros(2 * len(key), np.int64) for _ in range(2))
    least[:] = np.iinfo(np.int64).max
    anchored = np.flatnonzero(anchor_of > 0)
    np.minimum.at(least, key[anchored], anchor_of[anchored])
    np.maximum.at(most, key[anchored], anchor_of[anchored])
    return np.where(anchor_of > 0, anchor_of, np.where(least == most, most, 0)[key])


def _numbered(keys: Int64) -> Int64:
    """The keys as numbers from 0 on."""
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)
