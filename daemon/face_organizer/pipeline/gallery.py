"""The one writer: enrols faces, applies what re-clustering found, records what was placed.

Room:    pipeline (moves)
Owns:    every change of the truth and of the roster; adds to the index
Imports: types, ports, identity

Law 3, commit then show: faces, assignments and the wish to place a file are one transaction; the index follows; the
folders follow by `pending`, which `place` works off. Whatever is interrupted is done again at the next start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import count, groupby
from typing import Any

import numpy as np

from face_organizer.identity.assign import assign_image, founders
from face_organizer.identity.placement import desired_folders, person_folder_name
from face_organizer.pipeline.flow import Reply
from face_organizer.pipeline.messages import ApplyRun, Call, Message, RecordPlaced, Rules, Skipped
from face_organizer.pipeline.roster import Roster
from face_organizer.ports import Clock, Index, Log, Store, Transaction
from face_organizer.types import (
    NOBODY,
    QUARANTINE,
    Assignment,
    AssignmentRecord,
    FaceRecord,
    FileRecord,
    Float32,
    ImageRecord,
    ImageRef,
    Int64,
    PersonId,
    PersonRecord,
    Placed,
    Rejected,
    RunRecord,
    SeenFace,
    SeenImage,
)


@dataclass
class NewFace:
    """A face on its way into one transaction."""

    face_id: int
    image_id: int
    vector: Float32
    neighbours: Int64
    similarities: Float32


class Gallery:
    """See the module's text. on_pending: called after a commit that left something to place. is_taken(folder): a new
    person must not move in there."""

    def __init__(
        self,
        store: Store,
        index: Index,
        roster: Roster,
        rules: Rules,
        log: Log,
        clock: Clock,
        on_pending: Callable[[], None],
        on_done: Callable[[list[ImageRef]], None],
        is_taken: Callable[[str], bool] = lambda folder: False,
    ) -> None:
        self._store, self._index, self._roster = store, index, roster
        self.rules = rules
        self._log, self._clock = log, clock
        self._on_pending, self._on_done, self._is_taken = on_pending, on_done, is_taken

    def handle(self, messages: list[Message]) -> None:
        """The pipeline's sink: inputs that follow one another are one transaction, commands are one each."""
        for kind, group in groupby(messages, lambda message: isinstance(message, SeenImage | Rejected | Skipped)):
            if kind:
                self._enrol(list(group))  # type: ignore[arg-type]  # groupby keeps the type to itself
                continue
            for command in group:
                self._obey(command)  # type: ignore[arg-type]

    def _obey(self, command: ApplyRun | RecordPlaced | Call) -> None:
        reply: Reply[Any] = command.reply
        try:
            match command:
                case ApplyRun():
                    reply.give(self._apply(command))
                case RecordPlaced():
                    self._record_placed(command.placed)
                    reply.give(None)
                case Call():
                    reply.give(command.work())
        except BaseException as error:
            reply.fail(error)
            raise
        self._on_pending()

    # enrolment

    def _enrol(self, arrivals: list[SeenImage | Rejected | Skipped]) -> None:
        start = self._clock()
        lines: list[tuple[str, dict[str, Any]]] = []
        batch: list[NewFace] = []
        with self._store.write() as txn:
            for arrival in arrivals:
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
        commit_ms = round((self._clock() - start) * 1000, 1)
        for arrival, (event, fields) in zip(arrivals, lines, strict=True):
            if event != "image_skipped":
                self._log.info(event, image=str(arrival.ref.path), **fields, batch=len(arrivals), commit_ms=commit_ms)
        self._on_done([arrival.ref for arrival in arrivals])
        self._on_pending()

    def _enrol_image(self, txn: Transaction, image: SeenImage, batch: list[NewFace]) -> tuple[str, dict[str, Any]]:
        """One image: its faces, their persons, the wish to place it. Returns the log line."""
        if known := txn.image_of_content(image.digest):
            file_id, fresh = self._same_again(txn, image, known)
            return ("image_duplicate" if fresh else "image_known"), {"file_id": file_id, "duplicate_of": known}
        image_id = txn.new_id("images")
        file_id = self._new_file(txn, image.ref, image_id)
        faces = [self._new_face(txn, face, image_id, batch) for face in image.faces]
        txn.images.put(
            image_id,
            ImageRecord(image.digest, image.width_px, image.height_px, tuple(f.face_id for f in faces), (file_id,)),
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
        if file is not None and not file.missing:
            txn.files.put(file_id, replace(file, signature=image.ref.signature))
            txn.set_pending(file_id, True)
            return file_id, False
        file_id = self._new_file(txn, image.ref, image_id)
        txn.images.put(image_id, replace(record, file_ids=(*record.file_ids, file_id)))
        return file_id, True

    def _new_file(self, txn: Transaction, ref: ImageRef, image_id: int, reason: str = "") -> int:
        file_id = txn.new_id("files")
        name, source = os.fsencode(ref.path.name), os.fsencode(ref.path)
        txn.files.put(file_id, FileRecord(image_id, name, source, ref.signature, reason=reason))
        txn.put_source(source, file_id)
        txn.set_pending(file_id, True)
        return file_id

    def _new_face(self, txn: Transaction, face: SeenFace, image_id: int, batch: list[NewFace]) -> NewFace:
        face_id = txn.new_id("faces")
        vector = as_stored(face.embedding)
        neighbours, similarities = self._neighbours(vector, image_id, batch)
        detection = face.detection
        txn.faces.put(
            face_id,
            FaceRecord(
                image_id,
                tuple(round(float(x), 2) for x in detection.box),
                tuple(round(float(x), 2) for x in detection.landmarks.ravel()),
                round(float(detection.detection_score), 4),
                round(float(face.quality), 4),
                face.founder,
            ),
        )
        txn.put_face_vector(face_id, vector)
        txn.put_neighbours(face_id, neighbours, similarities)
        self._roster.enter(face_id, image_id, face.founder)
        return NewFace(face_id, image_id, vector, neighbours, similarities)

    def _neighbours(self, vector: Float32, image_id: int, batch: list[NewFace]) -> tuple[Int64, Float32]:
        """The nearest faces of other images, best first: those in the index and those still in this transaction."""
        k = self.rules.neighbours
        ids, similarities = (found[0] for found in self._index.search(vector[None], k))
        others = [face for face in batch if face.image_id != image_id]
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
        centroids = self._roster.centroids
        decisions = assign_image(
            np.stack([face.vector for face in faces]), centroids.ids, centroids.matrix, self.rules.similarity_min
        )
        persons: list[int] = []
        for face, decision in zip(faces, decisions, strict=True):
            if decision.person_id == NOBODY and self.rules.people == "auto" and self._roster.founder[face.face_id]:
                decision = self._found(txn, face) or decision
            self._give(txn, face.face_id, face.vector, decision)
            persons.append(decision.person_id)
        return persons

    def _found(self, txn: Transaction, face: NewFace) -> Assignment | None:
        """A new person, if this face and enough of nobody's faces agree."""
        agreeing = founders(
            face.neighbours,
            face.similarities,
            self._roster.nobodys(face.neighbours),
            self._roster.image_of[face.neighbours],
            image_id=face.image_id,
            similarity_min=self.rules.similarity_join_min,
            faces_min=self.rules.faces_min,
        )
        if len(agreeing) + 1 < self.rules.faces_min:  # () while too few agree; faces_min 1 needs nobody else
            return None
        person_id = self._new_person(txn, run_id=0)
        similarity_of = dict(zip(face.neighbours.tolist(), face.similarities.tolist(), strict=True))
        for other, vector in zip(agreeing, txn.vectors(agreeing), strict=True):
            self._give(txn, other, vector, Assignment(person_id, similarity_of[other], 0.0, "founded"))
        best = max((similarity_of[other] for other in agreeing), default=1.0)
        return Assignment(person_id, best, 0.0, "founded")

    def _new_person(self, txn: Transaction, run_id: int) -> PersonId:
        person_id = PersonId(txn.new_id("persons"))
        folder = usual = person_folder_name(person_id, self.rules.people)
        numbers = count(2)
        while self._is_taken(folder):  # somebody's from before the state was lost, or made by hand: never mix
            folder = f"{usual}~{next(numbers)}"
        txn.persons.put(person_id, PersonRecord(name=folder, folder=folder, born_run=run_id))
        return person_id

    def _give(self, txn: Transaction, face_id: int, vector: Float32, decision: Assignment, run_id: int = 0) -> None:
        """Record whose face it is, and that its image's files may have to move."""
        image = txn.images.get(int(self._roster.image_of[face_id]))
        if image is not None and txn.assignments.get(face_id) is not None:  # else it is new, and pending anyway
            for file_id in image.file_ids:
                self._want_elsewhere(txn, file_id)
        self._roster.give(face_id, decision.person_id, vector)
        record = AssignmentRecord(
            decision.person_id, round(decision.similarity, 4), round(decision.margin, 4), decision.reason, run_id
        )
        txn.assignments.put(face_id, record)

    def _want_elsewhere(self, txn: Transaction, file_id: int) -> None:
        """Truth is about to want the file elsewhere. While it was pending, disk may have been brought to what truth
        wanted until now without our having heard of it; after a crash we must look there too."""
        file = txn.files.get(file_id)
        if file is not None and txn.pending(1, file_id) == [file_id]:
            until_now = [os.fsencode(folder) + b"/" + file.name for folder in wanted_folders(txn, file)]
            txn.files.put(file_id, replace(file, places=tuple(dict.fromkeys([*file.places, *until_now]))))
        txn.set_pending(file_id, True)

    # re-clustering

    def _apply(self, command: ApplyRun) -> tuple[int, RunRecord]:
        """Bring truth to what the run found, but for what streaming decided meanwhile about nobody's faces."""
        start = self._clock()
        with self._store.write() as txn:
            run_id = txn.new_id("runs")
            new_ids = {born: self._new_person(txn, run_id) for born in command.born}
            moved = self._move_faces(txn, run_id, command, new_ids)
            retired = self._retire(txn, {old: new_ids.get(new, new) for old, new in command.merged.items()})
            run = replace(command.run, moved=moved, persons=len(self._roster.faces_of))
            txn.runs.put(run_id, run)
        self._log.info("run_applied", run_id=run_id, retired=retired, apply_ms=round((self._clock() - start) * 1000, 1))
        return run_id, run

    def _move_faces(self, txn: Transaction, run_id: int, command: ApplyRun, new_ids: dict[int, PersonId]) -> int:
        """Give every face that the run decided differently to its person; returns how many had another before."""
        person_of = self._roster.person_of
        changed: list[tuple[int, int]] = []
        for face_id, before, after in zip(
            command.face_ids.tolist(), command.before.tolist(), command.after.tolist(), strict=True
        ):
            person = new_ids.get(after, after)
            streamed_since = int(person_of[face_id]) != before
            if person != person_of[face_id] and not (streamed_since and person == NOBODY):
                changed.append((face_id, person))
        last = int(command.face_ids[-1]) if len(command.face_ids) else 0
        for face_id in range(last + 1, txn.last_id("faces") + 1):
            heir = command.merged.get(int(person_of[face_id]))
            if heir is not None:
                changed.append((face_id, new_ids.get(heir, heir)))
        moved = sum(int(person_of[face_id]) != NOBODY for face_id, _ in changed)
        for face_id, person in changed:
            vector = txn.vectors([face_id])[0]
            self._give(txn, face_id, vector, Assignment(PersonId(person), 0.0, 0.0, "reclustered"), run_id)
        self._explain(txn, [face_id for face_id, _ in changed])
        return moved

    def _explain(self, txn: Transaction, face_ids: list[int]) -> None:
        """Write down each face's similarity to the person it now has, once all persons are complete."""
        centroids = self._roster.centroids
        row_of = {int(person): row for row, person in enumerate(centroids.ids)}
        for face_id in face_ids:
            record = txn.assignments.get(face_id)
            if record is not None and record.person_id in row_of:
                similarity = float(txn.vectors([face_id])[0] @ centroids.matrix[row_of[record.person_id]])
                txn.assignments.put(face_id, replace(record, similarity=round(similarity, 4)))

    def _retire(self, txn: Transaction, merged: dict[int, int]) -> int:
        """Persons without a face left live on as a redirect or a memory; their ids are never reused."""
        retired = 0
        for person_id, person in list(txn.persons.items()):
            alive = person_id in self._roster.faces_of
            if alive == person.retired:
                txn.persons.put(
                    person_id, replace(person, retired=not alive, merged_into=0 if alive else merged.get(person_id, 0))
                )
                retired += not alive
        return retired

    # placement

    def _record_placed(self, outcomes: Iterable[tuple[Placed, tuple[str, ...]]]) -> None:
        with self._store.write() as txn:
            for placed, folders in outcomes:
                file = txn.files.get(placed.file_id)
                if file is None:
                    continue
                places = tuple(os.fsencode(place) for place in placed.places)
                txn.files.put(placed.file_id, replace(file, places=places, missing=placed.missing))
                if placed.problem:
                    continue
                if placed.missing or wanted_folders(txn, file) == folders:
                    txn.set_pending(placed.file_id, False)
                if self.rules.placement == "move" and txn.file_of_source(file.source) == placed.file_id:
                    txn.delete_source(file.source)  # the source is gone; the same path may come again


def wanted_folders(txn: Transaction, file: FileRecord) -> tuple[str, ...]:
    """Where truth says a file should appear, as folders of the library."""
    image = txn.images.get(file.image_id) if file.image_id else None
    if image is None:
        return (QUARANTINE,)
    folders: list[str] = []
    for face_id in image.face_ids:
        assignment = txn.assignments.get(face_id)
        person = txn.persons.get(assignment.person_id) if assignment and assignment.person_id else None
        if person is not None:
            folders.append(person.folder)
    return desired_folders(folders, has_faces=bool(image.face_ids))


def as_stored(embedding: Float32) -> Float32:
    """The embedding as the store will give it back (float16), so that a restart changes no decision."""
    return embedding.astype(np.float16).astype(np.float32)
