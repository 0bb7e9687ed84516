"""Re-clustering over the real store and index, applied by the real gallery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import wait_until
from test_gallery import Desk

from face_organizer.pipeline.flow import Service
from face_organizer.pipeline.messages import ApplyRun
from face_organizer.pipeline.recluster import Recluster, When
from face_organizer.types import People, RunRecord


class Bench:
    def __init__(self, folder: Path, people: People = "auto", when: When | None = None) -> None:
        self.desk = Desk(folder, people)
        self.now = 0.0
        self.applied: list[ApplyRun] = []
        self.recluster = Recluster(
            self.desk.store,
            self._post,
            self.desk.gallery.rules,
            when or When(every_s=3600, growth_factor=1.5, growth_faces_min=1000),
            0,
            self.desk.log,
            lambda: self.now,
            draw=self._draw,
        )
        self.drawn: list[Mapping[str, Any]] = []
        self.disk_full = False

    def _draw(self, curve: Mapping[str, Any]) -> Path:
        if self.disk_full:
            raise OSError("no space left on device")
        self.drawn.append(curve)
        return Path("/library/elbow.png")

    def _post(self, command: ApplyRun) -> None:
        self.applied.append(command)
        self.desk.gallery.handle([command])

    def run(self) -> RunRecord:
        """One run, asked for."""
        reply = self.recluster.request("test")
        service = Service("recluster", self.recluster.run)
        service.start()
        try:
            return reply.wait(within_s=20)
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
    assert "recluster_finished" in bench.desk.log.names()


def test_two_persons_that_are_one_are_merged_and_the_larger_goes_on(bench: Bench) -> None:
    for _ in range(5):
        bench.desk.drop(3)
    unborn = 1 << 40
    bench.desk.apply([1, 1, 1, unborn, unborn], born=(unborn,))

    run = bench.run()

    assert bench.desk.persons() == [1] * 5
    assert (run.merged, run.moved) == (1, 2)
    with bench.desk.store.read() as txn:
        assert txn.persons.get(2).merged_into == 1


def test_a_person_that_is_two_is_split_and_nobody_gets_an_old_id(bench: Bench) -> None:
    for person in (3, 3, 3, 4, 4):
        bench.desk.drop(person)
    bench.desk.apply([1, 1, 1, 1, 1], merged={2: 1})

    run = bench.run()

    assert bench.desk.persons() == [1, 1, 1, 3, 3]
    assert run.split == 1


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


def test_with_a_fixed_number_whoever_vanished_gets_its_place_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, people=2)
    for person in (3, 4, 3, 4, 3, 4):
        bench.desk.drop(person)
    first, second = 1 << 40, (1 << 40) + 1
    bench.desk.apply([second, first] * 3, born=(first, second))

    bench.run()
    kept = bench.desk.persons()
    bench.desk.apply([2] * 6, merged={1: 2})
    run = bench.run()

    assert kept == [2, 1] * 3
    assert sorted(bench.desk.persons()) == [1, 1, 1, 2, 2, 2]
    assert (run.born, run.split) == (0, 1)
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
    assert "elbow_chosen" in bench.desk.log.names()
    bench.desk.store.close()


def test_a_curve_that_cannot_be_written_is_told_and_the_run_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, people="elbow")
    bench.disk_full = True
    for person in (3, 4) * 5:
        bench.desk.drop(person)

    run = bench.run()

    assert run.persons == 2
    assert "elbow_not_drawn" in bench.desk.log.names()
    bench.desk.store.close()


def test_growth_by_a_factor_starts_a_run_by_itself(tmp_path: Path) -> None:
    bench = Bench(tmp_path, when=When(every_s=3600, growth_factor=2.0, growth_faces_min=4))
    service = Service("recluster", bench.recluster.run)
    service.start()
    try:
        for person in (3, 3, 4):
            bench.desk.drop(person)
        assert bench.applied == []
        bench.desk.drop(4)
        wait_until(lambda: len(bench.applied) == 1)
    finally:
        service.stop()
    assert bench.applied[0].run.reason == "growth"
    bench.desk.store.close()


def test_the_timer_starts_a_run_only_if_there_is_anything_new(bench: Bench) -> None:
    bench.desk.drop(3)
    assert bench.recluster._due() == ""

    bench.now = 3601

    assert bench.recluster._due() == "timer"
    bench.recluster.remember(1)
    assert bench.recluster._due() == ""


def test_requests_that_come_while_one_waits_share_its_answer(bench: Bench) -> None:
    replies = {id(bench.recluster.request("hangup")) for _ in range(50)}

    assert len(replies) == 1


def test_an_empty_library_can_be_reclustered(bench: Bench) -> None:
    assert bench.run().faces == 0
