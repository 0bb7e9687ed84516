"""Decisions of humans as constraints: the later one wins, undone ones say nothing, heirs inherit what was said."""

from __future__ import annotations

import numpy as np

from face_organizer.identity.constraints import allowed, enforce, fold, heir
from face_organizer.records import DecisionRecord, Verdict


def decided(*verdicts: Verdict, undone_by: int = 0) -> DecisionRecord:
    return DecisionRecord("test", "", verdicts, 0, 0.0, undone_by=undone_by)


def test_faces_are_who_they_were_said_to_be():
    told = fold([decided(Verdict((3, 5), 7)), decided(Verdict((9,), 8, is_person=False))], {})

    assert told.confirmed == {3: 7, 5: 7}
    assert told.rejected == {9: frozenset({8})}
    assert told.persons() == {7}


def test_the_later_verdict_on_the_same_face_and_person_wins():
    said, denied = decided(Verdict((3,), 7)), decided(Verdict((3,), 7, is_person=False))

    assert fold([said, denied], {}).confirmed == {}
    assert fold([denied, said], {}).rejected == {}
    assert fold([denied, decided(Verdict((3,), 8))], {}).rejected == {3: frozenset({7})}


def test_what_was_undone_says_nothing():
    assert fold([decided(Verdict((3,), 7), undone_by=2)], {}).confirmed == {}


def test_what_was_said_of_a_person_holds_for_the_one_who_took_it_over():
    told = fold([decided(Verdict((3,), 7)), decided(Verdict((4,), 7, is_person=False))], {7: 5, 5: 2})

    assert told.confirmed == {3: 2}
    assert told.rejected == {4: frozenset({2})}


def test_a_rejection_that_a_merge_turned_against_a_confirmed_face_gives_way():
    told = fold([decided(Verdict((3,), 2)), decided(Verdict((3,), 7, is_person=False))], {7: 2})

    assert told.confirmed == {3: 2}
    assert told.rejected == {}


def test_heirs_are_followed_to_the_end_and_a_ring_ends_too():
    assert heir(7, {7: 5, 5: 2}) == 2
    assert heir(7, {7: 5, 5: 7}) in (5, 7)
    assert heir(9, {}) == 9


def test_anchors_and_rejections_stand_beside_the_faces_asked_for():
    told = fold([decided(Verdict((3, 99), 7)), decided(Verdict((5, 98), 8, is_person=False))], {})
    face_ids = np.array([2, 3, 5])

    assert told.anchors(face_ids).tolist() == [0, 7, 0]
    assert told.rejections(face_ids).tolist() == [[2, 8]]
    assert told.anchors(np.empty(0, np.int64)).tolist() == []
    assert told.rejections(np.empty(0, np.int64)).shape == (0, 2)


def test_humans_have_the_last_word():
    person_of = np.array([1, 1, 2, 0])
    anchor_of = np.array([0, 5, 0, 2])
    rejections = np.array([[0, 1], [2, 9]])

    assert enforce(person_of, anchor_of, rejections).tolist() == [0, 5, 2, 2]


def test_a_face_may_join_neither_whom_it_is_not_nor_whom_its_image_has():
    told = fold([decided(Verdict((3,), 7, is_person=False))], {})

    assert allowed(3, np.array([6, 7, 8]), told, {8}).tolist() == [0]


def test_a_rejection_from_a_person_merged_since_takes_back_that_the_face_was_that_person() -> None:
    told = fold([decided(Verdict((3,), 2)), decided(Verdict((3,), 2, is_person=False))], {2: 1})

    assert (told.confirmed, told.rejected) == ({}, {3: frozenset({1})})
