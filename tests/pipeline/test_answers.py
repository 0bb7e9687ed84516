"""What people ask, over the real store and index."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_gallery import Desk, seen_face

from face_organizer.pipeline import answers
from face_organizer.pipeline.contradictions import contradictions
from face_organizer.pipeline.messages import RecordPlaced
from face_organizer.pipeline.place import file_to_place
from face_organizer.records import ImageRecord
from face_organizer.types import FileId, ImageRef, Placed, Rejected, Signature

LIBRARY = Path("/lib")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    for person in (3, 3, 3, 4, 4, 9):
        made.drop(person)
    made.drop()
    made.gallery.handle([Rejected(ImageRef(Path("/in/b.jpg"), Signature(1, 1, 1)), "no image")])
    place_all(made)
    yield made
    made.store.close()


def place_all(desk: Desk) -> None:
    with desk.store.read() as txn:
        files = [file_to_place(txn, file_id) for file_id in txn.pending(100)]
    done = [
        (Placed(FileId(file.file_id), tuple(f"{folder}/{file.name}" for folder in file.folders)), file.folders)
        for file in files
        if file is not None
    ]
    desk.gallery.handle([RecordPlaced(done)])


def places(desk: Desk) -> list[str]:
    with desk.store.read() as txn:
        return [place.decode() for _, file in txn.files.items() for place in file.places]


def check(desk: Desk, gone: str = "", extra: str = "") -> list[tuple[str, str]]:
    there = [place for place in places(desk) if place != gone] + ([extra] if extra else [])
    with desk.store.read() as txn:
        findings = contradictions(txn, desk.index, lambda place: place in there, there)
    return [(finding["kind"], finding["what"]) for finding in findings]


def test_a_stray_that_has_the_name_of_what_is_gone_may_be_that_and_is_not_sent_to_the_inbox(desk: Desk) -> None:
    there = ["person_0002/1.jpg" if place == "person_0001/1.jpg" else place for place in places(desk)]
    with desk.store.read() as txn:
        findings = contradictions(txn, desk.index, lambda place: place in there, [*there, "Zoe/new.jpg"])

    told = {finding["what"]: finding["problem"] for finding in findings if finding["kind"] == "stray"}
    assert "it may be person_0001/1.jpg, moved by hand" in told["person_0002/1.jpg"]
    assert "not known" in told["Zoe/new.jpg"]


def test_counts_add_up(desk: Desk) -> None:
    with desk.store.read() as txn:
        found = answers.counts(txn, desk.roster)

    assert found == {
        "images": 7,
        "faces": 6,
        "persons": 2,
        "outliers": 1,
        "no_face": 1,
        "quarantined": 1,
        "duplicates": 0,
        "pending": 0,
    }


def test_people_are_listed_largest_first_with_a_cover_that_exists(desk: Desk) -> None:
    with desk.store.read() as txn:
        found = answers.people(txn, LIBRARY)

    assert [(row["person_id"], row["name"], row["faces"], row["images"]) for row in found] == [
        (1, "person_0001", 3, 3),
        (2, "person_0002", 2, 2),
    ]
    assert found[0]["cover"] in [f"/lib/{place}" for place in places(desk)]


def test_search_finds_named_and_nobodys_faces_best_first(desk: Desk) -> None:
    rng = np.random.default_rng(99)
    probes = np.stack([seen_face(3, rng).embedding, seen_face(9, rng).embedding])

    with desk.store.read() as txn:
        found = answers.search(txn, desk.index, LIBRARY, probes, top=10, similarity_min=0.4)
        few = answers.search(txn, desk.index, LIBRARY, probes, top=2, similarity_min=0.4)

    assert {row["image"] for row in found} == {
        "/lib/person_0001/1.jpg",
        "/lib/person_0001/2.jpg",
        "/lib/person_0001/3.jpg",
        "/lib/outliers/6.jpg",
    }
    assert [row["similarity"] for row in found] == sorted((row["similarity"] for row in found), reverse=True)
    assert next(row for row in found if "outliers" in row["image"])["person_id"] is None
    assert few == found[:2]


def test_what_does_not_fit_takes_no_place_of_what_does(desk: Desk) -> None:
    rng = np.random.default_rng(99)
    for _ in range(60):
        desk.drop(3)
    place_all(desk)
    probe = seen_face(3, rng).embedding[None]

    def is_other(person_id: int, _image: ImageRecord) -> bool:
        return person_id == 2

    with desk.store.read() as txn:
        found = answers.search(txn, desk.index, LIBRARY, probe, 2, -1.0, is_other)

    assert [row["person_id"] for row in found] == [2, 2]


def test_images_that_show_all_of_some_persons_are_found(desk: Desk) -> None:
    desk.drop(3, 4)
    place_all(desk)

    with desk.store.read() as txn:
        both = answers.images_of(txn, LIBRARY, [1, 2], top=10)
        one = answers.images_of(txn, LIBRARY, [1], top=2)

    assert both == [{"image": "/lib/person_0001/8.jpg", "image_id": 8, "persons": ["person_0001", "person_0002"]}]
    assert len(one) == 2


def test_a_library_in_order_has_no_findings(desk: Desk) -> None:
    assert check(desk) == []


def test_a_place_that_is_gone_and_a_file_nobody_knows_are_found(desk: Desk) -> None:
    assert check(desk, gone="person_0001/2.jpg") == [("lost_place", "file 2")]
    assert check(desk, extra="person_0001/holiday.jpg") == [("stray", "person_0001/holiday.jpg")]


def test_an_index_that_lost_faces_is_found(desk: Desk) -> None:
    desk.index.clear()

    kinds = {kind for kind, _ in check(desk)}

    assert kinds == {"index"}


def test_a_face_without_its_embedding_is_found(desk: Desk) -> None:
    with desk.store.write() as txn:
        txn.faces.put(99, txn.faces.get(1))

    assert ("truth", "faces") in check(desk)


def test_a_file_that_is_still_to_be_moved_is_found(desk: Desk) -> None:
    desk.apply([1, 1, 1, 1, 1, 0], merged={2: 1})

    assert check(desk) == [("not_placed", "file 4"), ("not_placed", "file 5")]


def test_names_that_are_not_utf_8_can_be_printed() -> None:
    assert answers.printable(b"caf\xe9.jpg") == "caf\\xe9.jpg"
    assert answers.printable("café.jpg") == "café.jpg"
