"""Who stays with a person although a re-clustering would part them by a hair."""

from __future__ import annotations

import numpy as np
import pytest

from face_organizer.identity.steady import Seen, held_back, steadied
from face_organizer.records import UNBORN

LINK, JOIN = 0.5, 0.6


def like(*cosines: float) -> np.ndarray:
    """A face for each, so similar to the first axis. Between persons without spread the linkage is the similarity."""
    return np.array([[cosine, np.sqrt(1 - cosine**2), 0] for cosine in cosines], np.float32)


def kept(
    vectors: np.ndarray, was: list[int], becomes: list[int], labels: list[int], faces_min: int = 2, **changed: object
) -> list[int]:
    n = len(vectors)
    values = {"founder": np.ones(n, bool), "before": np.ones(n, bool), "labels": np.array(labels)} | changed
    found = steadied(
        np.array(becomes, np.int64),
        np.array(was, np.int64),
        Seen(vectors, **values),  # type: ignore[arg-type]
        similarity_link_min=LINK,
        similarity_join_min=JOIN,
        faces_min=faces_min,
    )
    return [int(person) for person in found]


HELD = held_back(2)


@pytest.mark.parametrize(("below", "person"), [(0.9, 7), (1.1, 0)])
def test_a_face_leaves_its_person_only_when_it_is_clearly_below_the_bound(below: float, person: int) -> None:
    faces = like(1, 1, LINK - below * HELD)

    assert kept(faces, [7, 7, 7], [7, 7, 0], [0, 0, 1]) == [7, 7, person]


@pytest.mark.parametrize(("better", "person"), [(0.9, 7), (1.1, 9)])
def test_a_face_goes_to_another_person_only_when_that_one_is_clearly_nearer(better: float, person: int) -> None:
    faces = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0.6, 0.6 + better * HELD, 0]], np.float32)
    faces[4, 2] = np.sqrt(1 - faces[4] @ faces[4])

    assert kept(faces, [7, 7, 9, 9, 7], [7, 7, 9, 9, 9], [0, 0, 1, 1, 1]) == [7, 7, 9, 9, person]


def test_the_more_people_a_library_knows_the_less_it_holds_back() -> None:
    faces = like(1, 1, LINK - 0.9 * HELD, *[0] * 500)
    faces[3:] = [0, 0, 1]

    told = kept(faces, [7, 7, 7] + [0] * 500, [7, 7, 0] + [0] * 500, [0, 0, *range(1, 502)])

    assert held_back(500) < held_back(100) < held_back(25)
    assert told[2] == 0


def test_a_person_that_would_fall_apart_by_a_hair_lives_on() -> None:
    near, far = like(1, LINK - 0.9 * HELD), like(1, LINK - 1.1 * HELD)

    assert kept(near, [7, 7], [0, 0], [0, 1]) == [7, 7]
    assert kept(near, [7, 7], [0, 0], [0, 1], faces_min=3) == [0, 0]
    assert kept(far, [7, 7], [0, 0], [0, 1]) == [0, 0]


def test_who_was_together_stays_together_though_a_newcomer_looks_otherwise() -> None:
    faces = np.concatenate([like(1, LINK), [[0.6, -0.8, 0]]]).astype(np.float32)  # the third is like the first alone
    before = np.array([True, True, False])

    assert kept(faces, [7, 7, 7], [7, 0, 7], [0, 1, 0], before=before) == [7, 7, 7]
    assert kept(faces, [7, 7, 7], [7, 0, 7], [0, 1, 0]) == [7, 0, 7]


def test_who_came_since_the_last_run_and_whom_a_human_judged_go_where_the_run_says() -> None:
    faces = like(1, 1, LINK)

    assert kept(faces, [7, 7, 7], [7, 7, 0], [0, 0, 1], before=np.array([True, True, False])) == [7, 7, 0]


def test_a_group_that_would_become_a_person_of_its_own_returns_but_not_one_that_found_others() -> None:
    faces = np.concatenate([like(1, 1, LINK, LINK), [[0, 0, 1]]]).astype(np.float32)  # the newcomer is unlike them all
    alone = kept(faces[:4], [7, 7, 7, 7], [7, 7, UNBORN, UNBORN], [0, 0, 1, 1])

    assert alone == [7, 7, 7, 7]
    assert kept(faces, [7, 7, 7, 7, 0], [7, 7, *[UNBORN] * 3], [0, 0, 1, 1, 1]) == [7, 7, *[UNBORN] * 3]


def test_a_person_whom_another_takes_over_is_not_held_back() -> None:
    faces = like(1, 1, LINK, LINK)

    assert kept(faces, [7, 7, 9, 9], [7, 7, 7, 7], [0, 0, 0, 0]) == [7, 7, 7, 7]


def test_nobody_is_held_beside_another_face_of_the_same_image() -> None:
    faces = like(1, 1, LINK)

    assert kept(faces, [7, 7, 7], [7, 7, 0], [0, 0, 1], image_of=np.array([1, 2, 2])) == [7, 7, 0]
    assert kept(faces, [7, 7, 7], [7, 7, 0], [0, 0, 1], image_of=np.array([1, 2, 3])) == [7, 7, 7]


def test_a_poor_face_is_held_by_its_similarity_to_the_centroid_and_holds_nobody() -> None:
    faces, founder = like(1, 1, JOIN - 0.9 * HELD, JOIN - 1.1 * HELD), np.array([True, True, False, False])

    assert kept(faces, [7] * 4, [7, 7, 0, 0], [0, 0, -1, -1], founder=founder) == [7, 7, 7, 0]
    assert kept(faces, [7] * 4, [0] * 4, [-1] * 4, founder=np.zeros(4, bool)) == [0] * 4
