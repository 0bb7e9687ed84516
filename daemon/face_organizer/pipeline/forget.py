"""Forgets a person: what the faces look like, whose they are, what was decided of them, where their images lay.

Room:    pipeline (moves)
Imports: types, records, errors, ports, applying, book, change, keep_index, kept, place, pulse, roster, scrub

One transaction takes the person out of the truth and notes what is left to do. Every later step can be repeated, so
that the next start ends what a crash cut:
1. the index is made anew, its file deleted first: a search structure is trained on the embeddings themselves;
2. files that show others too leave the person's folder, as ever, by `pending`;
3. copies of the store that migrations left are deleted, and all thumbnails;
4. the store is written anew, for LMDB keeps the bytes of what was deleted until something is written over them.
Images stay where they are, unless asked. Of one that shows only this person nothing is kept but a digest of where it
lies, so that `check` leaves it alone and a walk over the inbox does not take it in again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import numpy as np

from face_organizer.errors import NoRoomError, RequestError
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.book import Book, want_elsewhere
from face_organizer.pipeline.change import pack_ids, unpack_ids
from face_organizer.pipeline.keep_index import IndexKeeper
from face_organizer.pipeline.kept import let_go
from face_organizer.pipeline.place import file_to_place
from face_organizer.pipeline.pulse import beat, pause, wait
from face_organizer.pipeline.roster import Roster
from face_organizer.pipeline.scrub import FORGET, FORGOTTEN, Gone, file_without, gone_with, scrub, scrub_beside
from face_organizer.ports import Log, Store, Transaction
from face_organizer.records import DecisionRecord, PersonRecord, Verdict
from face_organizer.types import FileToPlace

LEFT_TO_DO = "forgetting"
"""The note that something is left to do: the files that have yet to leave a folder, and a number before them."""

AGAIN_S, ROOM_AGAIN_S = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What forgetting a person takes, or took. images: that show only this person, and are not known any more;
    shared: that show others too. copies: of the store, from migrations, that are deleted with it."""

    person_id: int
    name: str
    folder: str
    faces: int
    images: int
    shared: int
    decisions: int
    copies: int


class Forget:
    """Any thread but the gallery's. wait_placed(file_ids): returns when disk shows what truth wants of them, or cannot.
    now(): seconds since 1970. behind: something may be left to do, by a crash or a full disk: resume() does it."""

    def __init__(
        self,
        store: Store,
        roster: Roster,
        book: Book,
        keeper: IndexKeeper,
        applier: Applier,
        in_gallery: Callable[[Callable[[], Any]], Any],
        wait_placed: Callable[[Sequence[int]], None],
        erase: Callable[[FileToPlace], str],
        log: Log,
        now: Callable[[], float],
        erase_thumbnails: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._roster, self._book, self._keeper = store, roster, book, keeper
        self._applier, self._in_gallery, self._wait_placed = applier, in_gallery, wait_placed
        self._erase, self._erase_thumbnails = erase, erase_thumbnails
        self._log, self._now = log, now
        self.behind = True

    def would(self, person_id: int) -> Forgotten:
        """What forgetting would take. Raises RequestError."""

        def look() -> Forgotten:
            with self._store.read() as txn:
                return self._told(txn, person_id, self._gone(txn, person_id))

        return self._in_gallery(look)  # type: ignore[no-any-return]

    def forget(self, person_id: int, *, images: bool = False) -> Forgotten:
        """Forget a person; returns when no trace is left in the state folder. images: delete those that show nobody
        else, before anything else: while one stands, it is known whose it is, and the same can be asked for again.
        Raises RequestError; NoRoomError where a full disk lets it be ended only later."""
        with self._store.read() as txn:
            faces = [face_id for face_id, each in txn.assignments.items() if each.person_id == person_id]
            image_ids = {face.image_id for face_id in faces if (face := txn.faces.get(face_id)) is not None}
            files = [id_ for image_id in image_ids if (image := txn.images.get(image_id)) for id_ in image.file_ids]
        self._wait_placed(files)  # what still lies in the inbox would stay there for ever
        if images:
            self._delete_images(person_id)
        told = self._applier.run(lambda: self._take_out(person_id))
        self._log.info("person_forgotten", person_id=person_id, faces=told.faces)
        try:
            self._end(Event())
        except NoRoomError as error:
            self.behind = True
            raise NoRoomError(
                f"{error}; the person is forgotten, and the traces go as soon as there is room"
            ) from error
        return told

    def _delete_images(self, person_id: int) -> None:
        def of_nobody_else() -> list[FileToPlace]:
            with self._store.read() as txn:
                gone = self._gone(txn, person_id)
                images = [txn.images.get(id_) for id_ in self._image_ids(gone)]
                lonely = [each for each in images if each is not None and set(each.face_ids) <= gone.faces]
                files = [file_to_place(txn, file_id) for each in lonely for file_id in each.file_ids]
            return [file for file in files if file is not None]

        for file in self._in_gallery(of_nobody_else):
            beat()
            if problem := self._erase(file):
                raise RequestError(f"{problem}; nobody was forgotten: mend that, and say it again")

    def resume(self, stop: Event) -> None:
        """End what a crash, a stop or a full disk interrupted. Raises NoRoomError."""
        with self._store.read() as txn:
            is_left = bool(txn.note(LEFT_TO_DO))
        while is_left and not stop.is_set():
            try:
                self._in_gallery(self._keeper.forget)
                self._end(stop)
                return
            except NoRoomError as error:
                self._log.warning("forgetting_waits", problem=str(error))
                wait(stop, ROOM_AGAIN_S)
        self.behind = False

    # in the gallery's thread

    def _take_out(self, person_id: int) -> Forgotten:
        with self._store.write() as txn:
            gone = self._gone(txn, person_id)
            told = self._told(txn, person_id, gone)
            files = [*self._images(txn, gone), *let_go(txn, gone.folders)]
            scrub(txn, gone)
            scrub_beside(txn, gone, self._image_ids(gone))
            txn.delete_vectors(sorted(gone.faces))
            for face_id in gone.faces:
                txn.faces.delete(face_id)
                txn.assignments.delete(face_id)
            for id_ in gone.persons:
                txn.persons.delete(id_)
            new_id = txn.new_id("decisions")
            said = (Verdict((), person_id),)  # a run that thinks just now must hear of it
            txn.decisions.put(new_id, DecisionRecord(FORGET, "somebody was forgotten", said, 0, self._now()))
            left = unpack_ids(txn.note(LEFT_TO_DO))
            txn.put_note(LEFT_TO_DO, pack_ids(np.unique(np.concatenate([[0], left, files]).astype(np.int64))))
            self._keeper.outdate(txn)
        for id_ in gone.persons:
            self._roster.forget(id_)
        with self._store.read() as txn:
            self._book.learn(txn)
        self._keeper.forget()
        return told

    def _images(self, txn: Transaction, gone: Gone) -> list[int]:
        """Take the faces out of their images; what shows nobody else is not known any more. Returns the files that have
        to move."""
        moving: list[int] = []
        for image_id in self._image_ids(gone):
            image = txn.images.get(image_id)
            assert image is not None, image_id
            left = tuple(face_id for face_id in image.face_ids if face_id not in gone.faces)
            for file_id in image.file_ids:
                if left:
                    want_elsewhere(txn, file_id)
                    if (file := txn.files.get(file_id)) is not None:
                        txn.files.put(file_id, file_without(file, gone))
                    moving.append(file_id)
                else:
                    self._drop_file(txn, file_id)
            if left:
                txn.images.put(image_id, replace(image, face_ids=left, closed=True))
            else:
                for digest in (image.digest, *image.former):
                    txn.delete_content(digest)
                txn.images.delete(image_id)
        return moving

    def _drop_file(self, txn: Transaction, file_id: int) -> None:
        file = txn.files.get(file_id)
        if file is None:
            return
        if txn.file_of_source(file.source) == file_id:  # it may still lie in the inbox
            txn.put_forgotten(file.source, file.origin or file.signature)
            txn.delete_source(file.source)
        for place in file.places:
            txn.put_forgotten(place)
        txn.set_pending(file_id, False)
        txn.files.delete(file_id)

    def _image_ids(self, gone: Gone) -> set[int]:
        """The images that show any of the faces."""
        return {int(self._roster.image_of[face_id]) for face_id in gone.faces}

    def _gone(self, txn: Transaction, person_id: int) -> Gone:
        if person_id not in self._roster.faces_of:
            raise RequestError(f"there is no person {person_id}: `face-organizer people --all` lists them")
        return gone_with(txn, person_id, np.flatnonzero(self._roster.person_of == person_id).tolist())

    def _told(self, txn: Transaction, person_id: int, gone: Gone) -> Forgotten:
        person = txn.persons.get(person_id) or PersonRecord("", "")
        images = [txn.images.get(id_) for id_ in self._image_ids(gone)]
        shared = sum(image is not None and not set(image.face_ids) <= gone.faces for image in images)
        return Forgotten(
            person_id,
            person.name,
            person.folder,
            len(gone.faces),
            len(images) - shared,
            shared,
            sum(gone.is_in(each.says) for _, each in txn.decisions.items() if each.kind not in (FORGET, FORGOTTEN)),
            len(self._store.backups()),
        )

    # any other thread

    def _end(self, stop: Event) -> None:
        with self._store.read() as txn:
            files = unpack_ids(txn.note(LEFT_TO_DO)).tolist()[1:]
        self._wait_placed(files)
        self._store.delete_backups()
        self._erase_thumbnails()
        while not self._in_gallery(self._store.rewrite):
            if stop.is_set():
                return
            pause(AGAIN_S)
        self._in_gallery(self._done)
        self._log.info("forgetting_finished")

    def _done(self) -> None:
        with self._store.write() as txn:
            txn.put_note(LEFT_TO_DO, b"")
