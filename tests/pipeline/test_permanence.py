"""What a human said is kept to the letter: names, who is meant, two faces of one image, what happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from test_gallery import RUN
from test_recluster import Bench

from face_organizer.calls.meant import face_meant, image_meant, person_meant
from face_organizer.errors import RequestError
from face_organizer.pipeline import changes as changes_module
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.change import pack_ids
from face_organizer.pipeline.decide import Decide
from face_organizer.pipeline.split import parts_of
from face_organizer.records import UNBORN, ChangeRecord, PersonRecord


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


def test_a_letter_is_not_given_away_while_a_face_stays_behind(tmp_path: Path) -> None:
    bench = Bench(tmp_path, people=2)
    for who in (3, 3, 4, 4):
        bench.desk.drop(who)
    bench.desk.apply([UNBORN, UNBORN, UNBORN + 1, UNBORN + 1])
    bench.desk.decide.assign([1], 1)

    bench.desk.apply([UNBORN, UNBORN, 2, 2])  # all of person_A goes, but for whom a human confirmed

    assert bench.desk.persons() == [1, 3, 2, 2]
    assert bench.desk.folders(1) == ("person_A",)
    assert bench.desk.folders(2) == ("person_C",)
    bench.desk.store.close()


# undo


def test_every_second_undo_in_a_chain_of_undos_stands(bench: Bench) -> None:
    rejected = bench.desk.decide.reject([2])
    for again in range(4):
        bench.desk.decide.undo(rejected + again)
        holds = {2: frozenset({1})} if again % 2 else {}
        assert bench.desk.book.constraints.rejected == holds
        assert bench.desk.persons()[1] == (0 if again % 2 else 1)


def test_who_gave_its_name_away_in_a_merge_has_it_back_and_is_nobodys_heir(bench: Bench) -> None:
    bench.desk.decide.name(2, "Alice", [4])
    bench.desk.decide.merge(2, 1)
    assert person(bench, 2).merged_into == 1

    bench.desk.decide.undo(None)

    assert bench.desk.persons() == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert (person(bench, 2).merged_into, person(bench, 2).retired, person(bench, 2).folder) == (0, False, "Alice")
    assert bench.desk.book.constraints.confirmed == {4: 2}


def test_who_came_since_a_name_was_given_moves_with_its_undo(bench: Bench) -> None:
    for decide, folder in [
        (lambda: bench.desk.decide.name(1, "Alice"), "Alice"),
        (lambda: bench.desk.decide.hide(1, hidden=True), "outliers"),
        (lambda: bench.desk.decide.merge(3, 1), "Carol"),
    ]:
        bench.desk.decide.name(3, "Carol") if folder == "Carol" else None
        decide()
        bench.desk.drop(3)
        newest = len(bench.desk.persons())
        assert bench.desk.folders(newest) == (folder,)
        with bench.desk.store.write() as txn:
            for file_id in txn.pending(100):
                txn.set_pending(file_id, False)

        bench.desk.decide.undo(None)

        assert bench.desk.folders(newest) == ("person_0001",)
        with bench.desk.store.read() as txn:
            assert newest in txn.pending(100)


# meanwhile


def test_what_a_human_touched_while_a_run_was_thinking_is_left_alone_by_it(bench: Bench) -> None:
    """The run wants to merge 2 into 1 and to take 3 apart; meanwhile 2 gets a name."""
    with bench.desk.store.read() as txn:
        then = txn.last_id("decisions")
    before = bench.desk.persons()
    bench.desk.decide.name(2, "Alice", [4])

    thought_out(bench, before, [1] * 6 + [3, UNBORN, UNBORN], {2: 1}, then)

    assert bench.desk.persons() == [1, 1, 1, 2, 2, 2, 3, 4, 4]
    assert bench.desk.folders(5) == ("Alice",)
    bench.run()
    assert person(bench, 2).name == "Alice"


def test_a_merge_by_hand_while_a_run_was_thinking_stands(bench: Bench) -> None:
    merged = bench.desk.decide.merge(2, 1)
    with bench.desk.store.read() as txn:
        then = txn.last_id("decisions")
    before = bench.desk.persons()
    bench.desk.decide.undo(merged)

    thought_out(bench, before, [1] * 6 + [1] * 3, {3: 1}, then)

    assert bench.desk.persons() == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def thought_out(bench: Bench, before: list[int], after: list[int], merged: dict[int, int], then: int) -> None:
    ids = np.arange(1, len(after) + 1)
    columns = (pack_ids(np.asarray(column, np.int64)) for column in (ids, before, after))
    change = ChangeRecord(*columns, "reclustered", merged=merged, last_decision=then)
    bench.desk.runs.keep(RUN, change, asked=True)


def test_a_run_tells_the_last_decision_that_it_knew_of(bench: Bench) -> None:
    bench.desk.decide.name(2, "Alice", [4])
    run = bench.run()

    with bench.desk.store.read() as txn:
        change = txn.changes.get(run.change_id)
    assert change is not None
    assert change.last_decision == 1


def test_a_face_that_came_during_a_merge_goes_back_with_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_module, "CHUNK_FACES", 2)
    arriving = iter([4])

    def in_gallery(work: Callable[[], object]) -> object:
        if work == bench.desk.changes.step:
            for who in arriving:
                bench.desk.drop(who)
        return work()

    desk = bench.desk
    desk.decide = Decide(desk.roster, desk.changes, Applier(desk.changes, in_gallery), desk.runs, lambda: 1.0)
    merged = desk.decide.merge(2, 1)
    assert desk.persons() == [1] * 6 + [3] * 3 + [1]

    desk.decide.undo(merged)

    assert desk.persons() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 2]
    assert desk.folders(10) == ("person_0002",)


def test_a_chunk_ends_when_its_time_is_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_module, "SLICE_FACES", 2)
    desk, ticks, steps = bench.desk, count(), count()
    desk.changes._clock = lambda: float(next(ticks))

    def in_gallery(work: Callable[[], object]) -> object:
        next(steps)
        return work()

    desk.decide = Decide(desk.roster, desk.changes, Applier(desk.changes, in_gallery), desk.runs, lambda: 1.0)
    desk.decide.split(1, [[1], [2], [3]])
    assert desk.persons()[:3] == [1, 4, 5]

    before = next(steps)
    desk.decide.hide(2, hidden=True)

    assert next(steps) - before == 1 + 6  # nothing left from before, begin, two slices of three faces, the end, no more
