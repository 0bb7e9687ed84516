"""Re-clustering over the real store and index, applied by the real gallery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import wait_until
from test_gallery import Desk

from face_organizer.pipeline.flow import Service
from face_organizer.pipeline.messages import ApplyRun
from face_organizer.pipeline.recluster import Faces, Recluster, When, join_nearest
from face_organizer.types import Impostors, People, RunRecord


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
        )

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


def test_two_poor_faces_of_one_image_never_join_the_same_cluster() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 0, 0]]
    vectors[5] += np.float32(0.5) * np.eye(4, dtype=np.float32)[1]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    founder = np.array([True, True, True, True, False, False])
    image_of = np.array([1, 2, 3, 4, 9, 9])
    faces = Faces(np.arange(1, 7), image_of, np.zeros(6, np.int64), founder, vectors)
    labels = np.array([0, 0, 1, 1, -1, -1])

    join_nearest(faces, labels, np.flatnonzero(~founder), 0.4)
    assert labels.tolist() == [0, 0, 1, 1, 0, 1]

    labels = np.array([0, 0, 1, 1, -1, -1])
    join_nearest(faces, labels, np.flatnonzero(~founder), 0.8)
    assert labels.tolist() == [0, 0, 1, 1, 0, -1]


def test_a_poor_face_does_not_join_where_another_face_of_its_image_is() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 0]]
    founder = np.array([True, True, False])
    faces = Faces(np.arange(1, 4), np.array([1, 2, 2]), np.zeros(3, np.int64), founder, vectors)
    labels = np.array([0, 0, -1])

    join_nearest(faces, labels, np.array([2]), 0.4)

    assert labels.tolist() == [0, 0, -1]


def test_a_run_goes_by_the_bounds_that_the_library_gave_itself(bench: Bench) -> None:
    pack = Impostors(0.0, 0.1, (1e-2, 1e-4), (2.0, 4.0))
    bench.recluster.rules = replace(bench.recluster.rules, impostors=pack, false_merge_max=0.01)
    for person in (3, 3, 4, 4, 5):
        bench.desk.drop(person)

    bench.run()

    calibration = bench.applied[0].calibration
    assert calibration is not None
    assert bench.desk.persons() == [1, 1, 2, 2, 0]
    assert calibration.similarity_link_min == bench.desk.log.events[-1][1]["similarity_link_min"]
    assert calibration.similarity_link_min == pytest.approx(0.52 + calibration.similarity_shift)


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

    bench.run()

    assert bench.applied[0].calibration is None


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
