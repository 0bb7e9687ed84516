"""Clusters that grow: each is known by the sum of its embeddings, its size, and whether a human vouched for it.

Room:    identity (thinks)
Imports: types, numpy
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from face_organizer.types import Float32, Int64

CENTROID_SHARE, CENTROID_SHARE_OF_ONE = 0.4, 0.75
"""How much the centroids count between two clusters of many faces, and where one of them is a single face."""

_ROWS_AT_ONCE = 16_384


def linkage(dots: Float32, sizes: Float32, lengths: Float32, smaller: Float32) -> Float32:
    """How strongly two clusters are linked, of n_a and n_b faces whose embeddings add up to S_a and S_b:

        S_a . S_b / ((n_a n_b)^(1 - s) (|S_a| |S_b|)^s)

    between average linkage (s = 0: exact from the sums, so an edge the graph lacks costs nothing) and the cosine of the
    centroids (s = 1). The smaller of the two decides s, which falls as 1 / n: a face alone is compared with a centroid,
    where its person's noise has averaged out; two clusters of many faces more by all their pairs, so that two clusters
    of poor faces do not pass for one because their noise agrees. Of two faces it is their similarity.

    dots: float32 (e,), S_a . S_b; sizes: n_a n_b; lengths: |S_a| |S_b|; smaller: the smaller of n_a and n_b
    """
    share = CENTROID_SHARE + np.float32(CENTROID_SHARE_OF_ONE - CENTROID_SHARE) / smaller
    weights: Float32 = sizes ** (1 - share) * np.maximum(lengths, 1e-6) ** share
    return np.asarray(dots / weights)


class Clusters:
    """m clusters on their way. sizes: float32 (m,), of how many faces; anchored: bool (m,), no two of these ever merge.
    A cluster that has joined another keeps a row, which nothing looks at.

    A cluster that nothing has joined is a row of `vectors`, as it was given: half a million sums of 512 dimensions
    would be a gigabyte, and only one face in five ever becomes a host.
    """

    def __init__(self, vectors: NDArray[np.floating], rows: Int64, sizes: Float32, anchored: NDArray[np.bool_]) -> None:
        """vectors: (n, d), unit rows or sums of them; rows: int64 (m,), where each cluster starts among them."""
        self.sizes, self.anchored = sizes, anchored
        self._vectors, self._rows = vectors, rows
        self._place = np.full(len(rows), -1, np.int64)  # in _grown, of those that something has joined
        self._grown = np.empty((0, vectors.shape[1]), np.float32)
        self._used = 0

    def sums(self, which: Int64) -> Float32:
        """The sum of the embeddings of each of these, float32 (len(which), d). Ask for some thousands at a time."""
        out = self._vectors[self._rows[which]].astype(np.float32)
        place = self._place[which]
        grown = np.flatnonzero(place >= 0)
        out[grown] = self._grown[place[grown]]
        return out

    def lengths(self, which: Int64) -> Float32:
        """|S| of these, float32 (len(which),)."""
        norms = np.empty(len(which), np.float32)
        for start in range(0, len(which), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            norms[part] = np.linalg.norm(self.sums(which[part]), axis=1)
        return norms

    def join(self, joiners: Int64, hosts: Int64) -> Int64:
        """Each of these becomes part of its host; hosts: sorted, none a joiner. Returns the hosts, once each."""
        self._make_room(np.unique(hosts))
        for start in range(0, len(joiners), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            grown, starts = np.unique(hosts[part], return_index=True)
            self._grown[self._place[grown]] += np.add.reduceat(self.sums(joiners[part]), starts, axis=0)
            self.sizes[grown] += np.add.reduceat(self.sizes[joiners[part]], starts)
        self.anchored[hosts[self.anchored[joiners]]] = True
        return np.unique(hosts)

    def gather(self, place: Int64) -> None:
        """Let each cluster that is not at its place, int64 (m,), join what is there."""
        joiners = np.flatnonzero(place != np.arange(len(place)))
        if len(joiners):
            joiners = joiners[np.argsort(place[joiners], kind="stable")]
            self.join(joiners, place[joiners])

    def _make_room(self, hosts: Int64) -> None:
        """Give each host a sum of its own."""
        fresh = hosts[self._place[hosts] < 0]
        needed = self._used + len(fresh)
        if needed > len(self._grown):
            larger = np.empty((max(needed, 2 * len(self._grown)), self._grown.shape[1]), np.float32)
            larger[: self._used] = self._grown[: self._used]
            self._grown = larger
        for start in range(0, len(fresh), _ROWS_AT_ONCE):
            part = fresh[start : start + _ROWS_AT_ONCE]
            place = self._used + np.arange(len(part))
            self._grown[place] = self._vectors[self._rows[part]]
            self._place[part] = place
            self._used += len(part)
