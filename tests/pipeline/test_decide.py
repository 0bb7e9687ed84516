"""What humans decide holds, whatever a re-clustering finds; and it can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_recluster import Bench

from face_organizer.errors import RequestError
from face_organizer.pipeline.think import load_faces
from face_organizer.records import UNBORN


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Three persons of three faces: 1 (faces 1 2 3), 2 (4 5 6), 3 (7 8 9)."""
    made = Bench(tmp_path)
    for person in (3, 3, 3, 4, 4, 4, 5, 5, 5):
        made.desk.drop(person)
    assert made.desk.persons() == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    yield made
    made.desk.store.close()


def folders(bench: Bench) -> list[str]:
    """The folder of each person by id; a hidden one in brackets."""
    with bench.desk.store.read() as txn:
        return [f"({each.folder})" if each.hidden else each.folder for _, each in txn.persons.items()]


def test_a_name_becomes_the_folder_and_all_files_of_the_person_follow(bench: Bench) -> None:
    bench.desk.decide.name(2, "Alice")

    assert bench.desk.folders(4) == bench.desk.folders(6) == ("Alice",)
    with bench.desk.store.read() as txn:
        assert {4, 5, 6} <= set(txn.pending(20))
        assert txn.persons.get(2).named


def test_a_name_confirms_no_face_that_was_given_to_somebody_else_meanwhile(bench: Bench) -> None:
    bench.desk.decide.assign([4], 1)

    bench.desk.decide.name(2, "Alice", confirming=[4, 5])

    assert bench.desk.persons() == [1, 1, 1, 1, 2, 2, 3, 3, 3]
    assert bench.desk.book.constraints.confirmed == {4: 1, 5: 2}


def test_a_name_that_somebody_has_is_refused_and_the_way_out_is_told(bench: Bench) -> None:
    bench.desk.decide.name(1, "Alice")

    with pytest.raises(RequestError, match="merge 2 into 1"):
        bench.desk.decide.name(2, "alice")


def test_a_folder_of_that_name_which_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for _ in range(2):
        bench.desk.drop(3)
    bench.desk.book._is_taken = lambda folder: folder == "Alice"

    bench.desk.decide.name(1, "Alice")

    assert folders(bench) == ["Alice~2"]
    bench.desk.store.close()


def test_merged_persons_stay_one_however_different_they_look(bench: Bench) -> None:
    bench.desk.decide.merge(2, 1)
    bench.run()

    assert bench.desk.persons() == [1] * 6 + [3] * 3
    with bench.desk.store.read() as txn:
        assert txn.persons.get(2).merged_into == 1


def test_the_name_survives_a_merge_into_a_person_without_one(bench: Bench) -> None:
    bench.desk.decide.name(2, "Alice")
    bench.desk.decide.merge(2, 1)

    assert bench.desk.folders(1) == bench.desk.folders(4) == ("Alice",)


def test_persons_who_are_together_in_an_image_are_merged_only_on_purpose(bench: Bench) -> None:
    bench.desk.drop(3, 4)

    with pytest.raises(RequestError, match="together in 1 image, so"):
        bench.desk.decide.merge(1, 2)
    bench.desk.decide.merge(1, 2, together=True)
    bench.run()

    assert bench.desk.persons() == [2] * 6 + [3] * 3 + [2, 2]


def test_a_name_that_is_a_folder_of_ours_is_answered_with_the_folder_it_gets(bench: Bench) -> None:
    decided = bench.desk.decide.name(1, "outliers")

    with bench.desk.store.read() as txn:
        assert txn.decisions.get(decided).says.endswith("is outliers; the folder is outliers_")


def test_a_name_that_cannot_be_the_folder_as_it_is_is_answered_with_the_folder(bench: Bench) -> None:
    decided = bench.desk.decide.name(1, "AC/DC")

    with bench.desk.store.read() as txn:
        assert txn.decisions.get(decided).says.endswith("is AC/DC; the folder is AC_DC")


def test_a_name_that_somebody_has_is_refused_with_that_one_as_it_is_written(bench: Bench) -> None:
    bench.desk.decide.name(2, "Ann")

    with pytest.raises(RequestError, match="person 2 is called 'Ann' already: if they are one, merge 1 into 2"):
        bench.desk.decide.name(1, "ann")


def test_parts_that_a_human_split_never_fuse_again(bench: Bench) -> None:
    bench.desk.decide.split(1, [[1, 3], [2]])
    bench.run()

    assert bench.desk.persons() == [1, 4, 1, 2, 2, 2, 3, 3, 3]


def test_two_persons_that_a_human_told_apart_never_fuse(bench: Bench) -> None:
    bench.desk.apply([1, UNBORN, UNBORN, 2, 2, 2, 3, 3, 3])  # a run that erred
    bench.desk.decide.apart((1, [1]), (4, [2]))
    bench.run()

    one, other, *_ = bench.desk.persons()
    assert (one, other) == (1, 4)
    with pytest.raises(RequestError, match="itself"):
        bench.desk.decide.apart((1, [1]), (1, [1]))


def test_a_rejected_face_never_comes_back(bench: Bench) -> None:
    bench.desk.decide.reject([2])
    assert bench.desk.persons()[1] == 0

    bench.run()
    bench.run()

    assert bench.desk.persons()[:3] == [1, 0, 1]


def test_a_rejected_face_goes_to_the_next_person_that_is_near_enough(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for person in (3, 3, 3, 3):
        bench.desk.drop(person)
    bench.desk.apply([1, 1, UNBORN, UNBORN])

    bench.desk.decide.reject([1])

    assert bench.desk.persons()[0] == 2
    bench.desk.store.close()


def test_an_assigned_face_stays_where_a_human_put_it(bench: Bench) -> None:
    bench.desk.decide.assign([1], 3)
    bench.run()

    assert bench.desk.persons() == [3, 1, 1, 2, 2, 2, 3, 3, 3]


def test_the_later_decision_wins(bench: Bench) -> None:
    bench.desk.decide.assign([1], 3)
    bench.desk.decide.reject([1])
    bench.run()
    assert bench.desk.persons()[0] == 1

    bench.desk.decide.assign([1], 3)
    bench.run()

    assert bench.desk.persons()[0] == 3


def test_decisions_survive_other_bounds_and_another_model(bench: Bench) -> None:
    bench.desk.decide.name(1, "Alice", [1])
    bench.desk.decide.merge(3, 2)
    bench.desk.decide.reject([3])
    with bench.desk.store.write() as txn:  # a model that sees things differently: everybody looks like face 4
        for face_id in range(1, 10):
            txn.put_face_vector(face_id, txn.vectors([4])[0])

    bench.recluster.rules = bench.desk.book.rules
    bench.run()

    persons = bench.desk.persons()
    assert persons[0] == 1
    assert persons[3:] == [2] * 6
    assert persons[2] != 1
    assert folders(bench)[0] == "Alice"


def test_a_hidden_person_has_no_folder_and_stays_hidden(bench: Bench) -> None:
    bench.desk.drop(3, 4)
    bench.desk.decide.hide(1, hidden=True)
    bench.run()

    assert bench.desk.folders(1) == ("outliers",)
    assert bench.desk.folders(10) == ("person_0002",)
    assert bench.desk.persons()[:3] == [1, 1, 1]
    bench.desk.decide.hide(1, hidden=False)
    assert bench.desk.folders(1) == ("person_0001",)


def test_a_face_can_be_somebody_who_was_not_there_yet(bench: Bench) -> None:
    bench.desk.decide.found([1], "Bob")
    bench.run()

    assert bench.desk.persons()[:3] == [4, 1, 1]
    assert bench.desk.folders(1) == ("Bob",)


@pytest.mark.parametrize(
    "decide",
    [
        lambda decide: decide.name(2, "Alice", [4]),
        lambda decide: decide.merge(2, 1),
        lambda decide: decide.apart((1, [2]), (2, [5])),
        lambda decide: decide.split(1, [[1, 3], [2]]),
        lambda decide: decide.reject([2, 5]),
        lambda decide: decide.assign([1, 4], 3),
        lambda decide: decide.hide(3, hidden=True),
    ],
)
def test_every_decision_can_be_undone_and_the_undo_too(bench: Bench, decide: object) -> None:
    def state() -> tuple[object, ...]:
        with bench.desk.store.read() as txn:
            persons = [each for _, each in txn.persons.items() if not each.retired]
            return dict(txn.assignments.items()), persons, folders(bench)[:3], bench.desk.book.constraints

    before = state()
    decision_id = decide(bench.desk.decide)
    after = state()

    bench.desk.decide.undo(None)
    assert state() == before
    assert bench.desk.roster.faces_of == {1: 3, 2: 3, 3: 3}
    bench.run()
    assert bench.desk.persons() == [1, 1, 1, 2, 2, 2, 3, 3, 3]

    bench.desk.decide.undo(decision_id + 1)
    assert state()[2:] == after[2:]
    assert [record.person_id for record in state()[0].values()] == [record.person_id for record in after[0].values()]


def test_undoing_a_merge_leaves_what_was_decided_since(bench: Bench) -> None:
    merged = bench.desk.decide.merge(2, 1)
    bench.desk.decide.assign([4], 3)

    bench.desk.decide.undo(merged)

    assert bench.desk.persons() == [1, 1, 1, 3, 2, 2, 3, 3, 3]


def test_what_was_undone_or_never_decided_cannot_be_undone(bench: Bench) -> None:
    with pytest.raises(RequestError, match="no decision to undo"):
        bench.desk.decide.undo(None)
    decision_id = bench.desk.decide.merge(2, 1)
    bench.desk.decide.undo(decision_id)
    with pytest.raises(RequestError, match="undone already"):
        bench.desk.decide.undo(decision_id)
    with pytest.raises(RequestError, match="no decision 99"):
        bench.desk.decide.undo(99)


def test_a_refused_decision_changes_nothing(bench: Bench) -> None:
    for refused in (
        lambda: bench.desk.decide.name(9, "Zoe"),
        lambda: bench.desk.decide.merge(1, 1),
        lambda: bench.desk.decide.reject([99]),
        lambda: bench.desk.decide.assign([1, 99], 2),
    ):
        with pytest.raises(RequestError):
            refused()

    assert bench.desk.persons() == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    with bench.desk.store.read() as txn:
        assert txn.decisions.count() == 0


def test_the_constraints_of_a_restart_are_those_of_before(bench: Bench) -> None:
    bench.desk.decide.merge(2, 1)
    bench.desk.decide.reject([7])
    with bench.desk.store.read() as txn:
        faces = load_faces(txn)

    assert faces.anchor_of.tolist() == [1] * 6 + [0] * 3
    assert faces.rejections.tolist() == [[6, 3]]
