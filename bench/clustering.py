#!/usr/bin/env python3
"""How well and how fast people are told apart, from embeddings alone.

    python bench/clustering.py EMBEDDINGS.npz     names (n,) PERSON_NNNN.jpg, embeddings (n, d)
    python bench/clustering.py --synthetic 100000 [--dimensions 512] [--largest 20000]

Prints one line a method and bound. With an .npz, people are split in halves by the CRC-32 of their name: choose a bound
on the even half, believe the odd one. Scores as the library is scored: pairwise and BCubed precision, recall and F.
--neighbours-of earlier: each face's neighbours are those enrolled before it, as in the daemon; all: of everything.
"""

from __future__ import annotations

import argparse
import resource
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))

from face_organizer.adapters.index import FaceIndex
from face_organizer.identity.assign import nearest
from face_organizer.identity.centroids import Centroids
from face_organizer.identity.cluster import cluster_graph
from face_organizer.identity.fixed import cluster_fixed
from face_organizer.identity.graph import symmetric_graph
from face_organizer.types import PersonId


@dataclass(frozen=True)
class Gallery:
    """vectors: (n, d) unit rows, in order of arrival; who: int (n,); neighbours, similarities: (n, k)."""

    name: str
    vectors: np.ndarray
    who: np.ndarray
    neighbours: np.ndarray
    similarities: np.ndarray

    def graph(self, similarity_min: float, k: int) -> sparse.csr_array:
        ids = np.arange(len(self.who))
        return symmetric_graph(ids, self.neighbours[:, :k], self.similarities[:, :k], similarity_min)


def scores(who: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Pairwise and BCubed precision, recall, F, and the number of clusters."""
    _, who, sizes = np.unique(who, return_inverse=True, return_counts=True)
    _, label, found = np.unique(label, return_inverse=True, return_counts=True)
    cells, shared = np.unique(np.stack([who, label], axis=1), axis=0, return_counts=True)
    pairs = [float((c.astype(np.float64) * (c - 1)).sum()) for c in (shared, found, sizes)]
    precision, recall = (pairs[0] / pairs[1] if pairs[1] else 1.0), (pairs[0] / pairs[2] if pairs[2] else 1.0)
    squares = shared.astype(np.float64) ** 2
    b_precision = (squares / found[cells[:, 1]]).sum() / len(who)
    b_recall = (squares / sizes[cells[:, 0]]).sum() / len(who)
    f, b_f = (2 * p * r / (p + r) if p + r else 0.0 for p, r in ((precision, recall), (b_precision, b_recall)))
    return {"P": precision, "R": recall, "F": f, "bP": b_precision, "bR": b_recall, "bF": b_f, "k": len(found)}


def synthetic(n: int, d: int, largest: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A gallery of skewed sizes: within-person cosine .60 +- .10, 5 % look-alikes at .35, 2 % poor faces. float16."""
    rng = np.random.default_rng(seed)
    sizes = [largest] if largest else []
    while sum(sizes) < n:
        sizes.append(int(min(925, max(2, rng.lognormal(3.6, 1.0)))))
    people = rng.standard_normal((len(sizes), d)).astype(np.float32)
    people /= np.linalg.norm(people, axis=1, keepdims=True)
    alike = 2 * np.arange(len(sizes) // 40)
    people[alike + 1] = 0.35 * people[alike] + np.sqrt(1 - 0.35**2) * people[alike + 1]
    who = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    within = np.clip(rng.normal(0.60, 0.10, len(sizes)), 0.35, 0.85)
    vectors = np.empty((len(who), d), np.float16)
    for start in range(0, len(who), 20_000):
        part = who[start : start + 20_000]
        cosine2 = np.clip(within[part] * np.clip(rng.normal(1, 0.1, len(part)), 0.5, 1.3), 0.05, 0.95)
        cosine2[rng.random(len(part)) < 0.02] *= 0.4
        noise = rng.standard_normal((len(part), d)).astype(np.float32)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        mixed = np.sqrt(cosine2)[:, None] * people[part] + np.sqrt(1 - cosine2)[:, None] * noise
        vectors[start : start + len(part)] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    return vectors, who


def with_neighbours(name: str, vectors: np.ndarray, who: np.ndarray, k: int, nprobe: int, streamed: bool) -> Gallery:
    """Find everybody's neighbours: among all faces, or (streamed) among those enrolled before."""
    n, d = vectors.shape
    index = FaceIndex(d, flat_max_faces=20_000, retrain_factor=4, nprobe=nprobe, threads=2)
    neighbours = np.full((n, k), -1, np.int64)
    similarities = np.full((n, k), -1, np.float32)
    start = time.perf_counter()
    if not streamed:
        fill(index, vectors)
    for first in range(0, n, 256):
        rows = np.arange(first, min(first + 256, n))
        probes = vectors[rows].astype(np.float32)
        if streamed:
            index.add(rows, probes)
        ids, found = index.search(probes, k + 1)
        if streamed and index.needs_training():
            count = int(rows[-1]) + 1
            index.swap(index.train(partial(chunks, vectors[:count]), count), *nothing(d))
        own = ids == rows[:, None]
        own[~own.any(axis=1), -1] = True  # not among its own neighbours: the last one goes instead
        neighbours[rows] = ids[~own].reshape(len(rows), k)
        similarities[rows] = found[~own].reshape(len(rows), k)
    seconds = time.perf_counter() - start
    how = "among earlier faces" if streamed else "among all"
    print(f"\n{name}: {n} faces x {d}, {len(np.unique(who))} people; {k} neighbours in {seconds:.1f} s ({how})")
    return Gallery(name, vectors, who, neighbours, similarities)


def fill(index: FaceIndex, vectors: np.ndarray) -> None:
    if len(vectors) > 20_000:
        index.swap(index.train(lambda: chunks(vectors), len(vectors)), *nothing(vectors.shape[1]))
        return
    for ids, part in chunks(vectors):
        index.add(ids, part)


def chunks(vectors: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(vectors), 8192):
        part = vectors[start : start + 8192].astype(np.float32)
        yield np.arange(start, start + len(part)), part


def nothing(d: int) -> tuple[np.ndarray, np.ndarray]:
    return np.empty(0, np.int64), np.empty((0, d), np.float32)


def shipped(gallery: Gallery, similarity_min: float, k: int) -> np.ndarray:
    return cluster_graph(gallery.graph(similarity_min, k), gallery.vectors, similarity_min=similarity_min)


def components(gallery: Gallery, similarity_min: float, k: int) -> np.ndarray:
    return np.asarray(connected_components(gallery.graph(similarity_min, k), directed=False)[1])


def leiden_cpm(gallery: Gallery, similarity_min: float, k: int, gamma: float = 0.05) -> np.ndarray:
    """Constant Potts model. scikit-network divides weights by their sum and gives each of n nodes 1/n, so its
    resolution is gamma n^2 / sum of weights. Its refinement draws from an unseeded generator."""
    from sknetwork.clustering import Leiden

    graph = sparse.csr_matrix(gallery.graph(similarity_min, k))
    resolution = gamma * graph.shape[0] ** 2 / graph.data.sum()
    leiden = Leiden(resolution, modularity="potts", tol_optimization=1e-9, tol_aggregation=1e-9, return_probs=False)
    return np.asarray(leiden.fit_predict(graph))


def leader(gallery: Gallery, similarity_min: float, k: int) -> np.ndarray:
    """What streaming alone gives: the nearest centroid, else a new person."""
    centroids = Centroids(gallery.vectors.shape[1])
    label = np.empty(len(gallery.who), np.int64)
    for row, vector in enumerate(gallery.vectors.astype(np.float32)):
        best, similarity, _ = nearest(vector[None], centroids.matrix) if len(centroids) else ([0], [-1.0], None)
        near = similarity[0] >= similarity_min
        person = int(centroids.ids[best[0]]) if near else len(centroids) + 1
        centroids.add(PersonId(person), vector)
        label[row] = person
    return label


def report(
    galleries: list[Gallery], title: str, method: Callable[..., np.ndarray], bounds: list[float], k: int
) -> None:
    for bound in bounds:
        told = []
        for gallery in galleries:
            start = time.perf_counter()
            with Heartbeat() as heart:
                label = method(gallery, bound, k)
            seconds = time.perf_counter() - start
            found = scores(gallery.who, label)
            told.append(
                f"{gallery.name}: F {found['F']:.4f} (P {found['P']:.4f} R {found['R']:.4f}) "
                f"bF {found['bF']:.4f} (P {found['bP']:.4f} R {found['bR']:.4f}) "
                f"{found['k']:.0f} found, {seconds:.2f} s, stall {heart.stall_ms:.0f} ms"
            )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{title:22} {bound:.2f} | " + " | ".join(told) + f" | peak {peak:.2f} GB", flush=True)


class Heartbeat:
    """The longest time another thread could not run: what enrolment would feel beside a re-clustering."""

    def __enter__(self) -> Heartbeat:
        self.stall_ms = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        last = time.perf_counter()
        while not self._stop.wait(0.005):
            now = time.perf_counter()
            self.stall_ms, last = max(self.stall_ms, (now - last - 0.005) * 1000), now


def two_people(vectors: np.ndarray, people: np.ndarray, draws: int = 20) -> None:
    """The two largest people and 20 strangers: the worst of so many draws and seeds."""
    names, sizes = np.unique(people, return_counts=True)
    pair = names[np.argsort(-sizes, kind="stable")[:2]]
    for bound in (0.30, 0.35, 0.40, 0.45, 0.50):
        right, out = [], []
        for seed in range(draws):
            rng = np.random.default_rng(seed)
            strangers = [
                rng.choice(np.flatnonzero(people == s)) for s in rng.choice(np.setdiff1d(names, pair), 20, False)
            ]
            rows = rng.permutation(np.concatenate([np.flatnonzero(np.isin(people, pair)), strangers]))
            label = cluster_fixed(vectors[rows], 2, similarity_min=bound, seed=seed).labels
            second = people[rows] == pair[1]
            known = np.isin(people[rows], pair)
            right.append(max(float((label[known] == (second[known] ^ swap)).mean()) for swap in (False, True)))
            out.append(int((label[~known] == -1).sum()))
        print(
            f"two people, bound {bound:.2f}: right at least {min(right):.4f}, strangers out at least {min(out)} of 20"
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("embeddings", nargs="?", type=Path)
    arguments.add_argument("--synthetic", type=int, default=0)
    arguments.add_argument("--dimensions", type=int, default=512)
    arguments.add_argument(
        "--largest", type=int, default=0, help="one person of so many faces in the synthetic gallery"
    )
    arguments.add_argument("--neighbours", type=int, default=20)
    arguments.add_argument("--nprobe", type=int, default=32)
    arguments.add_argument("--neighbours-of", choices=["all", "earlier"], default="all")
    arguments.add_argument("--bounds", type=float, nargs="+")
    arguments.add_argument("--methods", nargs="+", default=["shipped", "leiden", "components", "leader"])
    given = arguments.parse_args()
    k, nprobe, streamed = given.neighbours, given.nprobe, given.neighbours_of == "earlier"
    if given.synthetic:
        vectors, who = synthetic(given.synthetic, given.dimensions, given.largest)
        galleries = [with_neighbours("synthetic", vectors, who, k, nprobe, streamed)]
        bounds = given.bounds or [0.30, 0.35, 0.40]
    else:
        stored = np.load(given.embeddings)
        people = np.array([name.rsplit("_", 1)[0] for name in stored["names"].tolist()])
        order = np.random.default_rng(0).permutation(len(people))
        vectors, people = stored["embeddings"][order].astype(np.float32), people[order]
        half = np.array([zlib.crc32(person.encode()) % 2 for person in people])
        rows = {"even": half == 0, "odd": half == 1, "all": half >= 0}
        galleries = [with_neighbours(name, vectors[r], people[r], k, nprobe, streamed) for name, r in rows.items()]
        bounds = given.bounds or [0.42, 0.44, 0.46, 0.48, 0.50, 0.52]
        two_people(vectors, people)
    methods = {"shipped": shipped, "leiden": leiden_cpm, "components": components, "leader": leader}
    for name in given.methods:
        report(galleries, name, methods[name], bounds, k)


if __name__ == "__main__":
    main()
