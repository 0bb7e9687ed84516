import time

import numpy as np
import pytest

from face_organizer.identity.centroids import Centroids
from face_organizer.types import PersonId

ALICE, BOB, CAROL = PersonId(7), PersonId(2), PersonId(900)


def unit_rows(n: int, d: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def centroid_of(centroids: Centroids, person_id: PersonId) -> np.ndarray:
    return centroids.matrix[centroids.ids.tolist().index(person_id)].copy()


def test_a_centroid_is_the_unit_mean_of_the_faces_added():
    faces = unit_rows(5, 16)
    centroids = Centroids(16)

    for face in faces:
        centroids.add(ALICE, face)

    mean = faces.mean(axis=0)
    np.testing.assert_allclose(centroid_of(centroids, ALICE), mean / np.linalg.norm(mean), atol=1e-6)
    assert centroids.count(ALICE) == 5
    assert centroids.matrix.dtype == np.float32
    assert centroids.ids.dtype == np.int64


def test_taking_a_face_back_leaves_no_trace():
    faces = unit_rows(4, 8)
    centroids = Centroids(8)
    for face in faces[:3]:
        centroids.add(ALICE, face)
    before = centroid_of(centroids, ALICE)

    for _ in range(1000):
        centroids.add(ALICE, faces[3])
        centroids.remove(ALICE, faces[3])

    np.testing.assert_array_equal(centroid_of(centroids, ALICE), before)


def test_the_last_face_takes_the_person_along():
    face = unit_rows(1, 8)[0]
    centroids = Centroids(8)
    centroids.add(ALICE, face)

    centroids.remove(ALICE, face)

    assert centroids.count(ALICE) == 0
    assert centroids.matrix.shape == (0, 8)


def test_dropping_a_person_keeps_every_other_row_with_its_id():
    faces = unit_rows(3, 8)
    centroids = Centroids(8)
    for person_id, face in zip((ALICE, BOB, CAROL), faces, strict=True):
        centroids.add(person_id, face)

    centroids.drop(ALICE)
    centroids.drop(ALICE)
    centroids.add(CAROL, faces[2])

    assert sorted(centroids.ids.tolist()) == [BOB, CAROL]
    np.testing.assert_allclose(centroid_of(centroids, BOB), faces[1], atol=1e-6)
    np.testing.assert_allclose(centroid_of(centroids, CAROL), faces[2], atol=1e-6)
    assert centroids.count(CAROL) == 2


def test_many_faces_at_once_are_the_same_as_one_by_one():
    faces = unit_rows(200, 8)
    person_ids = np.random.default_rng(1).integers(1, 20, 200)
    one_by_one, at_once = Centroids(8), Centroids(8)

    for person_id, face in zip(person_ids.tolist(), faces, strict=True):
        one_by_one.add(PersonId(person_id), face)
    at_once.add_all(person_ids, faces)
    at_once.add_all(person_ids[:0], faces[:0])

    for person_id in set(person_ids.tolist()):
        np.testing.assert_allclose(
            centroid_of(at_once, PersonId(person_id)), centroid_of(one_by_one, PersonId(person_id)), atol=1e-6
        )
        assert at_once.count(PersonId(person_id)) == one_by_one.count(PersonId(person_id))


def test_faces_that_cancel_out_point_nowhere_instead_of_dividing_by_zero():
    face = unit_rows(1, 8)[0]
    centroids = Centroids(8)

    centroids.add(ALICE, face)
    centroids.add(ALICE, -face)

    assert not centroids.matrix.any()


def test_views_given_out_cannot_be_written():
    centroids = Centroids(8)
    centroids.add(ALICE, unit_rows(1, 8)[0])

    with pytest.raises(ValueError):
        centroids.matrix[0] = 0
    with pytest.raises(ValueError):
        centroids.ids[0] = 0


def test_a_change_costs_the_same_among_four_thousand_persons_as_among_ten():
    face = unit_rows(1, 256)[0]

    def seconds_per_change(persons: int) -> float:
        centroids = Centroids(256)
        for person_id in range(1, persons + 1):
            centroids.add(PersonId(person_id), face)
        runs = []
        for _ in range(5):
            start = time.perf_counter()
            for person_id in range(1, 11):
                centroids.add(PersonId(person_id), face)
            runs.append(time.perf_counter() - start)
        return min(runs)

    assert seconds_per_change(4_000) < 10 * seconds_per_change(10)
