"""How many people there are, by the elbow of the k-means objective, for those who want that method.

Room:    identity (thinks)
Imports: types, kmeans, numpy

The cost of k people is 1 minus the objective of identity/kmeans.py: how far the average face is from its centroid. It
falls with every person; where it stops falling fast is the elbow, the point farthest below the chord between the first
and the last (Satopaa et al. 2011, "Finding a 'Kneedle' in a Haystack"). Persons of a few faces hardly show in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from face_organizer.identity.kmeans import Vectors, climbed, members, sampled, seeded
from face_organizer.types import Float32

_SAMPLE_FACES = 5_000
_ROUNDS_MAX = 15


@dataclass(frozen=True, slots=True)
class Curve:
    """people: each number tried, ascending. cost: of each, 0..2. chosen: the elbow, one of `people`."""

    people: tuple[int, ...]
    cost: tuple[float, ...]
    chosen: int


def find_elbow(
    vectors: Vectors, people_min: int, people_max: int, *, similarity_min: float, seed: int, starts: int = 4
) -> Curve:
    """The elbow between two numbers of people; fewer faces than people_max end the curve sooner.

    Each number begins where the one before it ended, plus one more face; some of its starts begin anew.
    vectors: float16 or float32 (n, d), unit rows, those that may shape a centroid; n >= 1
    """
    assert 1 <= people_min <= people_max, (people_min, people_max)
    assert len(vectors) >= 1, vectors.shape
    rng = np.random.default_rng(seed)
    sample, _ = sampled(vectors, _SAMPLE_FACES, rng)
    numbers = tuple(range(people_min, max(people_min, min(people_max, len(sample))) + 1))
    cost: list[float] = []
    best: Float32 = np.zeros((0, sample.shape[1]), np.float32)
    for number in numbers:
        more = np.zeros((number - len(best), sample.shape[1]), np.float32)
        begun = [np.concatenate([best, more])] + [np.zeros((number, sample.shape[1]), np.float32)] * (starts - 1)
        tries = []
        for start, candidates_max in zip(begun, (32, 32, *[4] * starts), strict=False):
            centroids = seeded(sample, start, similarity_min, rng, candidates_max=candidates_max)
            tries.append(climbed(sample, centroids, similarity_min, rng, rounds_max=_ROUNDS_MAX))
        best = max(tries, key=lambda reached: reached[1])[0]
        _, covered = members(sample, best, similarity_min)
        cost.append(min(1 - float(covered.mean()), *cost[-1:], 2.0))
    return Curve(numbers, tuple(round(value, 6) for value in cost), numbers[elbow_of(numbers, cost)])


def elbow_of(people: Sequence[int], cost: Sequence[float]) -> int:
    """The place of the elbow in a falling curve: farthest below the chord. The first where there is no bend."""
    if len(people) < 3 or cost[0] - cost[-1] < 1e-6:
        return 0
    along = (np.asarray(people, np.float64) - people[0]) / (people[-1] - people[0])
    fallen = (cost[0] - np.asarray(cost, np.float64)) / (cost[0] - cost[-1])
    return int((fallen - along).argmax())
