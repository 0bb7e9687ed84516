"""Agglomeration with any linkage that the sums of clusters tell, to compare the shipped one with.

Merges happen within a small step of best-first order, as in TeraHAC (Dhulipala et al. 2023, arXiv 2308.03578).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

Linkage = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(S_a . S_b, n_a n_b, |S_a| |S_b|, the smaller n) of e pairs of clusters -> how strongly each pair is linked, (e,)."""

STEP = 0.02
PAIRS_AT_ONCE = 100_000


def between(
    dots: np.ndarray,
    sizes: np.ndarray,
    lengths: np.ndarray,
    smaller: np.ndarray,
    *,
    centroid_share: float,
    centroid_share_of_one: float,
) -> np.ndarray:
    """The mean cosine over all pairs of faces (share 0), the cosine of the centroids (1), or a geometric mean of both.

    The smaller of two clusters decides which: the share falls from that of one face towards centroid_share as 1 / n.
    """
    share = (centroid_share + (centroid_share_of_one - centroid_share) / smaller).astype(np.float32)
    strength: np.ndarray = dots / np.maximum(sizes ** (1 - share) * lengths**share, 1e-6)
    return strength


def agglomerate(graph: sparse.csr_array, vectors: np.ndarray, similarity_min: float, linked: Linkage) -> np.ndarray:
    """graph: symmetric (n, n), who may merge with whom; vectors: (n, d) unit rows; returns label (n,)."""
    n = graph.shape[0]
    sums, sizes, lengths = vectors.astype(np.float32), np.ones(n, np.float32), np.ones(n, np.float32)
    upper = sparse.triu(graph, 1).tocoo()
    a, b, w = upper.row.astype(np.int64), upper.col.astype(np.int64), upper.data.astype(np.float32)
    fresh = np.ones(len(a), bool)
    root = np.arange(n)
    level = max(float(w.max(initial=0.0)) - STEP, similarity_min)
    while True:
        stale = np.flatnonzero(~fresh & (w >= level))
        for start in range(0, len(stale), PAIRS_AT_ONCE):
            part = stale[start : start + PAIRS_AT_ONCE]
            one, other = a[part], b[part]
            dots = np.einsum("nd,nd->n", sums[one], sums[other])
            smaller = np.minimum(sizes[one], sizes[other])
            w[part] = linked(dots, sizes[one] * sizes[other], lengths[one] * lengths[other], smaller)
        fresh[stale] = True
        able = np.flatnonzero(w >= level)
        if len(able) == 0:
            if level <= similarity_min:
                return root
            level = max(level - STEP, similarity_min)
            continue
        joiners, hosts = _stars(a[able], b[able], w[able], sizes)
        grown, starts = np.unique(hosts, return_index=True)
        sums[grown] += np.add.reduceat(sums[joiners], starts, axis=0)
        sizes[grown] += np.add.reduceat(sizes[joiners], starts)
        lengths[grown] = np.linalg.norm(sums[grown], axis=1)
        to = np.arange(n)
        to[joiners] = hosts
        root = to[root]
        moved = np.zeros(n, bool)
        moved[joiners] = moved[grown] = True
        touched = moved[a] | moved[b]
        new_a, new_b, new_w = _contracted(to, a[touched], b[touched], w[touched])
        a, b, w = (np.concatenate([old[~touched], new]) for old, new in ((a, new_a), (b, new_b), (w, new_w)))
        fresh = np.concatenate([fresh[~touched], np.zeros(len(new_a), bool)])


def _contracted(
    to: np.ndarray, a: np.ndarray, b: np.ndarray, w: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The links after each cluster c became to[c], one a pair, at the strongest: an upper estimate of the linkage."""
    one, other = np.minimum(to[a], to[b]), np.maximum(to[a], to[b])
    order = np.lexsort((-w, other, one))
    order = order[one[order] != other[order]]
    one, other, w = one[order], other[order], w[order]
    first = np.ones(len(one), bool)
    first[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    return one[first], other[first], w[first]


def _stars(a: np.ndarray, b: np.ndarray, w: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Who joins whom now, sorted by host: each joins its strongest, if that is larger and itself stays."""
    own, other, w = np.concatenate([a, b]), np.concatenate([b, a]), np.tile(w, 2)
    order = np.lexsort((other, -w, own))
    order = order[np.diff(own[order], prepend=-1) != 0]
    own, other = own[order], other[order]
    larger = (sizes[other] > sizes[own]) | ((sizes[other] == sizes[own]) & (other < own))
    leaves = np.zeros(len(sizes), bool)
    leaves[own[larger]] = True
    joins = larger & ~leaves[other]
    own, other = own[joins], other[joins]
    order = np.argsort(other, kind="stable")
    return own[order], other[order]
