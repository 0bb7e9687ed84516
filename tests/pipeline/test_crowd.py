"""Everybody at a glance, the rejected files, and what is told: what one who looks again and again is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Notes
from test_gallery import Desk

from face_organizer.pipeline.crowd import Crowd
from face_organizer.pipeline.rejected import RejectedFiles
from face_organizer.pipeline.timing import BOUNDS_S, Timings
from face_organizer.pipeline.told import Telling
from face_organizer.types import ImageRef, Rejected, Signature


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.store.close()


class Looked:
    """A crowd over a desk; looks counts how often the gallery was asked, each of which takes a second."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.looks, self.now = desk, 0, 100.0
        self.crowd = Crowd(desk.store, self._picture, lambda: self.now)

    def _picture(self) -> object:
        self.looks += 1
        self.now += 1.0
        return self.desk.roster.picture()


def test_everybody_is_counted_and_has_a_cover_that_is_theirs(desk: Desk) -> None:
    for person in (3, 3, 3, 4, 4, 9):
        desk.drop(person)
    desk.drop(3, 4)
    looked = Looked(desk)

    rows = looked.crowd.look().rows

    assert [(row["person_id"], row["faces"], row["images"], row["named"]) for row in rows] == [
        (1, 4, 4, False),
        (2, 3, 3, False),
    ]
    assert [desk.persons()[row["cover"] - 1] for row in rows] == [1, 2]
    assert [row["person_id"] for row in looked.crowd.look().called("PERSON_0002", everybody=False)] == [2]


def test_looking_again_is_free_for_twenty_times_as_long_as_it_took_unless_something_was_decided(desk: Desk) -> None:
    desk.drop(3)
    looked = Looked(desk)
    looked.crowd.look()
    desk.drop(3)

    looked.now += 19.0
    assert looked.crowd.look().rows == []
    looked.now += 2.0
    (row,) = looked.crowd.look().rows
    assert (row["faces"], looked.looks) == (2, 2)
    desk.decide.name(1, "Ada")
    assert looked.crowd.look().rows[0]["name"] == "person_0001"
    looked.crowd.outdate()
    assert looked.crowd.look().rows[0]["name"] == "Ada"


def test_a_cover_stays_until_its_face_is_somebody_elses(desk: Desk) -> None:
    for _ in range(6):
        desk.drop(3)
    looked = Looked(desk)
    cover = looked.crowd.look().rows[0]["cover"]

    desk.drop(3)
    looked.crowd.outdate()
    assert looked.crowd.look().rows[0]["cover"] == cover
    desk.decide.reject([cover])
    looked.crowd.outdate()
    assert looked.crowd.look().rows[0]["cover"] != cover


def test_rejected_files_are_counted_without_looking_at_the_others_again(desk: Desk) -> None:
    rejected = RejectedFiles()
    desk.drop(3)
    desk.gallery.handle([Rejected(ImageRef(Path("/in/b.jpg"), Signature(1, 1, 1)), "no image")])
    with desk.store.read() as txn:
        assert rejected.ids(txn) == [2]
        desk.gallery.handle([Rejected(ImageRef(Path("/in/c.jpg"), Signature(1, 2, 1)), "no image")])
        assert rejected.ids(txn) == [2]  # of its own time
    with desk.store.read() as txn:
        assert rejected.ids(txn) == [2, 3]


def test_lines_are_told_by_number_and_whoever_was_away_too_long_hears_that(desk: Desk) -> None:
    lines = Notes()
    told = Telling(lines, begin_at=1000, kept=3)
    for number in range(5):
        told.info("image_placed", number=number)
    told.error("crashed", exc_info=True)

    assert lines.events == ["image_placed"] * 5 + ["crashed"]
    assert told.last == 1006
    assert [line.number for line in told.since(1003, 10)[0]] == [1004, 1005, 1006]
    assert told.since(1003, 10)[1] is False
    assert [line.number for line in told.since(1003, 2)[0]] == [1004, 1005]
    assert told.since(1001, 10) == (told.since(1003, 10)[0], True)
    assert told.since(5, 10)[1] is True
    assert told.since(9999, 10) == ([], True)
    assert told.since(1006, 10) == ([], False)
    assert told.since(1005, 10)[0][0].fields == {}


def test_each_item_of_a_batch_counts_with_its_share() -> None:
    timings = Timings(lambda: 0.0)

    timings.observe("see", 0.04, 4)
    timings.observe("see", 99.0)
    timings.observe("see", 0.0, 0)

    bounds_s, counts, sum_s = timings.histograms()["see"]
    assert bounds_s == BOUNDS_S
    assert dict(zip([*bounds_s, None], counts, strict=True)) == dict.fromkeys(bounds_s, 0) | {0.01: 4, None: 1}
    assert sum_s == pytest.approx(99.04)
