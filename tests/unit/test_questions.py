"""What is worth asking a human, from embeddings alone."""

from __future__ import annotations

import numpy as np
from test_cluster import faces_of

from face_organizer.identity.questions import (
    Bound,
    likely_one,
    likely_same,
    likely_strangers,
    rows_of,
    similarities_without_self,
    suspects,
)

BOUND = 0.46


def totals(vectors: np.ndarray, person: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sums and sizes of persons whose faces are all founders."""
    p = int(person.max()) + 1
    sums = np.zeros((p, vectors.shape[1]), np.float32)
    np.add.at(sums, person[person >= 0], vectors[person >= 0])
    return sums, np.bincount(person[person >= 0], minlength=p)


def strangers(vectors: np.ndarray, person: np.ndarray) -> list:
    """Groups of faces as rows of `vectors`, the likeliest first."""
    sums, sizes = totals(vectors, person)
    everybody = np.ones(len(vectors), np.bool_)
    own = similarities_without_self(vectors, person, everybody, sums, sizes)
    rows = suspects(own, Bound(BOUND))
    found = likely_strangers(vectors[rows], person[rows], everybody[rows], sums, sizes, Bound(BOUND))
    found.sort(key=lambda each: -each.likely)
    return [(rows[each.rows], each) for each in found]


def test_a_person_that_was_split_in_two_is_found_and_nobody_else() -> None:
    vectors, who = faces_of([10, 10, 10, 10])
    person = who.copy()
    person[:4] = 4

    found = likely_same(*totals(vectors, person), Bound(BOUND))

    assert (found.a.tolist(), found.b.tolist()) == ([0], [4])
    assert found.likely[0] > 0.9


def test_what_clustering_left_apart_is_one_person_in_half_of_the_cases_a_little_below_the_bound() -> None:
    likely = likely_one(np.array([BOUND - 0.06, BOUND - 0.03, BOUND - 0.09], np.float32), Bound(BOUND))

    assert np.allclose(likely, [0.5, 0.75, 0.25], atol=1e-4)


def test_strangers_in_a_person_are_one_question_and_who_they_are_is_told() -> None:
    vectors, who = faces_of([20, 12, 8])
    person = who.copy()
    taken = np.flatnonzero(who == 1)[:5]
    person[taken] = 0

    (rows, first), *_ = strangers(vectors, person)

    assert set(rows.tolist()) <= set(taken.tolist())
    assert len(rows) >= 3
    assert (first.person, first.other) == (0, 1)
    assert first.likely > 0.9


def test_two_halves_of_a_person_are_one_question() -> None:
    vectors, _ = faces_of([1, 1, 6])
    person = np.array([0, 0, *[1] * 6])

    assert [len(rows) for rows, _ in strangers(vectors, person)] == [1]


def test_a_library_in_order_raises_no_question() -> None:
    vectors, who = faces_of([20, 12, 8, 5])

    assert strangers(vectors, who) == []
    assert len(likely_same(*totals(vectors, who), Bound(BOUND)).a) == 0


def test_a_face_does_not_vouch_for_itself() -> None:
    vectors, _ = faces_of([2, 1])
    person = np.array([0, 0, 1])
    sums, sizes = totals(vectors, person)

    similarity = similarities_without_self(vectors, person, np.ones(3, np.bool_), sums, sizes)

    assert np.allclose(similarity[:2], vectors[0] @ vectors[1], atol=1e-6)
    assert np.isnan(similarity[2])


def test_a_face_that_shapes_no_centroid_is_compared_with_the_whole_of_it() -> None:
    vectors, _ = faces_of([3])
    person, founder = np.zeros(3, np.int64), np.array([True, True, False])
    sums, sizes = vectors[:2].sum(axis=0)[None], np.array([2])

    similarity = similarities_without_self(vectors, person, founder, sums, sizes)

    assert np.isclose(similarity[2], vectors[2] @ sums[0] / np.linalg.norm(sums[0]))


def test_nobody_and_who_is_not_there_have_no_row() -> None:
    assert rows_of(np.array([2, 5]), np.array([5, 0, 3, 2])).tolist() == [1, -1, -1, 0]
    assert rows_of(np.array([], np.int64), np.array([5])).tolist() == [-1]


def test_no_person_at_all_raises_no_question() -> None:
    nothing = np.empty((0, 8), np.float32), np.empty(0, np.int64)

    assert len(likely_same(*nothing, Bound(BOUND)).a) == 0
    assert likely_strangers(nothing[0], nothing[1], np.empty(0, np.bool_), *nothing, Bound(BOUND)) == []
