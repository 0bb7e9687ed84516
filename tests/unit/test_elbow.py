"""How many people: the elbow of the k-means objective."""

from __future__ import annotations

import numpy as np
import pytest

from face_organizer.identity.elbow import elbow_of, find_elbow


def people(count: int, *, faces: int = 12, spread: float = 0.4, d: int = 32) -> np.ndarray:
    rng = np.random.default_rng(count)
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0][:count]
    noise = rng.standard_normal((count * faces, d))
    vectors = np.repeat(axes, faces, axis=0) + spread * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_people_with_as_many_faces_each_are_counted(count: int) -> None:
    curve = find_elbow(people(count), 1, 9, similarity_min=0.2, seed=0, starts=2)

    assert curve.chosen == count
    assert curve.people == tuple(range(1, 10))
    assert all(before >= after for before, after in zip(curve.cost, curve.cost[1:], strict=False))


def test_the_elbow_is_where_the_curve_is_farthest_below_its_chord() -> None:
    assert elbow_of([1, 2, 3, 4, 5], [10, 4, 3.5, 3.2, 3]) == 1
    assert elbow_of([2, 4, 6, 8], [9, 8, 1, 0.5]) == 2


def test_a_curve_without_a_bend_gives_the_fewest_people() -> None:
    assert elbow_of([3, 4, 5], [0.2, 0.2, 0.2]) == 0
    assert elbow_of([3, 4], [0.5, 0.1]) == 0


def test_fewer_faces_than_people_end_the_curve_sooner() -> None:
    vectors = people(2, faces=2)

    assert find_elbow(vectors, 1, 50, similarity_min=0.2, seed=0, starts=1).people == (1, 2, 3, 4)
    assert find_elbow(vectors[:1], 2, 50, similarity_min=0.2, seed=0, starts=1).chosen == 2
