"""Spherical k-means that strangers do not pull at, in little memory.

Room:    identity (thinks)
Imports: types, numpy, scipy

Spherical k-means (Dhillon and Modha 2001) with a trimmed objective (Cuesta-Albertos et al. 1997): the mean over all
faces of max(similarity to the nearest centroid, similarity_min). A stranger counts the same wherever it is, so it pulls
at nothing; each round of k-means over the faces above the bound can only raise the sum.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy
from numpy.typing import NDArray

from face_organizer.types import Float32, Int64

FREE, ASIDE = -1, -2
"""In `held`: the face joins whom it is nearest to; the face takes no part. From 0 on: it is in this cluster."""

SAMPLE_FACES = 20_000
ROWS_AT_ONCE = 8_192
_SETTLED_SHARE = 1e-4

Vectors = NDArray[np.floating]


def climbed(
    vectors: Vectors,
    centroids: Float32,
    similarity_min: float,
    rng: np.random.Generator,
    *,
    rounds_max: int,
    held: Int64 | None = None,
) -> tuple[Float32, float]:
    """The centroids after trimmed k-means from here, and the objective they reach.

    A centroid that is zero, or that loses its last face, is sought again where most faces are left over; but once only,
    for there may be fewer people than centroids.
    vectors: (n, d), unit rows; centroids: float32 (k, d), unit or zero rows; held: int64 (n,), see FREE
    """
    mended = False
    label, covered = members(vectors, centroids, similarity_min, held)
    for _ in range(rounds_max):
        before = label
        centroids = means(vectors, label, len(centroids))
        if not mended and not centroids.any(axis=1).all():
            mended = True
            sample, sample_held = sampled(vectors, SAMPLE_FACES, rng, held)
            centroids = seeded(sample, centroids, similarity_min, rng, sample_held)
        label, covered = members(vectors, centroids, similarity_min, held)
        if np.count_nonzero(label != before) <= _SETTLED_SHARE * len(label):
            break
    return centroids, float(covered.mean())


def members(
    vectors: Vectors, centroids: Float32, similarity_min: float, held: Int64 | None = None
) -> tuple[Int64, Float32]:
    """Each face's nearest centroid, -1 below the bound, int64 (n,); what it adds to the objective, float32 (n,)."""
    label = np.empty(len(vectors), np.int64)
    covered = np.empty(len(vectors), np.float32)
    for rows, part in parts(vectors):
        similarities = part @ centroids.T
        nearest = similarities.argmax(axis=1)
        similarity = similarities[np.arange(len(part)), nearest]
        label[rows] = np.where(similarity >= similarity_min, nearest, -1)
        covered[rows] = np.maximum(similarity, similarity_min)
    if held is not None:
        label = np.where(held == FREE, label, np.maximum(held, -1))
        covered[held == ASIDE] = similarity_min
    return label, covered


def means(vectors: Vectors, label: Int64, clusters: int) -> Float32:
    """The unit mean of each label's faces, float32 (clusters, d); zeros where there are none."""
    sums = np.zeros((clusters, vectors.shape[1]), np.float64)
    for rows, part in parts(vectors):
        member = np.flatnonzero(label[rows] >= 0)
        place = (label[rows][member], member)
        sums += scipy.sparse.csr_array((np.ones(len(member), np.float32), place), shape=(clusters, len(part))) @ part
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    unit: Float32 = np.divide(sums, norms, out=np.zeros_like(sums), where=norms > 1e-6).astype(np.float32)
    return unit


def seeded(
    sample: Float32,
    centroids: Float32,
    similarity_min: float,
    rng: np.random.Generator,
    held: Int64 | None = None,
    candidates_max: int = 32,
) -> Float32:
    """Fill the zero rows of centroids one by one: of a few faces nobody covers yet, the one that covers the most.

    Greedy k-means++ on the trimmed objective: the best of many candidates is hardly ever a stranger; of few candidates
    it is another one each time.
    """
    centroids = centroids.copy()
    _, covered = members(sample, centroids, similarity_min, held)
    candidates_max = max(3, min(candidates_max, 1000 // len(centroids)))
    for row in np.flatnonzero(~centroids.any(axis=1)):
        left_over = np.flatnonzero(covered <= similarity_min)
        if len(left_over) == 0:
            left_over = np.arange(len(sample))
        candidates = sample[rng.choice(left_over, min(len(left_over), candidates_max), replace=False)]
        # Only who is not covered well yet can gain: with many centroids that is soon a small part.
        gaining = np.flatnonzero(covered < 0.9)
        gain = np.maximum(candidates @ sample[gaining].T, covered[gaining])
        best = int(gain.sum(axis=1).argmax())
        centroids[row] = candidates[best]
        covered[gaining] = gain[best]
    return centroids


def sampled(
    vectors: Vectors, size: int, rng: np.random.Generator, held: Int64 | None = None
) -> tuple[Float32, Int64 | None]:
    """At most `size` of the rows that take part, float32, and every row that is held in a cluster."""
    if size >= len(vectors) and (held is None or not (held == ASIDE).any()):
        return vectors.astype(np.float32), held
    if held is None:
        return vectors[np.sort(rng.choice(len(vectors), size, replace=False))].astype(np.float32), None
    free = np.flatnonzero(held == FREE)
    chosen = rng.choice(free, min(size, len(free)), replace=False)
    rows = np.sort(np.concatenate([chosen, np.flatnonzero(held >= 0)]))
    return vectors[rows].astype(np.float32), held[rows]


def parts(vectors: Vectors) -> Iterator[tuple[slice, Float32]]:
    """The rows as float32, a few at a time: half a million of 512 dimensions are a gigabyte."""
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        yield rows, vectors[rows].astype(np.float32, copy=False)
