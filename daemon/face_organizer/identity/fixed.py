"""Which faces are one person, when somebody said how many persons there are; the rest are strangers.

Room:    identity (thinks)
Imports: types, numpy, scipy

Spherical k-means (Dhillon and Modha 2001) with a trimmed objective (Cuesta-Albertos et al. 1997): the sum over all
faces of max(similarity to the nearest centroid, similarity_min). A stranger counts the same wherever it is, so it pulls
at nothing; each round of k-means over the faces above the bound can only raise the sum.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from face_organizer.types import Float32, Int64

_SAMPLE_FACES = 20_000
_ROWS_AT_ONCE = 8_192
_ROUNDS_MAX = 50

Vectors = NDArray[np.floating]


def cluster_fixed(
    vectors: Vectors,
    people: int,
    *,
    similarity_min: float,
    seed: int,
    starts: int = 8,
    initial: Float32 | None = None,
) -> Int64:
    """The faces of `people` persons, strangers left out. Many starts on a sample, the best one finished on everything.

    vectors: float16 or float32 (n, d), unit rows; initial: float32 (people, d), unit rows: one more start
    returns: labels int64 (n,), 0 to people - 1, or -1 for an outlier (below similarity_min to every centroid)
    """
    if len(vectors) == 0:
        return np.empty(0, np.int64)
    rng = np.random.default_rng(seed)
    sample = _sampled(vectors, max(_SAMPLE_FACES, 50 * people), rng)
    tries = [] if initial is None else [initial.astype(np.float32)]
    for _ in range(starts):
        nowhere = np.zeros((people, vectors.shape[1]), np.float32)
        tries.append(_seeded(sample, nowhere, similarity_min, rng))
    climbed = [_climbed(sample, centroids, similarity_min, rng) for centroids in tries]
    centroids, _ = max(climbed, key=lambda result: result[1])
    if len(sample) < len(vectors):
        centroids, _ = _climbed(vectors, centroids, similarity_min, rng)
    label, _ = _members(vectors, centroids, similarity_min)
    return label


def _climbed(
    vectors: Vectors, centroids: Float32, similarity_min: float, rng: np.random.Generator
) -> tuple[Float32, float]:
    """The centroids after trimmed k-means from here, and the objective they reach (its mean over the faces)."""
    label, covered = _members(vectors, centroids, similarity_min)
    for _ in range(_ROUNDS_MAX):
        before = label
        centroids = _means(vectors, label, len(centroids))
        if not centroids.any(axis=1).all():
            # A person whom nobody is near is looked for again, where the most faces are left over.
            sample = _sampled(vectors, _SAMPLE_FACES, rng)
            centroids = _seeded(sample, centroids, similarity_min, rng)
        label, covered = _members(vectors, centroids, similarity_min)
        if np.array_equal(label, before):
            break
    return centroids, float(covered.mean())


def _members(vectors: Vectors, centroids: Float32, similarity_min: float) -> tuple[Int64, Float32]:
    """Each face's nearest centroid, -1 below the bound, and what it adds to the objective."""
    label = np.empty(len(vectors), np.int64)
    covered = np.empty(len(vectors), np.float32)
    for rows, part in _parts(vectors):
        similarities = part @ centroids.T
        nearest = similarities.argmax(axis=1)
        similarity = similarities[np.arange(len(part)), nearest]
        label[rows] = np.where(similarity >= similarity_min, nearest, -1)
        covered[rows] = np.maximum(similarity, similarity_min)
    return label, covered


def _means(vectors: Vectors, label: Int64, people: int) -> Float32:
    """The unit mean of each label's faces, float32 (people, d); zeros where there are none."""
    sums = np.zeros((people, vectors.shape[1]), np.float64)
    for rows, part in _parts(vectors):
        member = np.flatnonzero(label[rows] >= 0)
        place = (label[rows][member], member)
        sums += sparse.csr_array((np.ones(len(member), np.float32), place), shape=(people, len(part))) @ part
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    means: Float32 = np.divide(sums, norms, out=np.zeros_like(sums), where=norms > 1e-6).astype(np.float32)
    return means


def _seeded(sample: Float32, centroids: Float32, similarity_min: float, rng: np.random.Generator) -> Float32:
    """Fill the zero rows of centroids one by one: of a few faces nobody covers yet, the one that covers the most.

    Greedy k-means++ on the trimmed objective: the best of several candidates is hardly ever a stranger.
    """
    centroids = centroids.copy()
    _, covered = _members(sample, centroids, similarity_min)
    candidates_max = max(4, min(32, 2000 // len(centroids)))
    for row in np.flatnonzero(~centroids.any(axis=1)):
        left_over = np.flatnonzero(covered <= similarity_min)
        if len(left_over) == 0:
            left_over = np.arange(len(sample))
        candidates = sample[rng.choice(left_over, min(len(left_over), candidates_max), replace=False)]
        covering = np.maximum(candidates @ sample.T, covered)
        best = int(covering.sum(axis=1).argmax())
        centroids[row] = candidates[best]
        covered = covering[best]
    return centroids


def _sampled(vectors: Vectors, size: int, rng: np.random.Generator) -> Float32:
    """At most `size` of the rows, float32."""
    if size >= len(vectors):
        return vectors.astype(np.float32)
    return vectors[np.sort(rng.choice(len(vectors), size, replace=False))].astype(np.float32)


def _parts(vectors: Vectors) -> Iterator[tuple[slice, Float32]]:
    """The rows as float32, a few at a time: half a million of 512 dimensions are a gigabyte."""
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        yield rows, vectors[rows].astype(np.float32, copy=False)
