"""The one writer: enrols images and their faces, runs what others want done in its thread, records what was placed.

Room:    pipeline (moves)
Owns:    the gallery's thread; adds to the index
Imports: types, records, config, errors, ports, identity, book, brought, edits, messages, pulse, roster, service,
         space, timing

Law 3, commit then show: faces, assignments and the wish to place a file are one transaction; the index follows; the
folders follow by `pending`, which `place` works off. Whatever is interrupted is done again at the next start.
On a full disk nothing is half done: what cannot be enrolled is held, in its order, and tried again; questions are
answered meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from math import inf
from typing import Any, TypeVar

import numpy as np

from face_organizer.config import STATE_FOLDER
from face_organizer.errors import FaceOrganizerError, NoRoomError, StoreError
from face_organizer.identity.assign import assign_image, founders
from face_organizer.pipeline.book import Book, content_of, wanted_folders
from face_organizer.pipeline.brought import add_brought
from face_organizer.pipeline.edits import Content, is_edit, take_over
from face_organizer.pipeline.messages import Call, Message, RecordPlaced, Rules, Skipped
from face_organizer.pipeline.pulse import beat
from face_organizer.pipeline.roster import Roster
from face_organizer.pipeline.service import Reply
from face_organizer.pipeline.space import RETRY_S, STATE, Space, boundless
from face_organizer.pipeline.timing import Observe, unobserved
from face_organizer.ports import Clock, Index, Log, Store, Transaction
from face_organizer.records import FaceRecord, FileRecord, ImageRecord
from face_organizer.types import NOBODY, Assignment, Float32, ImageRef, Int64, Placed, Rejected, SeenFace, SeenImage

ENROL = "enrol"
HELD_AT_ONCE = 64
T = TypeVar("T")


@dataclass
class NewFace:
    """A face on its way into one transaction."""

    face_id: int
    image_id: int
    vector: Float32
    neighbours: Int64
    similarities: Float32


class Gallery:
    """See the module's text. on_pending: called after a commit that left something to place. on_done: these images have
    left. space: hears of a full disk; observe: of how long commits take."""

    def __init__(
        self,
        store: Store,
        index: Index,
        roster: Roster,
        book: Book,
        log: Log,
        clock: Clock,
        on_pending: Callable[[], None],
        on_done: Callable[[list[ImageRef]], None],
        space: Space | None = None,
        observe: Observe = unobserved,
    ) -> None:
        self._store, self._index, self._roster, self._book = store, index, roster, book
        self._log, self._clock = log, clock
        self._on_pending, self._on_done = on_pending, on_done
        self._space = space or boundless(log, clock)
        self._held: list[SeenImage | Rejected | Skipped] = []
        self._observe = observe
        self._again_at = -inf

    @property
    def held(self) -> int:
        """How many images wait for room."""
        return len(self._held)

    @property
    def rules(self) -> Rules:
        return self._book.rules

    def handle(self, messages: list[Message]) -> None:
        """The pipeline's sink: inputs that follow one another are one transaction, commands are one each."""
        for kind, group in groupby(messages, lambda message: isinstance(message, SeenImage | Rejected | Skipped)):
            if kind:
                self._held += group  # type: ignore[arg-type]  # groupby keeps the type to itself
                self.enrol_held()
                continue
            for command in group:
                beat()
                self._obey(command)  # type: ignore[arg-type]

    def _obey(self, command: RecordPlaced | Call) -> None:
        """A question that cannot be answered is the asker's trouble; anything else is ours, and stops the process."""
        reply: Reply[Any] = command.reply
        try:
            if isinstance(command, RecordPlaced):
                _once_more(lambda: self._record_placed(command.placed))
                reply.give(None)
            else:
                reply.give(_once_more(command.work))
        except BaseException as error:
            reply.fail(error)
            if not isinstance(error, FaceOrganizerError) or isinstance(error, StoreError):
                raise
        self._on_pending()

    # enrolment

    def enrol_held(self) -> None:
        """Enrol what waits, in its order; what finds no room waits on, and is not tried again before RETRY_S."""
        while self._held and self._clock() >= self._again_at:
            batch = self._held[:HELD_AT_ONCE]
            try:
                _once_more(lambda: self._enrol(batch))  # noqa: B023 - called at once
            except NoRoomError as error:
                self._again_at = self._clock() + RETRY_S
                self._space.refused(ENROL, STATE, str(error))
                return
            del self._held[: len(batch)]
            self._space.accepted(ENROL)

    def _enrol(self, arrivals: list[SeenImage | Rejected | Skipped]) -> None:
        start = self._clock()
        lines: list[tuple[str, dict[str, Any]]] = []
        batch: list[NewFace] = []
        with self._book.write() as txn:
            for arrival in arrivals:
                beat()
                match arrival:
                    case SeenImage():
                        lines.append(self._enrol_image(txn, arrival, batch))
                    case Rejected():
                        file_id = self._new_file(txn, arrival.ref, image_id=0, reason=arrival.reason)
                        lines.append(("image_quarantined", {"file_id": file_id, "reason": arrival.reason}))
                    case Skipped():
                        lines.append(("image_skipped", {}))
        if batch:
            self._index.add(
                np.array([face.face_id for face in batch], np.int64), np.stack([face.vector for face in batch])
            )
        self._observe("commit", self._clock() - start, len(arrivals))
        commit_ms = round((self._clock() - start) * 1000, 1)
        for arrival, (event, fields) in zip(arrivals, lines, strict=True):
            if event != "image_skipped":
                self._log.info(event, image=str(arrival.ref.path), **fields, batch=len(arrivals), commit_ms=commit_ms)
            else:
                self._space.placed(arrival.ref.path)
        self._on_done([arrival.ref for arrival in arrivals])
        self._on_pending()

    def _enrol_image(self, txn: Transaction, image: SeenImage, batch: list[NewFace]) -> tuple[str, dict[str, Any]]:
        """One image: its faces, their persons, the wish to place it. Returns the log line."""
        if known := txn.image_of_content(image.digest):
            file_id, fresh = self._same_again(txn, image, known)
            return ("image_duplicate" if fresh else "image_known"), {"file_id": file_id, "duplicate_of": known}
        edited = 0 if image.ref.laid_in or not image.look else txn.file_of_source(os.fsencode(image.ref.path))
        as_edited = Content(image.digest, image.look, image.width_px, image.height_px)
        if edited and is_edit(txn, edited, as_edited):
            return "image_edited", {
                "file_id": edited,
                "image_id": take_over(txn, edited, as_edited, image.ref.signature),
            }
        image_id = txn.new_id("images")
        file_id = self._new_file(txn, image.ref, image_id)
        faces = [self._new_face(txn, face, image_id, batch) for face in image.faces]
        txn.images.put(
            image_id,
            ImageRecord(
                image.digest, image.width_px, image.height_px, tuple(f.face_id for f in faces), (file_id,), image.look
            ),
        )
        txn.put_content(image.digest, image_id)
        persons = self._assign(txn, faces)
        batch += faces
        assigned = [person for person in persons if person != NOBODY]
        return "image_enrolled", {
            "image_id": image_id,
            "faces": len(faces),
            "assigned": len(assigned),
            "persons": assigned,
        }

    def _same_again(self, txn: Transaction, image: SeenImage, image_id: int) -> tuple[int, bool]:
        """Content we have: the same file again (touched, or kept in the inbox), or one more file that holds it."""
        source = os.fsencode(image.ref.path)
        record = txn.images.get(image_id)
        assert record is not None, image_id
        file_id = txn.file_of_source(source)
        file = txn.files.get(file_id) if file_id in record.file_ids else None
        if file is not None and not file.missing and image.digest != content_of(record, file):
            txn.files.put(file_id, replace(file, origin=image.ref.signature))  # only its places were edited
            return file_id, False
        if file is not None and not file.missing:
            txn.files.put(file_id, replace(file, signature=image.ref.signature))
            txn.set_pending(file_id, True)
            return file_id, False
        file_id = self._new_file(txn, image.ref, image_id)
        if image.digest != record.digest and (new := txn.files.get(file_id)) is not None:
            txn.files.put(file_id, replace(new, digest=image.digest))
        txn.images.put(image_id, replace(record, file_ids=(*record.file_ids, file_id)))
        return file_id, True

    def _new_file(self, txn: Transaction, ref: ImageRef, image_id: int, reason: str = "") -> int:
        file_id = txn.new_id("files")
        name, source = os.fsencode(ref.path.name), os.fsencode(ref.path)
        if ref.laid_in:  # it stays where it is until it is decided whom it shows; it came from nowhere
            nowhere = os.fsencode(ref.path.parents[1] / STATE_FOLDER / "nowhere" / ref.path.name)
            places = (os.fsencode(ref.laid_in),)
            txn.files.put(file_id, FileRecord(image_id, name, nowhere, ref.signature, places))
            add_brought(txn, file_id, ref.laid_in.partition("/")[0])
            return file_id
        txn.files.put(file_id, FileRecord(image_id, name, source, ref.signature, reason=reason))
        txn.put_source(source, file_id)
        txn.set_pending(file_id, True)
        return file_id

    def _new_face(self, txn: Transaction, face: SeenFace, image_id: int, batch: list[NewFace]) -> NewFace:
        face_id = txn.new_id("faces")
        vector = as_stored(face.embedding)
        neighbours, similarities = self._neighbours(vector, image_id, batch)
        txn.faces.put(face_id, face_record(image_id, face))
        txn.put_face_vector(face_id, vector)
        txn.put_neighbours(face_id, neighbours, similarities)
        self._roster.enter(face_id, image_id, face.founder)
        return NewFace(face_id, image_id, vector, neighbours, similarities)

    def _neighbours(self, vector: Float32, image_id: int, batch: list[NewFace]) -> tuple[Int64, Float32]:
        """The nearest faces of other images, best first: those in the index and those still in this transaction."""
        k = self.rules.neighbours
        ids, similarities = (found[0] for found in self._index.search(vector[None], k))
        others = [face for face in batch if face.image_id != image_id or not self.rules.one_face_per_image]
        if others:
            near = np.stack([face.vector for face in others]) @ vector
            ids = np.concatenate([ids, np.array([face.face_id for face in others], np.int64)])
            similarities = np.concatenate([similarities, near])
        kept = ids >= 0
        ids, similarities = ids[kept], similarities[kept]
        best = np.argsort(-similarities, kind="stable")[:k]
        return ids[best], similarities[best].astype(np.float32)

    def _assign(self, txn: Transaction, faces: list[NewFace]) -> list[int]:
        """Give each face of one image its person: the nearest one, or a new one that it founds, or nobody."""
        if not faces:
            return []
        if not self.rules.one_face_per_image and len(faces) > 1:
            return [person for face in faces for person in self._assign(txn, [face])]
        centroids = self._roster.centroids
        decisions = assign_image(
            np.stack([face.vector for face in faces]), centroids.ids, centroids.matrix, self.rules.similarity_min
        )
        persons: list[int] = []
        for face, decision in zip(faces, decisions, strict=True):
            if decision.person_id == NOBODY and self.rules.people == "auto" and self._roster.founder[face.face_id]:
                decision = self._found(txn, face) or decision
            self._book.give(txn, face.face_id, face.vector, decision)
            persons.append(decision.person_id)
        return persons

    def _found(self, txn: Transaction, face: NewFace) -> Assignment | None:
        """A new person, if this face and enough of nobody's faces agree."""
        agreeing = founders(
            face.neighbours,
            face.similarities,
            self._roster.nobodys(face.neighbours),
            self._roster.image_of[face.neighbours] if self.rules.one_face_per_image else face.neighbours,
            image_id=face.image_id if self.rules.one_face_per_image else face.face_id,
            similarity_min=self.rules.similarity_join_min,
            faces_min=self.rules.faces_min,
        )
        if len(agreeing) + 1 < self.rules.faces_min:  # () while too few agree; faces_min 1 needs nobody else
            return None
        person_id = self._book.new_person(txn, run_id=0)
        similarity_of = dict(zip(face.neighbours.tolist(), face.similarities.tolist(), strict=True))
        for other, vector in zip(agreeing, txn.vectors(agreeing), strict=True):
            self._book.give(txn, other, vector, Assignment(person_id, similarity_of[other], 0.0, "founded"))
        best = max((similarity_of[other] for other in agreeing), default=1.0)
        return Assignment(person_id, best, 0.0, "founded")

    # placement

    def _record_placed(self, outcomes: Iterable[tuple[Placed, tuple[str, ...]]]) -> None:
        with self._book.write() as txn:
            for placed, folders in outcomes:
                file = txn.files.get(placed.file_id)
                if file is None:
                    continue
                places = tuple(os.fsencode(place) for place in placed.places)
                file = replace(file, places=places, missing=placed.missing)
                if not placed.problem and (placed.missing or wanted_folders(txn, file) == folders):
                    file = replace(file, former=())
                    txn.set_pending(placed.file_id, False)
                txn.files.put(placed.file_id, file)
                if placed.problem:
                    continue
                if self.rules.placement == "move" and txn.file_of_source(file.source) == placed.file_id:
                    txn.delete_source(file.source)  # the source is gone; the same path may come again


def face_record(image_id: int, face: SeenFace) -> FaceRecord:
    """What the truth keeps of a face, but for its embedding."""
    detection = face.detection
    return FaceRecord(
        image_id,
        tuple(round(float(x), 2) for x in detection.box),
        tuple(round(float(x), 2) for x in detection.landmarks.ravel()),
        round(float(detection.detection_score), 4),
        round(float(face.quality), 4),
        face.founder,
        face.attributes,
    )


def _once_more(work: Callable[[], T]) -> T:
    """Do it, and once more where that is all it takes (the store has grown). Raises NoRoomError."""
    try:
        return work()
    except NoRoomError as error:
        if not error.again:
            raise
    return work()


def as_stored(embedding: Float32) -> Float32:
    """The embedding as the store will give it back (float16), so that a restart changes no decision."""
    return embedding.astype(np.float16).astype(np.float32)
