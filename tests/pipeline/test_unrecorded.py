"""A crash between the move of a file and its record, with truth changing its mind in between."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import numpy as np
from support import Notes

from face_organizer.adapters.index import FaceIndex
from face_organizer.adapters.library import Folders
from face_organizer.adapters.store import open_store
from face_organizer.pipeline.book import Book
from face_organizer.pipeline.gallery import Gallery
from face_organizer.pipeline.messages import Rules
from face_organizer.pipeline.place import Placer, file_to_place
from face_organizer.pipeline.roster import load_roster
from face_organizer.types import Detection, ImageRef, SeenFace, SeenImage, Signature
from face_organizer.vision.decode import content_digest


def seen(path: Path) -> SeenImage:
    """An image of the one person there is."""
    found = path.stat()
    vector = np.ones(8, np.float32) / np.sqrt(np.float32(8))
    face = SeenFace(Detection(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9), vector, 0.9, True)
    ref = ImageRef(path, Signature(found.st_size, found.st_mtime_ns, found.st_ino))
    return SeenImage(ref, content_digest(path.read_bytes()), 9, 9, (face,))


def test_a_file_moved_but_not_recorded_is_found_after_its_person_was_born(tmp_path: Path) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    inbox.mkdir()
    library.mkdir()
    for name in ("a.jpg", "b.jpg"):
        (inbox / name).write_text(name)
    store = open_store(tmp_path / "truth", "m", 8)
    folders = Folders(library, inbox, "move")

    def gallery() -> Gallery:
        index = FaceIndex(8, flat_max_faces=100, retrain_factor=4, nprobe=8)
        with store.read() as txn:
            for ids, vectors in txn.vector_chunks():
                index.add(ids, vectors)
            roster = load_roster(txn, 8)
        rules = Rules("auto", "move", 2, 0.5, 0.46, 0.4, 20)
        return Gallery(
            store, index, roster, Book(store, roster, rules), Notes(), lambda: 0.0, lambda: None, lambda refs: None
        )

    before = gallery()
    before.handle([seen(inbox / "a.jpg")])
    with store.read() as txn:
        file = file_to_place(txn, 1)
    assert file is not None
    folders.reconcile(file)  # moved to outliers/ ...
    before.handle([seen(inbox / "b.jpg")])  # ... a person is born ... and then the power goes, nothing recorded

    after = gallery()
    placer = Placer(store, folders, lambda command: after.handle([command]), Notes(), lambda: 0.0)
    placer.place_all(Event(), frozenset())

    assert sorted(path.relative_to(library).as_posix() for path in library.rglob("*.jpg")) == [
        "person_0001/a.jpg",
        "person_0001/b.jpg",
    ]
    with store.read() as txn:
        assert txn.pending(10) == []
        assert not txn.files.get(1).missing
    store.close()
