"""Re-clustering after growth over the real store, index and gallery."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_gallery import D, Desk

from face_organizer.pipeline.growth import clusters_of_growth
from face_organizer.pipeline.roster import load_roster
from face_organizer.types import Int64


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.store.close()


def grown(desk: Desk, last_face_id: int, **told: Int64) -> list[int]:
    with desk.store.read() as txn:
        return clusters_of_growth(txn, desk.roster.picture(), desk.gallery.rules, last_face_id, **told).tolist()


def test_what_streaming_left_outside_or_misplaced_since_finds_its_person(desk: Desk) -> None:
    for person in (3, 3, 4, 4, 4, 3):
        desk.drop(person)
    desk.apply([1, 1, 2, 2, 1, 0])

    labels = grown(desk, last_face_id=4)

    assert labels[0] == labels[1] == labels[5]
    assert labels[2] == labels[3] == labels[4] != labels[0]


def test_persons_without_new_faces_near_them_stay_as_they_are(desk: Desk) -> None:
    for person in (3, 3, 3, 4, 4, 5):
        desk.drop(person)
    desk.apply([1, 1, 2, 2, 2, 0])

    labels = grown(desk, last_face_id=5)

    assert labels[0] == labels[1]
    assert labels[2] == labels[3] == labels[4] != labels[0]
    assert labels[5] not in labels[:5]
    assert labels[5] >= 0


def test_a_face_that_was_nobody_before_is_found_by_a_new_one(desk: Desk) -> None:
    for person in (3, 3, 5, 6, 5):
        desk.drop(person)
    desk.apply([1, 1, 0, 0, 0])

    labels = grown(desk, last_face_id=4)

    assert labels[2] == labels[4]
    assert labels[3] == -1


def test_a_face_of_poor_quality_keeps_its_person_and_brings_nobody_together(desk: Desk) -> None:
    for person, founder in ((3, True), (3, True), (4, True), (4, True), (3, False), (7, False)):
        desk.drop(person, founder=founder)
    desk.apply([1, 1, 2, 2, 2, 0])

    labels = grown(desk, last_face_id=0)

    assert labels[0] == labels[1] != labels[2] == labels[3]
    assert labels[4] != labels[0]
    assert labels[5] == -1


def test_what_a_human_said_is_passed_on(desk: Desk) -> None:
    for _ in range(3):
        desk.drop(3)
    desk.apply([1, 1, 0])

    labels = grown(desk, 2, anchor_of=np.array([1, 0, 0]), rejected=np.array([[2, 1]]))

    assert labels[0] == labels[1] != labels[2]


def test_the_picture_is_a_copy_and_its_sums_are_the_founders(desk: Desk) -> None:
    for person, founder in ((3, True), (3, True), (3, False), (9, False)):
        desk.drop(person, founder=founder)
    desk.apply([1, 1, 1, 2], merged={})
    picture = desk.roster.picture()
    with desk.store.read() as txn:
        sums = txn.vectors([1, 2]).sum(axis=0)
        assert (load_roster(txn, D).picture().sums == picture.sums).all()

    desk.drop(3)

    assert picture.face_ids.tolist() == [1, 2, 3, 4]
    assert picture.founder.tolist() == [True, True, False, False]
    assert picture.person_ids.tolist() == [1, 2]
    assert picture.sizes.tolist() == [2, 0]
    np.testing.assert_allclose(picture.sums, [sums, np.zeros(D)], atol=1e-6)
