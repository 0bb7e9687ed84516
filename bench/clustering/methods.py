"""The ways to cluster that are compared. All but two start from the same graph of nearest neighbours.

Leiden, Infomap and HDBSCAN come from packages that are no part of this project (requirements/bench.txt; igraph and
infomap are GPL); a method whose package is not installed is skipped, and said so.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from bench.clustering.agglomerate import agglomerate, between
from bench.clustering.galleries import Gallery
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from face_organizer.identity.assign import nearest
from face_organizer.identity.centroids import Centroids
from face_organizer.identity.cluster import cluster_graph


@dataclass(frozen=True, slots=True)
class Method:
    """find(gallery, similarity_min) -> label (n,), -1 for a face that is alone. package: what it needs, "" for ours."""

    title: str
    find: Callable[[Gallery, float], np.ndarray]
    package: str = ""
    faces_max: int = 10_000_000

    @property
    def is_here(self) -> bool:
        return not self.package or importlib.util.find_spec(self.package) is not None


def shipped(gallery: Gallery, similarity_min: float) -> np.ndarray:
    return cluster_graph(gallery.graph(similarity_min), gallery.vectors, similarity_min=similarity_min)


def founders_first(gallery: Gallery, similarity_min: float) -> np.ndarray:
    """As the daemon runs it: founders are clustered, the others join the nearest centroid, .04 above the bound."""
    label = np.full(len(gallery.who), -1, np.int64)
    rows, others = np.flatnonzero(gallery.founder), np.flatnonzero(~gallery.founder)
    graph = sparse.csr_array(gallery.graph(similarity_min)[rows][:, rows])
    label[rows] = cluster_graph(graph, gallery.vectors[rows], similarity_min=similarity_min)
    if len(others):
        centroids = Centroids(gallery.vectors.shape[1])
        centroids.add_all(label[rows] + 1, gallery.vectors[rows].astype(np.float32))
        row, similarity, _ = nearest(gallery.vectors[others].astype(np.float32), centroids.matrix)
        near = similarity >= similarity_min + 0.04
        label[others[near]] = centroids.ids[row[near]] - 1
    return label


def components(gallery: Gallery, similarity_min: float) -> np.ndarray:
    return np.asarray(connected_components(gallery.graph(similarity_min), directed=False)[1])


def dbscan(gallery: Gallery, similarity_min: float, *, faces_min: int) -> np.ndarray:
    """DBSCAN (Ester et al. 1996) whose neighbourhoods are those of the graph. faces_min counts the face itself; with 2
    it is connected components. A border face goes to its most similar core face, noise stays alone."""
    graph = gallery.graph(similarity_min)
    core = np.diff(graph.indptr) + 1 >= faces_min
    cores = np.flatnonzero(core)
    label = np.full(len(core), -1, np.int64)
    label[cores] = connected_components(sparse.csr_array(graph[cores][:, cores]), directed=False)[1]
    edges = graph.tocoo()
    border = np.flatnonzero(~core[edges.row] & core[edges.col])
    border = border[np.argsort(edges.data[border], kind="stable")]  # the most similar is written last
    label[edges.row[border]] = label[edges.col[border]]
    return label


def linked(gallery: Gallery, similarity_min: float, *, share: float, share_of_one: float) -> np.ndarray:
    """Agglomeration as it is shipped, by a linkage between average (0) and centroid (1), see `between`."""
    strength = partial(between, centroid_share=share, centroid_share_of_one=share_of_one)
    return agglomerate(gallery.graph(similarity_min), gallery.vectors, similarity_min, strength)


def average_full(gallery: Gallery, similarity_min: float) -> np.ndarray:
    """Average linkage over all pairs: what the graph is an approximation of."""
    vectors = gallery.vectors.astype(np.float32)
    above = np.triu_indices(len(vectors), 1)
    distances = 1 - (vectors @ vectors.T)[above]
    return np.asarray(fcluster(linkage(distances, "average"), 1 - similarity_min, "distance"))


def chinese_whispers(gallery: Gallery, similarity_min: float, *, rounds: int = 30, parts: int = 16) -> np.ndarray:
    """Chinese whispers (Biemann 2006): everybody, in random order, takes the label with the most weight around him.
    A 16th of the faces at a time, so that it is matrices' work; until fewer than one face in 10,000 changes."""
    graph = gallery.graph(similarity_min)
    n = graph.shape[0]
    rng = np.random.default_rng(0)
    label = np.arange(n)
    for _ in range(rounds):
        changed = 0
        for rows in np.array_split(rng.permutation(n), parts):
            around = graph[rows].tocoo()
            key = around.row.astype(np.int64) * n + label[around.col]
            order = np.argsort(key, kind="stable")
            found, starts = np.unique(key[order], return_index=True)
            weight = np.add.reduceat(around.data[order], starts) if len(starts) else np.empty(0, np.float32)
            best = np.lexsort((found, weight, found // n))
            last = np.diff(found[best] // n, append=-1) != 0
            own, new = rows[found[best][last] // n], found[best][last] % n
            changed += int((label[own] != new).sum())
            label[own] = new
        if changed * 10_000 < n:
            break
    return label


def leiden(gallery: Gallery, similarity_min: float, *, gamma: float) -> np.ndarray:
    """Leiden (Traag et al. 2019) for the constant Potts model."""
    import igraph

    upper = sparse.triu(gallery.graph(similarity_min), 1).tocoo()
    edges = np.stack([upper.row, upper.col], axis=1)
    graph = igraph.Graph(n=len(gallery.who), edges=edges)
    igraph.set_random_number_generator(random.Random(0))
    found = graph.community_leiden("CPM", weights=upper.data, resolution=gamma, n_iterations=4)
    return np.array(found.membership)


def infomap(gallery: Gallery, similarity_min: float) -> np.ndarray:
    """The two-level map equation (Rosvall & Bergstrom 2008)."""
    from infomap import Infomap

    upper = sparse.triu(gallery.graph(similarity_min), 1).tocoo()
    label = np.full(len(gallery.who), -1, np.int64)
    if upper.nnz == 0:
        return label
    machine = Infomap("--two-level --silent --seed 1")
    machine.add_links(np.stack([upper.row, upper.col, upper.data], axis=1).astype(np.float64))
    machine.run()
    modules = machine.get_modules()
    label[np.fromiter(modules.keys(), np.int64)] = np.fromiter(modules.values(), np.int64)
    return label


def hdbscan(gallery: Gallery, similarity_min: float, *, band: float = 0.1) -> np.ndarray:
    """HDBSCAN (Campello et al. 2013) of clusters of two or more, on the graph. What is less similar than the bound is
    apart, what is more similar than the bound + band stays together (Malzer & Baum 2020), between the two the excess of
    mass decides. A core is one face and its nearest, so that mutual reachability is the similarity itself."""
    from hdbscan._hdbscan_linkage import label as single_linkage
    from hdbscan._hdbscan_tree import compute_stability, condense_tree, get_clusters

    graph = gallery.graph(similarity_min)
    graph.data = np.maximum(1 - graph.data, 1e-6).astype(np.float64)
    tree = minimum_spanning_tree(graph).tocoo()
    parts, part_of = connected_components(tree, directed=False)
    first = np.unique(part_of, return_index=True)[1]
    links = np.stack([first[:-1], first[1:], np.full(parts - 1, 2.0)], axis=1)  # what is apart is joined last
    edges = np.concatenate([np.stack([tree.row, tree.col, tree.data], axis=1), links])
    edges = edges[np.argsort(edges[:, 2], kind="stable")].astype(np.float64)
    condensed = condense_tree(single_linkage(edges), 2)
    label, _, _ = get_clusters(
        condensed, compute_stability(condensed), "eom", False, False, 1 - similarity_min - band, 0, np.inf
    )
    return np.asarray(label)


def leader(gallery: Gallery, similarity_min: float, *, at_once: int = 256) -> np.ndarray:
    """What streaming alone gives: the nearest centroid, else a new person. Exact: blocks only make matrices of it."""
    n, d = gallery.vectors.shape
    label = np.empty(n, np.int64)
    sums, units, persons = np.zeros((1024, d), np.float32), np.zeros((1024, d), np.float32), 0
    for start in range(0, n, at_once):
        block = gallery.vectors[start : start + at_once].astype(np.float32)
        known = block @ units[:persons].T
        changed: list[int] = []
        while persons + len(block) > len(sums):
            sums, units = (np.concatenate([a, np.zeros_like(a)]) for a in (sums, units))
        for row, vector in enumerate(block):
            near, old = (int(known[row].argmax()), float(known[row].max())) if known.shape[1] else (-1, -1.0)
            if changed:
                fresh = units[changed] @ vector
                if fresh.max() > old:
                    near, old = changed[int(fresh.argmax())], float(fresh.max())
            if old < similarity_min:
                near, persons = persons, persons + 1
            sums[near] += vector
            units[near] = sums[near] / np.linalg.norm(sums[near])
            if near < known.shape[1]:
                known[:, near] = -1.0  # from now on among `changed`
            if near not in changed:
                changed.append(near)
            label[start + row] = near
    return label


METHODS = {
    "shipped": Method("**shipped**", shipped),
    "founders": Method("shipped, founders first", founders_first),
    "average": Method("average linkage on the graph", partial(linked, share=0, share_of_one=0)),
    "linked-.5": Method("half centroid", partial(linked, share=0.5, share_of_one=0.5)),
    "linked-.75": Method("three quarters centroid", partial(linked, share=0.75, share_of_one=0.75)),
    "linked-1": Method("centroid linkage", partial(linked, share=1, share_of_one=1)),
    "small-.5": Method("half centroid, one face wholly", partial(linked, share=0.5, share_of_one=1)),
    "small-.3": Method("a third centroid, one face wholly", partial(linked, share=0.3, share_of_one=1)),
    "average-full": Method("average linkage, all pairs", average_full, faces_max=12_000),
    "components": Method("connected components", components),
    "dbscan-3": Method("DBSCAN, 3 faces", partial(dbscan, faces_min=3)),
    "dbscan-5": Method("DBSCAN, 5 faces", partial(dbscan, faces_min=5)),
    "hdbscan": Method("HDBSCAN on the graph", hdbscan, "hdbscan"),
    "whispers": Method("Chinese whispers", chinese_whispers),
    "leiden-.05": Method("Leiden CPM, gamma .05", partial(leiden, gamma=0.05), "igraph"),
    "leiden-.002": Method("Leiden CPM, gamma .002", partial(leiden, gamma=0.002), "igraph"),
    "leiden-.0001": Method("Leiden CPM, gamma .0001", partial(leiden, gamma=0.0001), "igraph"),
    "infomap": Method("Infomap", infomap, "infomap"),
    "leader": Method("online leader", leader),
}
