"""The questions to a human, and a person's faces, over the real store: what was answered does not come back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_answers import place_all
from test_gallery import Desk

from face_organizer.calls.review import Review
from face_organizer.errors import RequestError
from face_organizer.pipeline.crowd import Crowd


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Faces 1 to 6 are person 1, 7 to 10 person 2."""
    made = Desk(tmp_path)
    for person in (3, 3, 3, 3, 3, 3, 4, 4, 4, 4):
        made.drop(person)
    place_all(made)
    yield made
    made.store.close()


def review_of(desk: Desk) -> Review:
    """The calls, without a daemon around them."""
    return Review(
        SimpleNamespace(
            store=desk.store,
            roster=desk.roster,
            book=desk.book,
            recluster=SimpleNamespace(rules=desk.book.rules),
            library=Path("/lib"),
            in_gallery=lambda work: work(),
            crowd=Crowd(desk.store, desk.roster.picture, monotonic),
        )
    )


def torn(desk: Desk, after: list[int]) -> None:
    """Somebody's faces go elsewhere, as a run that errs would have it."""
    desk.apply(after)
    place_all(desk)


def asked(look: Review) -> list[dict[str, Any]]:
    return look.review()


def test_two_persons_that_are_one_are_asked_about_until_the_answer_is_yes(desk: Desk) -> None:
    desk.decide.found([5, 6], "Stray")
    look = review_of(desk)

    (question,) = asked(look)
    assert (question["kind"], question["a"]["person_id"], question["b"]["person_id"]) == ("same", 1, 3)
    assert (question["b"]["faces"], question["gain"]) == (2, 2.0)
    assert question["b"]["cover"] in (5, 6)
    desk.decide.merge(3, 1)

    assert asked(look) == []


def test_two_persons_that_are_not_one_are_not_asked_about_again_until_that_is_undone(desk: Desk) -> None:
    desk.decide.found([5, 6], "Stray")
    look = review_of(desk)
    (question,) = asked(look)

    decided = desk.decide.apart((1, [question["a"]["cover"]]), (3, [question["b"]["cover"]]))
    torn(desk, [1, 1, 1, 1, 3, 3, 2, 2, 2, 2])

    assert asked(look) == []
    assert asked(review_of(desk)) == []
    desk.decide.undo(decided)
    (again,) = asked(look)
    assert (again["a"]["person_id"], again["b"]["person_id"]) == (1, 3)


def test_the_parts_of_a_person_that_was_split_are_not_asked_about_until_that_is_undone(desk: Desk) -> None:
    look = review_of(desk)
    decided = desk.decide.split(1, [[1, 2, 3, 4], [5], [6]])

    assert asked(look) == []
    assert asked(review_of(desk)) == []
    desk.decide.undo(decided)
    torn(desk, [1, 1, 1, 1, 3, 3, 2, 2, 2, 2])
    (again,) = asked(look)
    assert (again["a"]["person_id"], again["b"]["person_id"]) == (1, 3)


def test_an_intruder_is_asked_about_with_those_like_it_and_named_as_whom_it_resembles(desk: Desk) -> None:
    torn(desk, [1] * 6 + [1, 1, 2, 2])
    look = review_of(desk)

    (question,) = asked(look)
    assert (question["kind"], question["person"]["person_id"], question["other"]["person_id"]) == ("intruder", 1, 2)
    assert sorted(question["faces"]) == [7, 8]
    assert question["face"]["face_id"] in (7, 8)
    desk.decide.reject(question["faces"])

    assert asked(look) == []
    assert desk.persons() == [1] * 6 + [2] * 4


def test_a_face_that_was_confirmed_is_no_intruder_any_more(desk: Desk) -> None:
    torn(desk, [1] * 6 + [1, 2, 2, 2])
    look = review_of(desk)
    (question,) = asked(look)

    desk.decide.assign(question["faces"], 1)

    assert asked(look) == []
    assert asked(review_of(desk)) == []


def test_nobody_is_asked_about_whom_a_human_named_twice_hid_or_saw_together(desk: Desk) -> None:
    desk.decide.found([5, 6], "Stray")
    hidden = desk.decide.hide(3, hidden=True)
    assert asked(review_of(desk)) == []
    desk.decide.undo(hidden)
    assert len(asked(review_of(desk))) == 1

    desk.decide.name(1, "Alice")

    assert asked(review_of(desk)) == []


def test_two_persons_seen_together_in_an_image_are_two(desk: Desk) -> None:
    desk.drop(3, 9)
    desk.drop(9)
    place_all(desk)
    with desk.store.read() as txn:
        last = txn.last_id("faces")
    desk.book.rules = replace(desk.book.rules, similarity_link_min=-0.2)

    pairs = [
        {each["a"]["person_id"], each["b"]["person_id"]} for each in asked(review_of(desk)) if each["kind"] == "same"
    ]

    assert desk.persons()[last - 1] == 3
    assert {1, 3} not in pairs
    assert {1, 2} in pairs


def test_questions_come_with_the_one_first_that_puts_most_faces_right(desk: Desk) -> None:
    for _ in range(4):
        desk.drop(9)
    place_all(desk)
    desk.decide.found([5, 6], "Stray")
    desk.decide.found([14], "Other")

    gains = [each["gain"] for each in asked(review_of(desk))]

    assert gains == sorted(gains, reverse=True)
    assert len(gains) == 2
    assert len(review_of(desk).review(limit=1)) == 1


def test_a_persons_faces_come_sorted_with_the_intruder_last(desk: Desk) -> None:
    torn(desk, [1] * 6 + [1, 2, 2, 2])
    desk.decide.assign([3], 1)
    look = review_of(desk)

    found = look.faces_of("1")
    faces = found["faces"]

    assert (found["total"], faces[-1]["face_id"]) == (7, 7)
    assert [face["similarity"] for face in faces] == sorted((face["similarity"] for face in faces), reverse=True)
    assert {face["face_id"] for face in faces if face["confirmed"]} == {3}
    assert all(face["path"].startswith("/lib/person_0001/") and face["quality"] == 0.9 for face in faces)
    assert look.faces_of("1", offset=2, limit=3)["faces"] == faces[2:5]
    assert [face["face_id"] for face in look.faces_of("1", order="newest")["faces"]] == [7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize(("order", "limit"), [("age", 10), ("newest", 0), ("newest", 501)])
def test_a_list_that_nobody_can_have_is_refused(desk: Desk, order: str, limit: int) -> None:
    with pytest.raises(RequestError):
        review_of(desk).faces_of("1", order=order, limit=limit)


def test_everybody_but_the_hidden_is_on_the_map_and_stays_there(desk: Desk) -> None:
    look = review_of(desk)

    points = look.map()["points"]
    desk.drop(9)
    desk.drop(9)
    more = look.map()["points"]
    desk.decide.hide(2, hidden=True)

    assert [(point["person_id"], point["faces"], point["name"]) for point in points] == [
        (1, 6, "person_0001"),
        (2, 4, "person_0002"),
    ]
    assert np.isfinite([[point["x"], point["y"]] for point in more]).all()
    assert 2 not in [point["person_id"] for point in look.map()["points"]]


def test_the_report_tells_what_is_surely_and_what_is_probably_wrong(desk: Desk) -> None:
    desk.drop(3, 3)  # a mirror: the second face waits, for nobody is twice in an image
    place_all(desk)
    torn(desk, [1] * 6 + [1, 2, 2, 2] + [1, 1])
    desk.decide.name(2, "Alice", [8])

    found = review_of(desk).report()

    (error,) = found["provable_errors"]["shown"]
    assert (error["person"]["person_id"], [face["face_id"] for face in error["faces"]]) == (1, [11, 12])
    (intruder,) = found["likely_intruders"]["shown"]
    assert (intruder["face"]["face_id"], found["likely_intruders"]["wrong_faces"]) == (7, 1.0)
    assert found["coverage"] == {
        "persons_named": 1,
        "persons_hidden": 0,
        "faces_with_person": 12,
        "faces_confirmed": 1,
    }
    assert [person["name"] for person in found["people"]] == ["person_0001", "Alice"]
    assert [each["says"] for each in found["changes"]["decisions"]] == ["person_0002 (person 2) is Alice"]
    assert found["changes"]["last_run"]["moved"] == 0
    assert found["counts"]["faces"] == 12


def test_a_library_in_order_is_told_to_be(desk: Desk) -> None:
    found = review_of(desk).report()

    assert [found[key]["total"] for key in ("provable_errors", "likely_intruders", "likely_same")] == [0, 0, 0]
    assert found["changes"] == {"last_run": None, "new_faces": 10, "decisions": []}
    assert found["false_merge_rate"] is None
