"""The gallery over the real store and the real index; faces are made of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import Notes

from face_organizer.adapters.index import FaceIndex
from face_organizer.adapters.store import LmdbStore, open_store
from face_organizer.errors import RequestError, StoreError
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.book import Book, wanted_folders
from face_organizer.pipeline.brought import drop_brought
from face_organizer.pipeline.change import pack_ids
from face_organizer.pipeline.changes import Changes
from face_organizer.pipeline.decide import Decide
from face_organizer.pipeline.gallery import Gallery
from face_organizer.pipeline.messages import Call, RecordPlaced, Rules, Skipped
from face_organizer.pipeline.roster import Roster, load_roster
from face_organizer.pipeline.runs import Runs
from face_organizer.records import ChangeRecord, RunRecord
from face_organizer.types import (
    Detection,
    FileId,
    ImageRef,
    Lying,
    People,
    Placed,
    Rejected,
    SeenFace,
    SeenImage,
    Signature,
)

D = 32
RUN = RunRecord("test", "auto", 0, 0, 0, 0, 0, 0, 0, 0.0)


class Desk:
    """A gallery with everything it needs, and what a test asks of it."""

    def __init__(self, folder: Path, people: People = "auto", dimension: int = D) -> None:
        self.store: LmdbStore = open_store(folder / "truth", "m", dimension)
        self.index = FaceIndex(dimension, flat_max_faces=1000, retrain_factor=4, nprobe=8)
        with self.store.read() as txn:
            self.roster: Roster = load_roster(txn, dimension)
            for face_ids, vectors in txn.vector_chunks():
                self.index.add(face_ids, vectors)
        self.log = Notes()
        self.done: list[ImageRef] = []
        self.book = Book(self.store, self.roster, Rules(people, "move", 2, 0.5, 0.52, 0.45, 20))
        self.changes = Changes(self.roster, self.book)
        self.gallery = Gallery(
            self.store, self.index, self.roster, self.book, self.log, lambda: 0.0, lambda: None, self.done.extend
        )
        applier = Applier(self.changes, lambda work: work())
        self.runs = Runs(self.store, self.changes, applier, lambda file_ids: None)
        self.decide = Decide(self.roster, self.changes, applier, self.runs, lambda: 1.0)
        self._number = 0

    def drop(
        self, *people: int, name: str = "", content: bytes = b"", founder: bool = True, lying: Lying | None = None
    ) -> SeenImage:
        """Enrol an image that shows these people (numbers). lying: where somebody laid it into the library himself."""
        self._number += 1
        rng = np.random.default_rng(self._number)
        faces = tuple(seen_face(person, rng, founder) for person in people)
        ref = ImageRef(Path(f"/in/{name or self._number}.jpg"), Signature(1, self._number, 1))
        if lying is not None:
            ref = ImageRef(Path("/library") / lying.place, lying.signature, lying.place)
        image = SeenImage(ref, content or self._number.to_bytes(16, "big"), 100, 100, faces)
        self.gallery.handle([image])
        return image

    def persons(self) -> list[int]:
        """The person of each face, in order."""
        with self.store.read() as txn:
            return [record.person_id for _, record in txn.assignments.items()]

    def folders(self, file_id: int) -> tuple[str, ...]:
        with self.store.read() as txn:
            file = txn.files.get(file_id)
            assert file is not None
            return wanted_folders(txn, file)

    def apply(
        self, after: list[int], *, before: list[int] | None = None, merged: dict[int, int] | None = None
    ) -> tuple[int, RunRecord]:
        """A run that wants these persons, thought out when they were `before`."""
        ids, then = np.arange(1, len(after) + 1), before or self.persons()[: len(after)]
        columns = (pack_ids(np.asarray(column, np.int64)) for column in (ids, then, after))
        return self.runs.keep(RUN, ChangeRecord(*columns, "reclustered", merged=merged or {}), asked=True)


def seen_face(person: int, rng: np.random.Generator, founder: bool = True) -> SeenFace:
    vector = np.zeros(D, np.float32)
    vector[person] = 1.0
    vector += rng.normal(0, 0.08, D).astype(np.float32)
    vector /= np.linalg.norm(vector)
    detection = Detection(np.array([0, 0, 9, 9], np.float32), np.zeros((5, 2), np.float32), 0.9)
    return SeenFace(detection, vector, 0.9, founder)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.store.close()


def test_a_person_is_born_as_soon_as_two_faces_agree_and_the_first_one_moves_too(desk: Desk) -> None:
    desk.drop(3)
    assert desk.folders(1) == ("outliers",)

    desk.drop(3)

    assert desk.persons() == [1, 1]
    assert desk.folders(1) == desk.folders(2) == ("person_0001",)
    with desk.store.read() as txn:
        assert txn.pending(10) == [1, 2]


def test_what_somebody_laid_into_a_folder_stays_there_until_it_is_decided_whom_it_shows(desk: Desk) -> None:
    for name in ("a", "b", "c"):
        desk.drop(3, lying=Lying(f"person_0009/{name}.jpg", Signature(1, 1, 1), "file"))

    assert desk.persons() == [1, 1, 1]  # the second one founds a person, and the first goes along
    assert pending(desk) == []
    with desk.store.write() as txn:
        drop_brought(txn, [1])
    desk.apply([0, 0, 0])
    assert pending(desk) == [1]


def pending(desk: Desk) -> list[int]:
    with desk.store.read() as txn:
        return txn.pending(10)


def test_where_a_file_may_lie_unrecorded_is_remembered_when_truth_changes_its_mind(desk: Desk) -> None:
    desk.drop(3)
    desk.drop(3)

    with desk.store.read() as txn:
        assert txn.files.get(1).places == (b"outliers/1.jpg",)
        assert txn.files.get(2).places == ()


def test_two_faces_need_the_join_bound_to_found_a_person(desk: Desk) -> None:
    desk.book.rules = replace(desk.book.rules, similarity_join_min=0.99, similarity_link_min=0.3)

    desk.drop(3)
    desk.drop(3)

    assert desk.persons() == [0, 0]


def test_later_faces_join_and_strangers_stay_outside(desk: Desk) -> None:
    for person in (3, 3, 4, 4, 3, 9):
        desk.drop(person)

    assert desk.persons() == [1, 1, 2, 2, 1, 0]


def test_faces_that_agree_within_one_transaction_found_a_person_too(desk: Desk) -> None:
    rng = np.random.default_rng(0)
    images = [
        SeenImage(ImageRef(Path(f"/in/{n}.jpg"), Signature(1, n, 1)), bytes([n]), 9, 9, (seen_face(5, rng),))
        for n in range(3)
    ]

    desk.gallery.handle(images)

    assert desk.persons() == [1, 1, 1]
    assert desk.index.count == 3


def test_two_faces_of_one_image_are_never_one_person(desk: Desk) -> None:
    desk.drop(3, 3)
    assert desk.persons() == [0, 0]

    desk.drop(3)
    desk.drop(3, 3)

    one, _, founder, fourth, fifth = desk.persons()
    assert one == founder
    assert fourth != fifth


def test_an_image_of_several_people_wants_to_be_in_each_of_their_folders(desk: Desk) -> None:
    for person in (3, 3, 4, 4):
        desk.drop(person)

    desk.drop(3, 4, 9)

    assert desk.folders(5) == ("person_0001", "person_0002")


def test_a_face_that_may_not_found_joins_but_founds_nobody(desk: Desk) -> None:
    desk.drop(3, founder=False)
    desk.drop(3, founder=False)
    assert desk.persons() == [0, 0]

    desk.drop(3)
    desk.drop(3)
    desk.drop(3, founder=False)

    assert desk.persons() == [0, 0, 1, 1, 1]


def test_the_same_content_again_is_one_more_file_and_no_second_face(desk: Desk) -> None:
    desk.drop(3, content=b"same content here")
    desk.drop(3, content=b"same content here", name="again")

    assert desk.persons() == [0]
    assert desk.folders(2) == ("outliers",)
    assert "image_duplicate" in desk.log.events
    with desk.store.read() as txn:
        assert (txn.images.count(), txn.files.count()) == (1, 2)


def test_a_touched_file_that_truth_has_already_is_not_a_duplicate(desk: Desk) -> None:
    desk.drop(3, content=b"same content here", name="same")
    desk.drop(3, content=b"same content here", name="same")

    with desk.store.read() as txn:
        assert txn.files.count() == 1
        assert txn.files.get(1).signature.mtime_ns == 2


def test_an_image_without_a_face_and_a_rejected_file_have_their_folders(desk: Desk) -> None:
    desk.drop()
    desk.gallery.handle([Rejected(ImageRef(Path("/in/b.jpg"), Signature(1, 1, 1)), "no image")])

    assert desk.folders(1) == ("no_face",)
    assert desk.folders(2) == ("quarantine",)
    assert desk.log.lines[-1] == (
        "image_quarantined",
        {"image": "/in/b.jpg", "file_id": 2, "reason": "no image", "batch": 1, "commit_ms": 0.0},
    )


def test_everything_that_came_is_reported_done(desk: Desk) -> None:
    ref = ImageRef(Path("/in/gone.jpg"), Signature(1, 1, 1))
    desk.gallery.handle([Skipped(ref)])
    image = desk.drop(3)

    assert desk.done == [ref, image.ref]


def test_a_run_moves_faces_gives_birth_and_retires(desk: Desk) -> None:
    for person in (3, 3, 4, 4, 5):
        desk.drop(person)
    unborn = 1 << 40

    desk.apply([1, 1, 1, 1, unborn], merged={2: 1})

    assert desk.persons() == [1, 1, 1, 1, 3]
    with desk.store.read() as txn:
        assert txn.persons.get(2).retired
        assert txn.persons.get(2).merged_into == 1
        assert txn.runs.get(1).state == "applied"
        assert txn.assignments.get(3).reason == "reclustered"
        assert txn.assignments.get(3).run_id == 1
    assert desk.folders(3) == ("person_0001",)
    assert desk.roster.faces_of == {1: 4, 3: 1}


def test_a_run_leaves_alone_what_streaming_decided_meanwhile(desk: Desk) -> None:
    for person in (3, 3, 4):
        desk.drop(person)
    before = desk.persons()
    desk.drop(4)  # founds person 2 with face 3, which the run saw as nobody's

    desk.apply([1, 1, 0], before=before)

    assert desk.persons() == [1, 1, 2, 2]


def test_faces_enrolled_after_the_snapshot_follow_a_merge(desk: Desk) -> None:
    for person in (3, 3, 4, 4):
        desk.drop(person)
    before = desk.persons()
    desk.drop(4)

    desk.apply([1, 1, 1, 1], before=before, merged={2: 1})

    assert desk.persons() == [1, 1, 1, 1, 1]


def test_a_restart_knows_what_was_known_and_decides_alike(desk: Desk, tmp_path: Path) -> None:
    for person in (3, 3, 4, 4, 9):
        desk.drop(person)
    faces_of, matrix = dict(desk.roster.faces_of), desk.roster.centroids.matrix.copy()
    desk.store.close()

    again = Desk(tmp_path)
    desk.store = again.store

    assert again.roster.faces_of == faces_of
    assert np.allclose(again.roster.centroids.matrix, matrix, atol=1e-6)
    again._number = 50
    again.drop(4)
    assert again.persons()[-1] == 2


def test_placed_files_leave_the_list_unless_truth_wants_something_else_by_now(desk: Desk) -> None:
    desk.drop(3)
    desk.drop(3)

    outcomes = [
        (Placed(FileId(1), ("outliers/1.jpg",)), ("outliers",)),  # decided before the person was born
        (Placed(FileId(2), ("person_0001/2.jpg",)), ("person_0001",)),
    ]
    desk.gallery.handle([RecordPlaced(outcomes)])

    with desk.store.read() as txn:
        assert txn.pending(10) == [1]
        assert txn.files.get(1).places == (b"outliers/1.jpg",)
        assert txn.file_of_source(b"/in/2.jpg") == 0


def test_a_file_that_could_not_be_placed_stays_on_the_list(desk: Desk) -> None:
    desk.drop(3)

    desk.gallery.handle([RecordPlaced([(Placed(FileId(1), (), problem="disk full"), ("outliers",))])])

    with desk.store.read() as txn:
        assert txn.pending(10) == [1]


def test_a_command_that_fails_tells_the_one_who_asked(desk: Desk) -> None:
    def break_down() -> None:
        with desk.store.read() as txn:
            txn.vectors([77])

    command = Call(break_down)

    with pytest.raises(StoreError, match="face 77"):
        desk.gallery.handle([command])
    with pytest.raises(StoreError, match="face 77"):
        command.reply.wait()


def test_a_request_that_cannot_be_met_stops_nobody_but_the_one_who_asked(desk: Desk) -> None:
    def refuse() -> None:
        raise RequestError("no such person")

    command = Call(refuse)

    desk.gallery.handle([command])

    with pytest.raises(RequestError, match="no such person"):
        command.reply.wait()


def test_with_a_fixed_number_of_people_nobody_is_born_while_streaming(tmp_path: Path) -> None:
    desk = Desk(tmp_path, people=2)
    for person in (3, 3, 4, 4):
        desk.drop(person)
    assert desk.persons() == [0, 0, 0, 0]

    unborn = 1 << 40
    desk.apply([unborn, unborn, unborn + 1, unborn + 1])
    desk.drop(4)
    desk.drop(9)

    assert desk.persons() == [1, 1, 2, 2, 2, 0]
    assert desk.folders(5) == ("person_B",)
    desk.store.close()
