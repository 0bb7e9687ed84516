"""What a human said is kept to the letter: names, who is meant, two faces of one image, what happens meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_recluster import Bench

from face_organizer.calls.meant import face_meant, image_meant, person_meant
from face_organizer.errors import RequestError
from face_organizer.pipeline.split import parts_of
from face_organizer.types import PersonRecord


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Three persons of three faces: 1 (faces 1 2 3), 2 (4 5 6), 3 (7 8 9)."""
    made = Bench(tmp_path)
    for person in (3, 3, 3, 4, 4, 4, 5, 5, 5):
        made.desk.drop(person)
    yield made
    made.desk.store.close()


def person(bench: Bench, person_id: int) -> PersonRecord:
    with bench.desk.store.read() as txn:
        found = txn.persons.get(person_id)
    assert found is not None
    return found


def meant(bench: Bench, text: str) -> int:
    with bench.desk.store.read() as txn:
        return person_meant(txn, text)


# names


@pytest.mark.parametrize("name", ["Bob", "..", "", "a\0"])
def test_a_new_person_is_named_and_born_in_one_decision_or_not_at_all(bench: Bench, name: str) -> None:
    bench.desk.decide.name(2, "a")
    bench.desk.decide.name(3, "BOB")

    with pytest.raises(RequestError):
        bench.desk.decide.found([1], name)
    assert bench.desk.persons() == [1, 1, 1, 2, 2, 2, 3, 3, 3]

    decision_id = bench.desk.decide.found([1], "Zoe")
    assert (person(bench, 4).name, person(bench, 4).folder, person(bench, 4).named) == ("Zoe", "Zoe", True)
    bench.desk.decide.undo(decision_id)
    assert bench.desk.persons() == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    bench.desk.decide.undo(decision_id + 1)
    assert bench.desk.persons()[0] == 4
    assert bench.desk.folders(1) == ("Zoe",)


def test_a_name_is_one_line_of_composed_characters(bench: Bench) -> None:
    bench.desk.decide.name(1, "Zoe\u0308\n van  \udcffder")

    assert person(bench, 1).name == person(bench, 1).folder == "Zo\u00eb van der"
    with pytest.raises(RequestError, match="merge 2 into 1"):
        bench.desk.decide.name(2, "ZOE\u0308 van der")
    assert meant(bench, "zoe\u0308 van der/") == 1


def test_giving_the_same_name_again_moves_nothing(bench: Bench) -> None:
    bench.desk.decide.name(1, "a/b")
    bench.desk.book._is_taken = lambda folder: folder == "a_b"  # its own

    bench.desk.decide.name(1, "a/b")

    assert person(bench, 1).folder == "a_b"


def test_a_name_that_two_have_after_an_undo_is_told_apart_by_number_or_folder(bench: Bench) -> None:
    given = bench.desk.decide.name(1, "Alice", [1])
    undone = given + 1
    bench.desk.decide.undo(given)
    bench.desk.decide.name(2, "Alice", [4])
    bench.desk.decide.undo(undone)

    assert (person(bench, 1).folder, person(bench, 2).folder) == ("Alice~2", "Alice")
    assert [meant(bench, text) for text in ("alice", "Alice~2", "1", "2")] == [2, 1, 1, 2]
    bench.desk.decide.hide(3, hidden=True)
    bench.desk.decide.name(2, "Alicia")
    assert (meant(bench, "alice"), meant(bench, "ALICIA")) == (1, 2)


def test_numbers_beyond_all_numbers_are_unknown_and_nothing_else(bench: Bench) -> None:
    huge = "9" * 5000
    with bench.desk.store.read() as txn:
        for ask in (lambda: person_meant(txn, huge), lambda: face_meant(txn, huge)):
            with pytest.raises(RequestError):
                ask()
        with pytest.raises(RequestError, match="not a picture"):
            image_meant(txn, {"digest": "xyz"})
    for refused in (
        lambda: bench.desk.decide.reject([10**30]),
        lambda: bench.desk.decide.assign([-1], 1),
        lambda: bench.desk.decide.name(1 << 70, "Zoe"),
        lambda: bench.desk.decide.undo(10**30),
    ):
        with pytest.raises(RequestError):
            refused()
    bench.desk.drop(3)  # it still runs


# two faces of one image


def test_who_is_put_beside_its_own_double_takes_its_place(bench: Bench) -> None:
    bench.desk.drop(3, 4)

    decided = bench.desk.decide.assign([11], 1)
    assert bench.desk.persons()[9:] == [0, 1]
    bench.run()
    assert bench.desk.persons()[9:] == [0, 1]

    with pytest.raises(RequestError, match="reject 11 first"):
        bench.desk.decide.assign([10], 1)
    bench.desk.decide.undo(decided)
    assert bench.desk.persons()[9:] == [1, 2]
    with pytest.raises(RequestError, match="in one image"):
        bench.desk.decide.assign([10, 11], 3)


def test_an_undo_brings_nobody_back_beside_a_confirmed_double(bench: Bench) -> None:
    bench.desk.drop(3, 4)
    rejected = bench.desk.decide.reject([10])
    bench.desk.decide.assign([11], 1)

    bench.desk.decide.undo(rejected)

    assert bench.desk.persons()[9:] == [0, 1]


def test_the_part_with_the_confirmed_face_stays_the_person(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for who in (3, 3, 4, 4, 4):
        bench.desk.drop(who)
    bench.desk.apply([1, 1, 1, 1, 1], merged={2: 1})
    bench.desk.decide.name(1, "Alice", [1])

    with bench.desk.store.read() as txn:
        parts = parts_of(txn, 1, 2, bench.desk.book.rules, 0)
    bench.desk.decide.split(1, parts)

    assert bench.desk.persons() == [1, 1, 3, 3, 3]
    assert bench.desk.folders(1) == ("Alice",)
    bench.desk.store.close()
