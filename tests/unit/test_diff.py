"""What a run would change, and when that is too much to do unasked."""

from __future__ import annotations

import numpy as np
import pytest

from face_organizer.identity.diff import Margin, agreement, at_risk, moves, why_wait

MARGIN = Margin(moved_share_max=0.1, moved_faces_min=2, named_loss_share_max=0.25)


def diff(before: list[int], after: list[int]):
    return moves(np.arange(1, len(before) + 1), np.array(before), np.array(after))


def test_moves_are_told_by_pair_the_largest_first_with_examples():
    found = diff([1, 1, 1, 1, 1, 2, 2, 0], [1, 3, 3, 3, 3, 1, 2, 1])

    assert [(move.before, move.after, move.faces, move.of, move.examples) for move in found] == [
        (1, 3, 4, 5, (2, 3, 4)),
        (2, 1, 1, 2, (6,)),
    ]


def test_a_face_that_had_nobody_does_not_move():
    assert diff([0, 0, 1], [1, 2, 1]) == ()
    assert diff([], []) == ()


def test_a_run_within_the_margin_goes_ahead():
    found = diff([1] * 30 + [2] * 2, [1] * 29 + [2] * 3)

    assert why_wait(found, 32, {1}, MARGIN) == ""


def test_a_run_waits_when_too_large_a_share_moves_but_a_young_library_may_change():
    found = diff([1] * 20, [2] * 3 + [1] * 17)

    assert "move 3 of 20" in why_wait(found, 20, set(), MARGIN)
    assert why_wait(found, 20, set(), Margin(0.1, 3, 1.0)) == ""


def test_a_run_waits_when_a_named_person_would_lose_too_much():
    found = diff([1] * 4 + [2] * 96, [2] * 2 + [1] * 2 + [2] * 96)

    assert at_risk(found, {1}, MARGIN) == (1,)
    assert "persons whom you named" in why_wait(found, 100, {1}, MARGIN)
    assert why_wait(found, 100, {2}, MARGIN) == ""


def test_a_single_face_of_a_named_person_may_always_go():
    assert at_risk(diff([1, 1, 2], [2, 1, 2]), {1}, MARGIN) == ()


def test_two_ways_to_tell_people_apart_agree_pair_by_pair() -> None:
    before = np.array([1, 1, 1, 2, 2, 0, 0])

    assert agreement(before, np.array([7, 7, 7, 8, 8, 0, 0])) == (1.0, 1.0, 1.0)
    assert agreement(before, np.array([1, 1, 2, 2, 2, 0, 0])) == (0.5, 0.5, 0.5)
    precision, recall, f = agreement(before, np.array([1, 1, 1, 1, 1, 0, 0]))
    assert (precision, recall) == (0.4, 1.0)
    assert f == pytest.approx(4 / 7)
    assert agreement(before, np.zeros(7, np.int64)) == (1.0, 0.0, 0.0)
