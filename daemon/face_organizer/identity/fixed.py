"""Which faces are one person, when somebody said how many persons there are; the rest are strangers.

Room:    identity (thinks)
Imports: types, bound, kmeans, pairing, numpy

Trimmed spherical k-means (identity/kmeans.py) finds the centroids, from several starts; then every face is assigned by
one rule: a similarity to the nearest centroid above a bound, one face of an image to a person, no face to a person that
a human ruled out. The bound may be learned from the faces themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face_organizer.identity.bound import learned_bound
from face_organizer.identity.kmeans import ASIDE, FREE, SAMPLE_FACES, Vectors, climbed, means, members, parts, sampled
from face_organizer.identity.kmeans import seeded as seeded_centroids
from face_organizer.identity.pairing import paired
from face_organizer.types import Float32, Int64

_SHAPING_BELOW = 0.2
"""Who shapes a centroid may lie so far below the pack's bound: poor photos of a person are still photos of it."""
_ALONE_LENGTH = 1.01
"""The sum of one face is 1 long: it is all there is of its person."""

POOR_BELOW, POOR_MARGIN_MIN = 0.10, 0.10
"""A poor face may be less similar to its person by so much, if the second-best person is farther off by so much."""

_ROUNDS_FIRST, _ROUNDS_MAX, _ROUNDS_ALL_MAX = 6, 50, 6
_KINDS_OF_START = ((0.0, 32), (-0.2, 32), (0.25, 8), (-0.4, 32), (0.0, 3), (0.5, 3))
"""Of each start: how much lower the bound of its first rounds is (two people who are alike are one to a low bound, two
to a higher one), and how many candidates a seed is chosen from."""
_BETTER_BY = 1e-3
"""Persons go on as they are unless other centroids reach an objective that is better by so much."""


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """labels: int64 (n,), a cluster or -1 for an outlier. persons: int64 (k,), the person that each cluster continues,
    0 for a new one. centroids: float32 (k, d). similarity_min: the bound that decided, given or learned."""

    labels: Int64
    persons: Int64
    centroids: Float32
    similarity_min: float


def cluster_fixed(
    vectors: Vectors,
    people: int,
    *,
    similarity_min: float,
    seed: int,
    learn: bool = False,
    starts: int = 12,
    initial: Sequence[Float32] = (),
    founder: NDArray[np.bool_] | None = None,
    image_of: Int64 | None = None,
    person_of: Int64 | None = None,
    anchor_of: Int64 | None = None,
    rejected: Int64 | None = None,
) -> Fixed:
    """The faces of `people` persons, strangers left out. Many starts on a sample, the best one finished on everything.

    vectors: float16 or float32 (n, d), unit rows; learn: similarity_min is only where to begin, see learned_bound;
    initial: float32 (people, d) each, unit rows: more starts. founder: bool (n,), may shape a centroid (all, if None);
    image_of: int64 (n,): two faces of one image never
    share a cluster (None: they may). person_of: int64 (n,), the person of each face now, 0 for nobody: who goes on.
    anchor_of: int64 (n,), the person a human confirmed for a face, 0 for none: such faces share a cluster if and only
    if they share the person; more persons than `people` make more clusters. rejected: int64 (r, 2), (row, person):
    that face is never in that person's cluster.
    """
    rng = np.random.default_rng(seed)
    n = len(vectors)
    anchor_of = np.zeros(n, np.int64) if anchor_of is None else anchor_of
    person_of = np.zeros(n, np.int64) if person_of is None else person_of
    confirmed = np.unique(anchor_of[anchor_of > 0])
    clusters = max(people, len(confirmed))
    if n == 0:
        return Fixed(
            np.empty(0, np.int64), np.zeros(clusters, np.int64), np.zeros((clusters, vectors.shape[1]), np.float32),
            similarity_min,
        )  # fmt: skip
    fixed_to = np.where(anchor_of > 0, np.searchsorted(confirmed, anchor_of), FREE)
    held = np.where((fixed_to == FREE) & ~_shapers(founder, n), ASIDE, fixed_to)

    going_on = _going_on(vectors, np.where(held == ASIDE, 0, person_of), clusters)
    tries = [*going_on, *initial]
    shaping_min = similarity_min - (_SHAPING_BELOW if learn else 0)
    centroids = _best(vectors, clusters, shaping_min, rng, held, tries, bool(going_on), starts)
    centroids, _ = climbed(vectors, centroids, shaping_min, rng, rounds_max=_ROUNDS_ALL_MAX, held=held)

    label, _ = members(vectors, centroids, shaping_min, held)
    shape = _shape(vectors, label, centroids)
    bound = similarity_min
    if learn:
        bound = learned_bound(shape.nearest(vectors)[held == FREE], similarity_min)
    persons = continued(label, np.where(fixed_to == FREE, person_of, 0), confirmed, clusters)
    rule = _Rule(bound, None if founder is None else ~founder, image_of, fixed_to, _ruled_out(rejected, persons))
    label = rule.assign(vectors, shape)
    # Once more, from what the rule left each person with.
    shape = _shape(vectors, np.where(held == ASIDE, -1, label), shape.centroids)
    return Fixed(rule.assign(vectors, shape), persons, shape.centroids, bound)


def continued(label: Int64, person_of: Int64, confirmed: Int64, clusters: int) -> Int64:
    """The person that each cluster continues, int64 (clusters,), 0 for a new one.

    The first clusters are those of the confirmed persons. The others are matched one to one with the other persons so
    that the most faces keep theirs (Kuhn-Munkres); between equals the older person goes on.
    """
    persons = np.zeros(clusters, np.int64)
    persons[: len(confirmed)] = confirmed
    open_, others = np.arange(len(confirmed), clusters), np.setdiff1d(person_of[person_of > 0], confirmed)
    both = (label >= len(confirmed)) & np.isin(person_of, others)
    shared = np.zeros((len(open_), len(others)))
    np.add.at(shared, (label[both] - len(confirmed), np.searchsorted(others, person_of[both])), 1)
    gain = np.where(shared > 0, shared + 0.5 / (1 + np.arange(len(others))), 0)
    for cluster, other in zip(*paired(gain), strict=True):
        if shared[cluster, other] > 0:
            persons[open_[cluster]] = others[other]
    return persons


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """Centroids, and who shaped them: a face must not count as near to a centroid that it pulled to itself.

    centroids: float32 (k, d); label: int64 (n,), which centroid a face helped to shape, -1 for none; length: float32
    (k,), of the sum of its faces.
    """

    centroids: Float32
    label: Int64
    length: Float32

    def similarities(self, start: int, part: Float32) -> Float32:
        """Of the faces from row `start` on to each centroid, that of a face to its own without the face itself."""
        similarities: Float32 = part @ self.centroids.T
        label = self.label[start : start + len(part)]
        row = np.flatnonzero((label >= 0) & (self.length[label] > _ALONE_LENGTH))
        own, length = similarities[row, label[row]], self.length[label[row]]
        similarities[row, label[row]] = (length * own - 1) / np.sqrt(np.maximum(length**2 - 2 * length * own + 1, 1e-6))
        return similarities

    def nearest(self, vectors: Vectors) -> Float32:
        similarity = np.empty(len(vectors), np.float32)
        for rows, part in parts(vectors):
            similarity[rows] = self.similarities(rows.start, part).max(axis=1)
        return similarity


def _shape(vectors: Vectors, label: Int64, before: Float32) -> _Shape:
    """The shape that the labels make; a centroid without a face stays where it was."""
    centroids = means(vectors, label, len(before))
    centroids = np.where(centroids.any(axis=1, keepdims=True), centroids, before)
    length = np.zeros(len(before))
    for rows, part in parts(vectors):
        member = np.flatnonzero(label[rows] >= 0)
        own = np.einsum("ij,ij->i", part[member], centroids[label[rows][member]])
        length += np.bincount(label[rows][member], weights=own, minlength=len(before))
    return _Shape(centroids, label, length.astype(np.float32))


def _worth(vectors: Vectors, centroids: Float32, similarity_min: float, held: Int64) -> float:
    """The trimmed objective, with each face as similar as it is to the others of its cluster.

    A face counts for part of its own mean: of few faces, three strangers that have nothing in common would be a cluster
    (.58 each), and worth fusing two people for.
    """
    label, _ = members(vectors, centroids, similarity_min, held)
    taking_part = held != ASIDE
    similarity = _shape(vectors, label, centroids).nearest(vectors)[taking_part]
    return float(np.maximum(similarity, similarity_min).mean()) if len(similarity) else similarity_min


@dataclass(frozen=True, slots=True, eq=False)
class _Rule:
    """Who belongs to whom, given the centroids. poor: bool (n,); forbidden: int64 (r, 2), (row, cluster), by row."""

    similarity_min: float
    poor: NDArray[np.bool_] | None
    image_of: Int64 | None
    fixed_to: Int64
    forbidden: Int64

    def assign(self, vectors: Vectors, shape: _Shape) -> Int64:
        label = np.empty(len(vectors), np.int64)
        for rows, part in parts(vectors):
            similarities = self._similarities(rows.start, part, shape)
            every = np.arange(len(part))
            nearest = similarities.argmax(axis=1)
            similarity = similarities[every, nearest]
            near = similarity >= self.similarity_min
            if self.poor is not None and len(shape.centroids) > 1:
                similarities[every, nearest] = -2
                clear = similarity - similarities.max(axis=1) >= POOR_MARGIN_MIN
                near |= self.poor[rows] & clear & (similarity >= self.similarity_min - POOR_BELOW)
            label[rows] = np.where(near, nearest, -1)
        label = np.where(self.fixed_to == FREE, label, self.fixed_to)
        return label if self.image_of is None else self._one_each(label, self.image_of, vectors, shape)

    def _similarities(self, start: int, part: Float32, shape: _Shape) -> Float32:
        similarities = shape.similarities(start, part)
        first, last = np.searchsorted(self.forbidden[:, 0], (start, start + len(part)))
        row, cluster = self.forbidden[first:last].T
        similarities[row - start, cluster] = -1
        return similarities

    def _one_each(self, label: Int64, image_of: Int64, vectors: Vectors, shape: _Shape) -> Int64:
        """Where two faces of an image would be one person: the choice with the largest total excess over the bound."""
        placed = np.flatnonzero(label >= 0)
        key = image_of[placed] * len(shape.centroids) + label[placed]
        found, counts = np.unique(key, return_counts=True)
        rows = np.flatnonzero(np.isin(image_of, found[counts > 1] // len(shape.centroids)))
        rows = rows[np.argsort(image_of[rows], kind="stable")]
        _, firsts = np.unique(image_of[rows], return_index=True)
        for group in np.split(rows, firsts[1:]) if len(rows) else ():
            free = group[self.fixed_to[group] == FREE]  # what a human decided stands, also twice in one image
            taken = np.setdiff1d(group, free)
            similarities = np.concatenate(
                [self._similarities(int(row), vectors[row : row + 1].astype(np.float32), shape) for row in free]
                or [np.empty((0, len(shape.centroids)), np.float32)]
            )
            excess = similarities - (self.similarity_min - POOR_BELOW) + 1e-6
            own = np.flatnonzero(label[free] >= 0)
            allowed = similarities >= self.similarity_min
            allowed[own, label[free[own]]] = True
            allowed[:, self.fixed_to[taken]] = False
            excess = np.where(allowed, excess, 0)
            label[free] = -1
            for face, cluster in zip(*paired(excess), strict=True):
                if allowed[face, cluster]:
                    label[free[face]] = cluster
        return label


def _ruled_out(rejected: Int64 | None, persons: Int64) -> Int64:
    """(row, person) as (row, cluster), by row; persons without a cluster left out."""
    if rejected is None or len(rejected) == 0:
        return np.empty((0, 2), np.int64)
    pairs = [np.stack([rejected[rejected[:, 1] == person, 0], np.full((rejected[:, 1] == person).sum(), cluster)], 1)
             for cluster, person in enumerate(persons.tolist()) if person]  # fmt: skip
    found = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)
    return found[np.argsort(found[:, 0], kind="stable")]


def _shapers(founder: NDArray[np.bool_] | None, n: int) -> NDArray[np.bool_]:
    """Who shapes the centroids: the founders; everybody where most faces are too poor to found anything."""
    if founder is None or 2 * np.count_nonzero(founder) < n:
        return np.ones(n, np.bool_)
    return founder


def _going_on(vectors: Vectors, person_of: Int64, clusters: int) -> list[Float32]:
    """The centroids of the largest persons there are now, as one start; none before there are any."""
    persons, at, sizes = np.unique(person_of, return_inverse=True, return_counts=True)
    order = np.argsort(-np.where(persons > 0, sizes, -1), kind="stable")[: min(clusters, int((persons > 0).sum()))]
    if len(order) == 0:
        return []
    row = np.full(len(persons), -1, np.int64)
    row[order] = np.arange(len(order))
    return [means(vectors, row[at], clusters)]


def _best(
    vectors: Vectors,
    clusters: int,
    similarity_min: float,
    rng: np.random.Generator,
    held: Int64,
    tries: list[Float32],
    going_on: bool,
    starts: int,
) -> Float32:
    """The centroids of the best of all starts, each tried for a few rounds on a sample, the best brought to its end."""
    sample, sample_held = sampled(vectors, max(SAMPLE_FACES, 50 * clusters), rng, held)
    assert sample_held is not None
    seeds = SAMPLE_FACES if clusters <= 10 else max(SAMPLE_FACES // 4, 50 * clusters)
    anchors = means(sample, sample_held, clusters)
    begun = [_with_anchors(centroids, anchors) for centroids in tries]
    begun += [anchors] * max(starts - len(tries) if clusters > 20 else starts, 0 if tries else 1)

    def run(centroids: Float32, rounds_max: int, lower: float = 0.0, candidates: int = 32) -> tuple[Float32, float]:
        if not centroids.any(axis=1).all():
            few, few_held = sampled(sample, seeds, rng, sample_held)
            bound = similarity_min - min(lower, 0.0)
            centroids = seeded_centroids(few, centroids, bound, rng, few_held, candidates)
        if lower:
            centroids, _ = climbed(sample, centroids, similarity_min - lower, rng, rounds_max=3, held=sample_held)
        centroids, _ = climbed(sample, centroids, similarity_min, rng, rounds_max=rounds_max, held=sample_held)
        return centroids, _worth(sample, centroids, similarity_min, sample_held)

    reached = [
        run(centroids, _ROUNDS_FIRST, *_KINDS_OF_START[number % len(_KINDS_OF_START)])
        for number, centroids in enumerate(begun)
    ]
    best, _ = max(reached, key=lambda result: result[1])
    best, objective = run(best, _ROUNDS_MAX)
    if going_on:
        stays, reached_by_it = run(reached[0][0], _ROUNDS_MAX)
        if reached_by_it >= objective - _BETTER_BY:
            return stays
    return best


def _with_anchors(centroids: Float32, anchors: Float32) -> Float32:
    """A start whose first rows are the confirmed persons: each in place of the centroid most like it."""
    confirmed = anchors.any(axis=1)
    _, replaced = paired(anchors[confirmed] @ centroids.T)
    rest = np.setdiff1d(np.arange(len(centroids)), replaced)
    first = int(confirmed.sum())
    start = anchors.copy()
    start[first : first + len(rest)] = centroids[rest][: len(anchors) - first]
    return start
