"""Which faces are one person, when nobody said how many persons there are.

Room:    identity (thinks)
Imports: types, clusters, links, numpy, scipy

Agglomeration on the graph of nearest neighbours. The linkage (identity/clusters.py) lies between average linkage and
the cosine of the centroids. Average linkage alone loses blurred and turned faces to their noise; centroids alone fuse
large clusters of poor faces; methods that count edges (CPM, modularity) break a person of thousands of faces into
clusters of a few hundred, because 20 neighbours a face cannot fill it. docs/clustering.md has the figures. Merges run
in parallel rounds, within a small step of best-first order, as in TeraHAC (Dhulipala et al. 2023, arXiv 2308.03578).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy
from numpy.typing import NDArray

from face_organizer.identity.clusters import Clusters, linkage
from face_organizer.identity.links import BARRED, Links, bars, connected, pairs_apart, pairs_rejected, starting_rows
from face_organizer.types import Float32, Int64

_STEP = 0.02
"""Merges within a step of similarity may happen in any order; .005 to .05 gave the same clusters."""

_FACES_AT_ONCE = 65_536
_PAIRS_AT_ONCE = 16_384


def cluster_graph(
    graph: scipy.sparse.csr_array,
    vectors: NDArray[np.floating],
    *,
    similarity_min: float,
    image_of: Int64 | None = None,
    anchor_of: Int64 | None = None,
    rejected: Int64 | None = None,
    start: Int64 | None = None,
) -> Int64:
    """Every face in exactly one cluster, a lonely one in its own. No randomness.

    What a human said holds whatever the similarity: all faces of one anchor are one cluster, clusters of different
    anchors never merge, and a rejected face never shares a cluster with that anchor. It beats the rule of one image
    (two faces of one image with one anchor do share a cluster) and a start: a face leaves its start for its anchor, or
    for having been rejected; the rest of a start goes along to the anchor where all anchors in it are one person's.

    graph:     csr_array (n, n), symmetric, from `symmetric_graph` with the same bound: who may merge with whom
    vectors:   float16 or float32 (n, d), unit rows
    image_of:  int64 (n,), each face's image: two faces of one image never share a cluster, unless they start in one;
               None lets them
    anchor_of: int64 (n,), the person that a human confirmed for the face, 0 for none
    rejected:  int64 (r, 2), (row of a face, anchor): where nobody has that anchor there is nothing to bar
    start:     int64 (n,), the cluster that the face starts in, any number >= 0; -1 for its own
    returns:   labels int64 (n,), 0 to number of clusters - 1
    raises:    AssertionError where a face is rejected from its own anchor
    """
    n = graph.shape[0]
    assert len(vectors) == n, (vectors.shape, graph.shape)
    assert all(of is None or len(of) == n for of in (image_of, anchor_of, start)), n
    barred = pairs_rejected(anchor_of, rejected)
    first = starting_rows(n, anchor_of, rejected, start)
    anchored = np.zeros(n, np.bool_)
    if anchor_of is not None:
        anchored[first[anchor_of > 0]] = True
    root = np.arange(n)
    for rows, links in _batches(graph, first, image_of, barred):
        place = np.searchsorted(rows, first[rows])
        clusters = Clusters(vectors, rows, np.ones(len(rows), np.float32), anchored[rows])
        clusters.gather(place)
        root[rows] = rows[agglomerated(clusters, links, similarity_min)[place]]
    return np.unique(root, return_inverse=True)[1].astype(np.int64)


def _batches(
    graph: scipy.sparse.csr_array, first: Int64, image_of: Int64 | None, barred: Int64
) -> Iterator[tuple[Int64, Links]]:
    """The graph in whole parts, a bounded number of faces at a time (unless one part is larger): the rows of each batch
    and its links, numbered within the batch. Faces without any link are left out. A part is what edges and common
    starts connect; what is barred matters only within one."""
    n = graph.shape[0]
    everything = _edges(graph)
    tied = np.flatnonzero(first != np.arange(n))
    part_of = connected(np.concatenate([everything.a, first[tied]]), np.concatenate([everything.b, tied]), n)
    sizes = np.bincount(part_of, minlength=n)
    ends = np.cumsum(np.where(sizes > 1, sizes, 0))
    batch_of = np.where(sizes > 1, (ends - sizes) // _FACES_AT_ONCE, -1)[part_of]
    barred = barred[part_of[barred[:, 0]] == part_of[barred[:, 1]]]
    if image_of is not None:
        barred = np.concatenate([barred, pairs_apart(image_of, part_of)])
    everything = everything.joined(bars(barred))
    place = np.zeros(len(part_of), np.int64)
    for batch in np.unique(batch_of[batch_of >= 0]).tolist():
        rows = np.flatnonzero(batch_of == batch)
        place[rows] = np.arange(len(rows))
        links = everything.kept(batch_of[everything.a] == batch)
        # Once through `contracted`: an edge between two faces of one image gives way to its bar.
        links = links.contracted(place[first])
        yield rows, links


def _edges(graph: scipy.sparse.csr_array) -> Links:
    """Each edge of a symmetric graph once."""
    row = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    upper = np.flatnonzero(graph.indices > row)
    linkage = graph.data[upper].astype(np.float32, copy=False)
    return Links(row[upper], graph.indices[upper].astype(np.int64), linkage, np.ones(len(upper), np.bool_))


def agglomerated(clusters: Clusters, links: Links, similarity_min: float) -> Int64:
    """Which of the m clusters each of them ends in, int64 (m,). Uses `clusters` up.

    links: at most one a pair; of two clusters of one face their similarity, else whatever is known of the linkage
    """
    root = np.arange(len(clusters.sizes))
    lengths = np.ones(len(root), np.float32)
    several = np.flatnonzero(clusters.sizes > 1)
    lengths[several] = clusters.lengths(several)
    links = links.without_rivals(clusters.anchored)
    links.fresh = (clusters.sizes[links.a] == 1) & (clusters.sizes[links.b] == 1) | np.isinf(links.linkage)
    _measure(links, np.flatnonzero(~links.fresh), clusters, lengths)
    level = max(float(links.linkage[np.isfinite(links.linkage)].max(initial=0.0)) - _STEP, similarity_min)
    while True:
        _measure(links, np.flatnonzero(~links.fresh & (links.linkage >= level)), clusters, lengths)
        able = np.flatnonzero((links.linkage >= level) & (links.linkage < BARRED))
        if len(able) == 0:
            if level <= similarity_min:
                return root
            level = max(level - _STEP, similarity_min)
            continue
        joiners, hosts = _chosen(links, able, clusters)
        grown = clusters.join(joiners, hosts)
        lengths[grown] = clusters.lengths(grown)
        to = np.arange(len(root))
        to[joiners] = hosts
        root = to[root]
        changed = np.zeros(len(root), np.bool_)
        changed[joiners] = changed[grown] = True
        touched = changed[links.a] | changed[links.b]
        links = links.kept(~touched).joined(links.kept(touched).contracted(to).without_rivals(clusters.anchored))


def _measure(links: Links, which: Int64, clusters: Clusters, lengths: Float32) -> None:
    """Replace estimates by the linkage itself."""
    for start in range(0, len(which), _PAIRS_AT_ONCE):
        part = which[start : start + _PAIRS_AT_ONCE]
        a, b = links.a[part], links.b[part]
        dots = np.einsum("nd,nd->n", clusters.sums(a), clusters.sums(b))
        n_a, n_b = clusters.sizes[a], clusters.sizes[b]
        links.linkage[part] = linkage(dots, n_a * n_b, lengths[a] * lengths[b], np.minimum(n_a, n_b))
    links.fresh[which] = True


def _chosen(links: Links, able: Int64, clusters: Clusters) -> tuple[Int64, Int64]:
    """Which clusters join which host in this round, sorted by host. At least one does.

    Each cluster looks at its strongest link. It joins the cluster there if that one is larger (ties: the lower number)
    and stays itself: so all merges of a round are stars, and a large person gathers many faces at once.
    """
    sizes = clusters.sizes
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
    kept = _without_barred(links, own, other, linkage, len(sizes)) & _one_anchor(own, other, linkage, clusters.anchored)
    own, other = own[kept], other[kept]
    order = np.argsort(other, kind="stable")
    return own[order], other[order]


def _without_barred(links: Links, own: Int64, other: Int64, linkage: Float32, m: int) -> NDArray[np.bool_]:
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


def _one_anchor(own: Int64, other: Int64, linkage: Float32, anchored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which joiners may go: of several anchored ones that would meet at one host, the strongest."""
    kept = np.ones(len(own), np.bool_)
    rivals = np.flatnonzero(anchored[own])
    order = rivals[np.lexsort((own[rivals], -linkage[rivals], other[rivals]))]
    kept[order[np.diff(other[order], prepend=-1) == 0]] = False
    return kept
