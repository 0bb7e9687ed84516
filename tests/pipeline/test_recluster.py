"""Re-clustering over the real store and index, applied by the real gallery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import wait_until
from test_gallery import RUN, D, Desk, seen_face

from face_organizer.errors import NoRoomError
from face_organizer.identity.constraints import fold
from face_organizer.identity.diff import Margin
from face_organizer.pipeline import book
from face_organizer.pipeline.messages import Rules
from face_organizer.pipeline.recluster import PUT_OFF_S, Kind, Recluster, When
from face_organizer.pipeline.service import Service
from face_organizer.pipeline.think import Faces, clusters_of, join_nearest, reconciled
from face_organizer.records import RunRecord
from face_organizer.types import Float32, ImageRef, Impostors, Neighbours, People, SeenImage, Signature

WIDE = Margin(moved_share_max=1.0, moved_faces_min=1000, named_loss_share_max=1.0)


class Bench:
    def __init__(self, folder: Path, people: People = "auto", when: When | None = None) -> None:
        self.desk = Desk(folder, people)
        self.now = 0.0
        self.recluster = Recluster(
            self.desk.store,
            self.desk.runs,
            self.desk.book.rules,
            when or When(every_s=3600, growth_factor=1.5, growth_faces_min=1000, margin=WIDE),
            self.desk.log,
            lambda: self.now,
            lambda: 1.0,
            self.desk.roster.picture,
            draw=self._draw,
            has_room=lambda: self.has_room,
        )
        self.has_room = True
        self.drawn: list[Mapping[str, Any]] = []
        self.disk_full = False

    def _draw(self, curve: Mapping[str, Any]) -> Path:
        if self.disk_full:
            raise OSError("no space left on device")
        self.drawn.append(curve)
        return Path("/library/elbow.png")

    def runs(self) -> list[RunRecord]:
        with self.desk.store.read() as txn:
            return [run for _, run in txn.runs.items()]

    def run(self, kind: Kind = "asked") -> RunRecord:
        """One run, asked for."""
        reply = self.recluster.request("test", kind)
        service = Service("recluster", self.recluster.run)
        service.start()
        try:
            return reply.wait(within_s=20)[1]
        finally:
            service.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.desk.store.close()


def test_what_streaming_left_outside_finds_its_person_and_ids_stay(bench: Bench) -> None:
    for person in (3, 3, 4, 4, 5):
        bench.desk.drop(person)
    bench.desk.apply([1, 0, 2, 0, 0])

    run = bench.run()

    assert bench.desk.persons() == [1, 1, 2, 2, 0]
    assert (run.persons, run.born, run.merged, run.moved) == (2, 0, 0, 0)
    assert "recluster_finished" in bench.desk.log.events


def test_two_persons_that_are_one_are_merged_and_the_larger_goes_on(bench: Bench) -> None:
    for _ in range(5):
        bench.desk.drop(3)
    unborn = 1 << 40
    bench.desk.apply([1, 1, 1, unborn, unborn])

    run = bench.run()

    assert bench.desk.persons() == [1] * 5
    assert (run.merged, run.moved) == (1, 2)
    with bench.desk.store.read() as txn:
        assert txn.persons.get(2).merged_into == 1


@pytest.mark.parametrize("is_named", [False, True])
def test_new_photos_nearer_to_each_other_than_to_somebody_little_known_found_a_person_until_the_next_run(
    bench: Bench, is_named: bool
) -> None:
    """One pair decides: to the centroid each is .48 alike, less than the .5 to join, and the two are .6 alike."""
    alike = np.array([[1, 0.6, 0.48, 0.38], [0.6, 1, 0.38, 0.48], [0.48, 0.38, 1, 0.6], [0.38, 0.48, 0.6, 1]])
    bench.recluster.rules = replace(bench.recluster.rules, similarity_link_min=0.45)  # many pairs decide: it is lower
    for number, vector in enumerate(np.linalg.cholesky(alike), start=1):
        face = seen_face(0, np.random.default_rng(number))
        vector = np.pad(vector, (0, D - len(vector))).astype(np.float32)
        ref = ImageRef(Path(f"/in/{number}.jpg"), Signature(1, number, 1))
        seen = SeenImage(ref, number.to_bytes(16, "big"), 100, 100, (replace(face, embedding=vector),))
        bench.desk.gallery.handle([seen])
    assert bench.desk.persons() == [1, 1, 2, 2]

    if is_named:
        bench.desk.decide.name(2, "Zoe", [3])

    run = bench.run()

    assert (run.merged, run.moved) == (1, 2)
    assert {bench.desk.folders(file_id) for file_id in (1, 2, 3, 4)} == {("Zoe" if is_named else "person_0001",)}


def test_a_person_that_is_two_is_split_and_nobody_gets_an_old_id(bench: Bench) -> None:
    for person in (3, 3, 3, 4, 4):
        bench.desk.drop(person)
    bench.desk.apply([1, 1, 1, 1, 1], merged={2: 1})

    run = bench.run()

    assert bench.desk.persons() == [1, 1, 1, 3, 3]
    assert run.split == 1


def test_a_run_folds_what_humans_said_anew_only_when_it_takes_over_somebody_they_spoke_of(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for person in (3, 3, 4, 4, 5, 5, 6, 6):
        bench.desk.drop(person)
    bench.desk.decide.reject([3])  # it is not person 2
    folds: list[object] = []
    monkeypatch.setattr(book, "fold", lambda *said: folds.append(said) or fold(*said))

    bench.desk.apply([1, 1, 0, 2, 3, 3, 3, 3], merged={4: 3})
    assert folds == []
    bench.desk.apply([1, 1, 0, 3, 3, 3, 3, 3], merged={2: 3})
    assert len(folds) == 1

    assert bench.desk.book.constraints.rejected == {3: {3}}


def test_doing_it_twice_changes_nothing_the_second_time(bench: Bench) -> None:
    for person in (3, 4, 3, 4, 5, 6, 5):
        bench.desk.drop(person)
    bench.run()
    before = bench.desk.persons()

    run = bench.run()

    assert bench.desk.persons() == before
    assert (run.born, run.merged, run.split, run.moved) == (0, 0, 0, 0)


def test_a_face_of_poor_quality_joins_a_cluster_but_shapes_none(bench: Bench) -> None:
    for _ in range(3):
        bench.desk.drop(3)
    bench.desk.drop(3, founder=False)
    bench.desk.drop(7, founder=False)
    bench.desk.apply([1, 1, 1, 0, 0])

    bench.run()

    assert bench.desk.persons() == [1, 1, 1, 1, 0]


def faces_of(vectors: Float32, founder: list[bool], image_of: list[int]) -> Faces:
    nobody, none = np.zeros(len(vectors), np.int64), np.empty((0, 2), np.int64)
    return Faces(np.arange(1, len(vectors) + 1), np.array(image_of), nobody, np.array(founder), vectors, nobody, none)


def rules_with(similarity_min: float) -> Rules:
    return Rules("auto", "move", 2, similarity_min, 0.5, 0.5, 20)


def test_two_poor_faces_of_one_image_never_join_the_same_cluster() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 0, 0]]
    vectors[5] += np.float32(0.5) * np.eye(4, dtype=np.float32)[1]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    faces = faces_of(vectors, [True] * 4 + [False] * 2, [1, 2, 3, 4, 9, 9])
    labels = np.array([0, 0, 1, 1, -1, -1])

    join_nearest(faces, labels, np.array([4, 5]), rules_with(0.4))
    assert labels.tolist() == [0, 0, 1, 1, 0, 1]

    labels = np.array([0, 0, 1, 1, -1, -1])
    join_nearest(faces, labels, np.array([4, 5]), rules_with(0.8))
    assert labels.tolist() == [0, 0, 1, 1, 0, -1]

    labels = np.array([0, 0, 1, 1, -1, -1])
    join_nearest(faces, labels, np.array([4, 5]), replace(rules_with(0.4), one_face_per_image=False))
    assert labels.tolist() == [0, 0, 1, 1, 0, 0]


def test_a_poor_face_does_not_join_where_another_face_of_its_image_is() -> None:
    faces = faces_of(np.eye(4, dtype=np.float32)[[0, 0, 0]], [True, True, False], [1, 2, 2])
    labels = np.array([0, 0, -1])

    join_nearest(faces, labels, np.array([2]), rules_with(0.4))

    assert labels.tolist() == [0, 0, -1]


def test_a_run_goes_by_the_bounds_that_the_library_gave_itself_and_streaming_follows(bench: Bench) -> None:
    pack = Impostors(0.0, 0.1, (1e-2, 1e-4), (2.0, 4.0))
    bench.recluster.rules = replace(bench.recluster.rules, impostors=pack, false_merge_max=0.01)
    for person in (3, 3, 4, 4, 5):
        bench.desk.drop(person)

    calibration = bench.run().found["calibration"]

    assert bench.desk.persons() == [1, 1, 2, 2, 0]
    assert bench.desk.log.lines[-1][1]["similarity_link_min"] == round(calibration["similarity_link_min"], 4)
    assert calibration["similarity_link_min"] == pytest.approx(0.52 + calibration["similarity_shift"])
    followed = bench.recluster.rules.as_found(bench.recluster.found)
    assert followed.similarity_join_min == pytest.approx(0.5 + calibration["similarity_shift"])


def test_where_strangers_look_alike_a_run_asks_for_more(bench: Bench) -> None:
    """Two faces .86 alike, and a bound of .84, which moves up."""
    bench.recluster.rules = replace(bench.recluster.rules, similarity_link_min=0.84)
    bench.desk.drop(3)
    bench.desk.drop(3)
    bench.run()
    assert bench.desk.persons() == [1, 1]

    alike = Impostors(0.75, 0.1, (1e-2, 1e-4), (2.0, 4.0))
    bench.recluster.rules = replace(bench.recluster.rules, impostors=alike)
    bench.run()

    assert bench.desk.persons() == [0, 0]


def test_a_run_moves_no_bound_that_a_user_set(bench: Bench) -> None:
    bench.desk.drop(3)

    assert "calibration" not in bench.run().found


def test_a_fixed_number_of_people_keeps_its_ids_over_runs(tmp_path: Path) -> None:
    bench = Bench(tmp_path, people=2)
    for person in (3, 3, 3, 4, 4, 4, 9):
        bench.desk.drop(person)

    bench.run()
    first = bench.desk.persons()
    for person in (4, 4, 3):
        bench.desk.drop(person)
    bench.run()

    assert sorted(set(first)) == [0, 1, 2]
    assert bench.desk.persons()[:7] == first
    assert bench.desk.persons()[7:] == [first[3], first[3], first[0]]
    bench.desk.store.close()


def test_with_a_fixed_number_persons_stay_when_their_sizes_swap_and_after_a_restart(tmp_path: Path) -> None:
    bench = Bench(tmp_path, people=2)
    for person in (3, 4, 3, 4, 3, 3, 3):
        bench.desk.drop(person)
    bench.run()
    first = bench.desk.persons()
    bench.desk.store.close()

    bench = Bench(tmp_path, people=2)
    bench.desk._number = 100
    for person in (4,) * 9:
        bench.desk.drop(person)
    run = bench.run()

    assert first == [1, 2, 1, 2, 1, 1, 1]
    assert bench.desk.persons() == [*first, *[2] * 9]
    assert (run.born, run.moved) == (0, 0)
    bench.desk.store.close()


def test_with_a_fixed_number_who_comes_after_one_that_vanished_gets_the_folder_and_another_id(tmp_path: Path) -> None:
    bench = Bench(tmp_path, people=2)
    for person in (3, 4, 3, 4, 3, 4):
        bench.desk.drop(person)
    first, second = 1 << 40, (1 << 40) + 1
    bench.desk.apply([second, first] * 3)

    bench.run()
    kept = bench.desk.persons()
    bench.desk.apply([2] * 6, merged={1: 2})
    run = bench.run()

    assert kept == [2, 1] * 3
    assert sorted(bench.desk.persons()) == [2, 2, 2, 3, 3, 3]
    assert sorted({bench.desk.folders(file_id) for file_id in range(1, 7)}) == [("person_A",), ("person_B",)]
    assert (run.born, run.split) == (1, 1)
    bench.desk.store.close()


def test_two_faces_of_one_image_never_become_one_of_the_n_persons(tmp_path: Path) -> None:
    bench = Bench(tmp_path, people=2)
    for people in ((3,), (3,), (3,), (4,), (4,), (4,), (3, 3), (3, 4)):
        bench.desk.drop(*people)

    bench.run()

    persons = bench.desk.persons()
    assert sorted(persons[6:8]) == [0, 1]
    assert persons[8:] == [1, 2]
    bench.desk.store.close()


def test_a_learned_bound_is_kept_with_the_run_and_a_bound_of_ones_own_is_kept_to(tmp_path: Path) -> None:
    bench = Bench(tmp_path, people=2)
    for person in (3, 4) * 6:
        bench.desk.drop(person)

    learned = bench.run().found
    bench.recluster.rules = replace(bench.recluster.rules, learn_member_min=False)
    own = bench.run().found

    assert learned["people"] == 2
    assert learned["similarity_member_min"] < 0.45
    assert own == {"people": 2, "similarity_member_min": 0.45}
    bench.desk.store.close()


def test_the_elbow_chooses_how_many_and_its_curve_is_kept_with_the_run_and_drawn(tmp_path: Path) -> None:
    bench = Bench(tmp_path, people="elbow")
    for person in (3, 4, 5) * 5:
        bench.desk.drop(person)
    assert set(bench.desk.persons()) == {0}  # nobody is born before a run has chosen

    run = bench.run()
    bench.desk.drop(4)

    assert bench.desk.persons() == [*[1, 2, 3] * 5, 2]
    assert (run.people, run.found["people"]) == ("elbow", 3)
    (curve,) = bench.drawn
    assert run.found["elbow"] == {**curve, "chart": "/library/elbow.png"}
    assert (curve["chosen"], len(curve["people"])) == (3, len(curve["cost"]))
    with bench.desk.store.read() as txn:
        assert txn.runs.get(txn.last_id("runs")).found["elbow"]["chosen"] == 3
    assert "elbow_chosen" in bench.desk.log.events
    bench.desk.store.close()


def test_a_curve_that_cannot_be_written_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, people="elbow")
    bench.disk_full = True
    for person in (3, 4) * 5:
        bench.desk.drop(person)

    run = bench.run()

    assert run.persons == 2
    assert "elbow_not_drawn" in bench.desk.log.events
    bench.desk.store.close()


def test_growth_by_a_factor_starts_a_run_by_itself(tmp_path: Path) -> None:
    bench = Bench(tmp_path, when=When(3600, growth_factor=2.0, growth_faces_min=4, margin=WIDE))
    service = Service("recluster", bench.recluster.run)
    service.start()
    try:
        for person in (3, 3, 4):
            bench.desk.drop(person)
        assert bench.runs() == []
        bench.desk.drop(4)
        wait_until(lambda: [run.state for run in bench.runs()] == ["applied"])
    finally:
        service.stop()
    assert bench.runs()[0].reason == "growth"
    bench.desk.store.close()


def test_the_timer_starts_a_run_only_if_there_is_anything_new(bench: Bench) -> None:
    bench.desk.drop(3)
    assert bench.recluster._due() == ""

    bench.now = 3601

    assert bench.recluster._due() == "timer"
    bench.recluster.remember(replace(RUN, faces=1))
    assert bench.recluster._due() == ""


def test_requests_that_come_while_one_waits_share_its_answer(bench: Bench) -> None:
    replies = {id(bench.recluster.request("hangup")) for _ in range(50)}

    assert len(replies) == 1


def test_an_empty_library_can_be_reclustered(bench: Bench) -> None:
    assert bench.run().faces == 0


def test_after_little_growth_the_timer_looks_only_at_what_is_new(bench: Bench) -> None:
    for person in [3] * 15 + [4] * 15:
        bench.desk.drop(person)
    bench.run()
    bench.desk.drop(5)
    bench.desk.drop(3)
    persons = [*bench.desk.persons()[:30], 0, 0]
    bench.desk.apply(persons)  # streaming missed the last one

    reply = bench.recluster.request("timer")
    bench.recluster._answer("timer", "unasked", reply)

    started = [fields["everything"] for event, fields in bench.desk.log.lines if event == "recluster_started"]
    assert started == [True, False]
    assert bench.desk.persons()[30:] == [0, persons[0]]


def test_the_timer_looks_at_everything_again_after_a_run_that_was_not_applied(bench: Bench) -> None:
    for person in [3] * 15 + [4] * 15:
        bench.desk.drop(person)
    bench.run("proposal")
    bench.desk.drop(3)

    bench.recluster._answer("timer", "unasked", bench.recluster.request("timer"))

    started = [fields["everything"] for event, fields in bench.desk.log.lines if event == "recluster_started"]
    assert started == [True, True]


def test_a_run_that_finds_no_room_is_put_off_and_made_up_for_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    bench.desk.drop(1)
    bench.desk.drop(1)

    def full(*_: object, **__: object) -> None:
        raise NoRoomError("no room")

    with monkeypatch.context() as patch, pytest.raises(NoRoomError):
        patch.setattr(bench.desk.runs, "keep", full)
        bench.run("unasked")
    assert bench.runs() == []
    assert bench.desk.log.events.count("recluster_put_off") == 1
    bench.has_room, bench.now = False, 3 * PUT_OFF_S
    assert bench.recluster._due() == ""

    bench.has_room = True
    service = Service("recluster", bench.recluster.run)
    service.start()
    try:
        wait_until(lambda: len(bench.runs()) == 1, within_s=20)
    finally:
        service.stop()
    assert bench.runs()[0].reason == "test"
    assert bench.recluster._due() == ""
    bench.desk.store.close()


def test_a_face_that_a_raised_bound_just_misses_stays_where_the_last_run_put_it(bench: Bench) -> None:
    """One of three faces ends .01 below the bound: a new library has no reason to move it, one that never ran has."""
    rows = np.eye(3, 32, dtype=np.float32)
    rows[1], rows[2] = rows[0], 0.6 * rows[0] + 0.8 * rows[2]
    faces = faces_of(rows, [True] * 3, [1, 2, 3])
    faces = replace(faces, person_of=np.array([7, 7, 7]))
    none = np.full((3, 1), -1, np.int64)
    edges = Neighbours(faces.face_ids, none, none.astype(np.float32))
    clusters = replace(clusters_of(faces, edges, rules_with(0.61)), labels=np.array([0, 0, 1]))

    seen_before = reconciled(faces, clusters, rules_with(0.61), frozenset(), last_face_id=3)
    never_seen = reconciled(faces, clusters, rules_with(0.61), frozenset())

    assert seen_before.person_of.tolist() == [7, 7, 7]
    assert seen_before.moved == 0
    assert never_seen.person_of.tolist() == [7, 7, 0]
