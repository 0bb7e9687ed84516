"""Conditions in a few words."""

from __future__ import annotations

from typing import Any

import pytest

from face_organizer.errors import RequestError
from face_organizer.pipeline.where import conditions

ALICE: dict[str, Any] = {
    "person_id": 3,
    "person": "Alice",
    "named": True,
    "confirmed": False,
    "quality": 0.8,
    "similarity": 0.6,
    "gender": "female",
    "age": 30,
}
STRANGER: dict[str, Any] = dict.fromkeys(ALICE) | {"named": False, "confirmed": False, "quality": 0.4}


@pytest.mark.parametrize(
    ("where", "alice", "stranger"),
    [
        ([], True, True),
        (["named"], True, False),
        (["unnamed"], False, False),
        (["nobody"], False, True),
        (["confirmed"], False, False),
        (["person=alice"], True, False),
        (["person != Bob"], True, False),
        (["quality>=0.8"], True, False),
        (["quality < .5"], False, True),
        (["similarity>0.1"], True, False),
        (["gender=female", "age<=30"], True, False),
        (["named", "quality>0.9"], False, False),
        (["person_id=3"], True, False),
    ],
)
def test_all_conditions_must_hold_and_what_is_not_known_holds_nowhere(
    where: list[str], alice: bool, stranger: bool
) -> None:
    holds = conditions(where, "")

    assert (holds(ALICE), holds(STRANGER)) == (alice, stranger)


@pytest.mark.parametrize(
    "text", ["", "tall", "quality", "quality>=good", "person>Alice", "path=x", "named=1", "a=b=c", "gender=f"]
)
def test_what_is_not_understood_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(RequestError, match="--where"):
        conditions([text], "")


def test_who_asks_for_what_nobody_told_is_sent_to_who_does() -> None:
    with pytest.raises(RequestError, match=r"gender.*the pack buffalo_l has it"):
        conditions(["gender=female"], "the pack buffalo_l has it")

    assert conditions(["named"], "the pack buffalo_l has it")(ALICE)
