"""Pending files over the real store; the library is a dict that may refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from test_gallery import Desk

from face_organizer.pipeline.channel import Cancelled
from face_organizer.pipeline.messages import RecordPlaced
from face_organizer.pipeline.place import Placer
from face_organizer.types import FileToPlace, Placed


class DictLibrary:
    """Says yes to everything but the names in `refused`."""

    def __init__(self) -> None:
        self.asked: list[FileToPlace] = []
        self.refused: set[str] = set()

    def reconcile(self, file: FileToPlace) -> Placed:
        self.asked.append(file)
        if file.name in self.refused:
            return Placed(file.file_id, file.places, problem=f"no room for {file.name}")
        return Placed(file.file_id, tuple(f"{folder}/{file.name}" for folder in file.folders))

    def holds(self, place: str) -> bool:
        return True

    def walk(self) -> Iterator[str]:
        return iter(())


class Bench:
    def __init__(self, folder: Path) -> None:
        self.desk, self.library = Desk(folder), DictLibrary()
        self.placer = Placer(self.desk.store, self.library, self._post, self.desk.log, lambda: 0.0)

    def _post(self, command: RecordPlaced) -> None:
        self.desk.gallery.handle([command])

    def place(self, skip: frozenset[int] = frozenset()) -> None:
        self.placer.place_all(Event(), skip)

    def pending(self) -> list[int]:
        with self.desk.store.read() as txn:
            return txn.pending(100)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.desk.store.close()


def test_what_truth_wants_is_asked_of_the_library_with_all_it_needs(bench: Bench) -> None:
    image = bench.desk.drop(3)

    bench.place()

    (file,) = bench.library.asked
    assert (file.name, file.source, file.folders) == ("1.jpg", Path("/in/1.jpg"), ("outliers",))
    assert (file.digest, file.signature) == (image.digest, image.ref.signature)
    assert bench.pending() == []


def test_a_person_that_is_born_pulls_its_first_face_out_of_outliers(bench: Bench) -> None:
    bench.desk.drop(3)
    bench.place()
    bench.desk.drop(3)

    bench.place()

    moved = bench.library.asked[1]
    assert (moved.places, moved.folders) == (("outliers/1.jpg",), ("person_0001",))
    with bench.desk.store.read() as txn:
        assert txn.files.get(1).places == (b"person_0001/1.jpg",)


def test_a_file_that_cannot_be_placed_waits_and_the_others_go_on(bench: Bench) -> None:
    for person in (3, 4, 5):
        bench.desk.drop(person)
    bench.library.refused = {"2.jpg"}

    bench.place()
    bench.place(skip=frozenset(bench.placer.problems))

    assert bench.pending() == [2]
    assert bench.placer.problems == {2: "no room for 2.jpg"}
    assert bench.desk.log.events.count("placement_failed") == 1

    bench.library.refused = set()
    bench.place()
    assert bench.pending() == [] and bench.placer.problems == {}


def test_waiting_for_a_file_ends_when_it_is_placed_or_cannot_be_for_now(bench: Bench) -> None:
    for person in (3, 4):
        bench.desk.drop(person)
    bench.library.refused = {"2.jpg"}
    assert not bench.placer.is_done()

    def place_meanwhile() -> bool:
        bench.place()
        return False

    bench.placer.wait_placed([1, 2], unless=place_meanwhile)

    assert bench.pending() == [2]
    assert bench.placer.is_done() and bench.placer.wait_done(unless=lambda: False)


def test_nobody_waits_for_files_longer_than_the_process_lives(bench: Bench) -> None:
    bench.desk.drop(3)

    assert not bench.placer.wait_done(unless=lambda: True)
    with pytest.raises(Cancelled):
        bench.placer.wait_placed([1], unless=lambda: True)


def test_more_files_than_fit_a_batch_are_all_placed(bench: Bench) -> None:
    for _ in range(300):
        bench.desk.drop()

    bench.place()

    assert bench.pending() == []
    assert len(bench.library.asked) == 300
