"""Does changes: gives faces to other persons by the thousands, in chunks, and takes that back.

Room:    pipeline (moves)
Owns:    what assignments and persons say in the truth, with book.py and plan.py; forget.py deletes them
Imports: types, records, ports, identity, book, change, kept, plan, roster

A change (what a run or a human decided) may move half a million faces. It is written down first, whole, and then done
in chunks, each a transaction: enrolment goes on in between, and after a crash the rest is done at the next start. What
each chunk found is kept, so that every change can be taken back exactly: taking back is a change too.

In the gallery's thread only (or before it starts).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from time import monotonic

import numpy as np

from face_organizer.identity.constraints import heir
from face_organizer.pipeline.book import Book, Called, living_person, want_elsewhere
from face_organizer.pipeline.change import (
    laying_back,
    moving_persons,
    pack_ids,
    put_laying_back,
    unpack_ids,
    write_down,
)
from face_organizer.pipeline.kept import let_follow
from face_organizer.pipeline.plan import Plan
from face_organizer.pipeline.roster import Roster
from face_organizer.ports import Clock, Transaction
from face_organizer.records import ChangeRecord, FormerRecord, PersonChange, PersonRecord
from face_organizer.types import NOBODY, TRASHED, Assignment, Int64, PersonId

CHUNK_FACES, CHUNK_S, SLICE_FACES = 500, 0.04, 50
"""A transaction of a change takes so many faces at most, or as many slices as fit into the time: enrolment waits for
one of them, no longer than a tenth of a second."""

NO_NAMES: Mapping[int, Called] = {}

APPLYING = "applying"
"""The note that says which change is being done, and how many of its faces are: two numbers of 8 bytes."""


class Changes:
    """See the module's text. book: who is whose."""

    def __init__(self, roster: Roster, book: Book, clock: Clock = monotonic) -> None:
        self._roster, self.book, self._clock = roster, book, clock
        self._plan = Plan(book, roster)

    def begin(
        self,
        txn: Transaction,
        change_id: int,
        decision_id: int = 0,
        born_as: Mapping[int, Called] = NO_NAMES,
    ) -> None:
        """Start to do a change that is written down: from here on it will be done, whatever happens.

        decision_id: the decision that it belongs to; what it says of persons yet unborn is said of the born ones.
        born_as: what those who are born are called.
        """
        change = txn.changes.get(change_id)
        assert change is not None, change_id
        assert not txn.note(APPLYING), "one change at a time"
        change, number = self._plan.ready(txn, change, born_as)
        decision = txn.decisions.get(decision_id)
        if decision is not None and number:
            verdicts = tuple(
                replace(verdict, person_id=number.get(verdict.person_id, verdict.person_id))
                for verdict in decision.verdicts
            )
            txn.decisions.put(decision_id, replace(decision, verdicts=verdicts))
        txn.changes.put(change_id, change)
        let_follow(txn, change)
        txn.put_note(APPLYING, _packed(change_id, 0))
        if not _is_run(change):
            self.book.learn(txn)

    def under_way(self, txn: Transaction) -> int:
        """The change that was begun and is not done; 0 if there is none."""
        return _unpacked(txn.note(APPLYING))[0]

    def step(self) -> bool:
        """Do one chunk of the change under way. False when there is nothing to do."""
        with self.book.write() as txn:
            change_id, done = _unpacked(txn.note(APPLYING))
            change = txn.changes.get(change_id) if change_id else None
            if change is None:
                return False
            ids, before, after = (unpack_ids(column) for column in (change.face_ids, change.before, change.after))
            if done >= len(ids):
                self._finish(txn, change_id, change)
                return True
            end, enough_at = min(len(ids), done + CHUNK_FACES), self._clock() + CHUNK_S
            while True:  # one slice at least
                part = slice(done, min(end, done + SLICE_FACES))
                self._do(txn, change_id, change, ids[part], before[part], after[part])
                done = part.stop
                if done >= end or self._clock() >= enough_at:
                    break
            txn.put_note(APPLYING, _packed(change_id, done))
        return True

    def take_back(self, txn: Transaction, change_id: int, run_id: int = 0) -> int:
        """Write down the change that undoes another; returns its id."""
        change = txn.changes.get(change_id)
        assert change is not None, change_id
        back = ChangeRecord(
            face_ids=change.face_ids,
            before=change.after,
            after=change.before,
            reason="taken_back",
            run_id=run_id,
            persons=self._plan.reversed(txn, change),
            back_to=change_id,
        )
        put_laying_back(txn, [*laying_back(txn), change_id])
        return write_down(txn, back)

    def _do(
        self, txn: Transaction, change_id: int, change: ChangeRecord, ids: Int64, before: Int64, after: Int64
    ) -> None:
        given, were = [], moving_persons(change)
        for face_id, old, new in zip(ids.tolist(), before.tolist(), after.tolist(), strict=True):
            record = txn.assignments.get(face_id)
            former = txn.former(change.back_to, face_id) if change.back_to else None
            person_id = heir(new, change.merged)
            if record is None:
                continue
            files = self._places_of(txn, face_id)
            if not self._may(txn, face_id, old, person_id, change, former):
                for file_id, _ in files if record.person_id in were else ():
                    want_elsewhere(txn, file_id, were=were)
                continue
            txn.put_former(change_id, face_id, FormerRecord(record, files))
            if former is not None:
                self._put_back(txn, face_id, former, were)
                for file_id in {file_id for file_id, _ in files} - {file_id for file_id, _ in former.places}:
                    want_elsewhere(txn, file_id, were=were)  # the same picture, come since
            elif person_id == record.person_id:
                for file_id, _ in files:
                    want_elsewhere(txn, file_id, were=were)
            else:
                reason = TRASHED if person_id == NOBODY and face_id in change.trashed else change.reason
                decision = Assignment(PersonId(person_id), 0.0, 0.0, reason)
                self.book.give(txn, face_id, txn.vectors([face_id])[0], decision, change.run_id, were)
                given.append(face_id)
        self._measure(txn, given)

    def _may(
        self, txn: Transaction, face_id: int, old: int, new: int, change: ChangeRecord, former: FormerRecord | None
    ) -> bool:
        """Is the change still right for this face, after all that was decided since it was thought out?"""
        now = int(self._roster.person_of[face_id])
        if old == new:
            return now == old  # it stays, and its files are looked at again
        if change.back_to:
            # A run may have moved on what a human decided; another human, or streaming, is not taken back with it.
            return former is not None and (now == old or not change.run_id) and self._allows(txn, face_id, new)
        if now != old and new == NOBODY:
            return False  # it has found somebody meanwhile
        if new == now != old:
            return False
        return self._allows(txn, face_id, new)

    def _allows(self, txn: Transaction, face_id: int, person_id: int) -> bool:
        """Does nothing that a human said keep the face from this person?"""
        confirmed = self.book.constraints.confirmed.get(face_id)
        if confirmed is not None:
            return confirmed == person_id
        return person_id not in self.book.constraints.rejected.get(face_id, ()) and not self._is_mates(
            txn, face_id, person_id
        )

    def _is_mates(self, txn: Transaction, face_id: int, person_id: int) -> bool:
        """Did a human say that another face of the image is this person?"""
        image = txn.images.get(int(self._roster.image_of[face_id])) if self.book.rules.one_face_per_image else None
        mates = image.face_ids if image is not None and person_id != NOBODY else ()
        return any(self.book.constraints.confirmed.get(mate) == person_id for mate in mates if mate != face_id)

    def _put_back(self, txn: Transaction, face_id: int, former: FormerRecord, were: Mapping[int, PersonRecord]) -> None:
        """The face as it was, and its files as they lay."""
        for file_id, places in former.places:
            want_elsewhere(txn, file_id, places, were)
        person_id = living_person(txn, former.assignment.person_id)
        self._roster.give(face_id, person_id, txn.vectors([face_id])[0])
        txn.assignments.put(face_id, replace(former.assignment, person_id=person_id))

    def _measure(self, txn: Transaction, face_ids: list[int]) -> None:
        """Write down each face's similarity to the person it now has."""
        centroids = self._roster.centroids
        row_of = {int(person): row for row, person in enumerate(centroids.ids)} if face_ids else {}
        for face_id in face_ids:
            record = txn.assignments.get(face_id)
            if record is not None and record.person_id in row_of:
                similarity = float(centroids.matrix[row_of[record.person_id]] @ txn.vectors([face_id])[0])
                txn.assignments.put(face_id, replace(record, similarity=round(similarity, 4)))

    def _finish(self, txn: Transaction, change_id: int, change: ChangeRecord) -> None:
        """Faces that came to a vanished person meanwhile follow; persons without a face retire; the change is done."""
        change = self._follow(txn, change_id, change)
        persons = {each.person_id: each for each in change.persons}
        for each in self._retire(txn, change.merged):
            known = persons.get(each.person_id, each)
            persons[each.person_id] = replace(known, after=each.after)
        if _is_run(change):
            self.book.learn_of_run(txn, persons.values())
        else:
            self.book.learn(txn)
        wrong = self._contradictions()
        change = self._put_right(txn, change_id, replace(change, persons=tuple(persons.values())), wrong)
        txn.changes.put(change_id, change)
        if not wrong:  # else look again
            txn.put_note(APPLYING, b"")
            self._note_run(txn, change)

    def _contradictions(self) -> dict[int, int]:
        """Faces that are not where humans said, and where they belong; some at a time.

        A change may bring them about without having moved them: an undo lets an older decision stand again; a face
        that was rejected from a person meets it again in whoever took that person over.
        """
        confirmed, person_of = self.book.constraints.confirmed, self._roster.person_of
        faces = np.fromiter(confirmed.keys(), np.int64, len(confirmed))
        persons = np.fromiter(confirmed.values(), np.int64, len(confirmed))
        elsewhere = np.flatnonzero(person_of[faces] != persons)[:CHUNK_FACES]
        wrong = dict(zip(faces[elsewhere].tolist(), persons[elsewhere].tolist(), strict=True))
        barred = (id_ for id_, others in self.book.constraints.rejected.items() if int(person_of[id_]) in others)
        return dict.fromkeys(islice((id_ for id_ in barred if id_ not in wrong), CHUNK_FACES), int(NOBODY)) | wrong

    def _put_right(self, txn: Transaction, change_id: int, change: ChangeRecord, goes: dict[int, int]) -> ChangeRecord:
        """Move faces as humans said; returns the change with them in it, so that they go back with it."""
        known = set(unpack_ids(change.face_ids).tolist())
        came: list[tuple[int, int, int]] = []
        for face_id, person_id in goes.items():
            record = txn.assignments.get(face_id)
            assert record is not None, face_id
            if face_id not in known:
                came.append((face_id, record.person_id, person_id))
            if txn.former(change_id, face_id) is None:
                txn.put_former(change_id, face_id, FormerRecord(record, self._places_of(txn, face_id)))
            decision = Assignment(PersonId(person_id), 0.0, 0.0, change.reason)
            self.book.give(txn, face_id, txn.vectors([face_id])[0], decision, change.run_id)
        self._measure(txn, list(goes))
        ids, before, after = np.array(came, np.int64).reshape(-1, 3).T
        return replace(
            change,
            face_ids=change.face_ids + pack_ids(ids),
            before=change.before + pack_ids(before),
            after=change.after + pack_ids(after),
        )

    def _follow(self, txn: Transaction, change_id: int, change: ChangeRecord) -> ChangeRecord:
        """Let the faces that came to a vanished person meanwhile follow; returns the change with them in it, so that
        they go back with it."""
        gone = np.fromiter(change.merged.keys(), np.int64, len(change.merged))
        goes = {}
        for face_id in np.flatnonzero(np.isin(self._roster.person_of, gone)).tolist():
            person_id = heir(int(self._roster.person_of[face_id]), change.merged)
            if self._allows(txn, face_id, person_id):
                goes[face_id] = person_id
        return self._put_right(txn, change_id, change, goes)

    def _retire(self, txn: Transaction, merged: dict[int, int]) -> list[PersonChange]:
        """Persons without a face left live on as a redirect or a memory; their ids are never reused."""
        changes = []
        for person_id, person in list(txn.persons.items()):
            alive = person_id in self._roster.faces_of
            if alive == person.retired:
                into = 0 if alive else heir(merged.get(person_id, 0), merged)
                after = replace(person, retired=not alive, merged_into=into)
                txn.persons.put(person_id, after)
                changes.append(PersonChange(person_id, person, after))
        return changes

    def _note_run(self, txn: Transaction, change: ChangeRecord) -> None:
        run = txn.runs.get(change.run_id) if change.run_id else None
        if run is not None:
            state = "rolled_back" if change.back_to else "applied"
            persons = run.persons if change.back_to else len(self._roster.faces_of)
            txn.runs.put(change.run_id, replace(run, state=state, persons=persons))

    def _places_of(self, txn: Transaction, face_id: int) -> tuple[tuple[int, tuple[bytes, ...]], ...]:
        files = [(file_id, txn.files.get(file_id)) for file_id in self.book.files_of(txn, face_id)]
        return tuple((file_id, file.places) for file_id, file in files if file is not None)


def _is_run(change: ChangeRecord) -> bool:
    """A run's own change: neither a decision's, nor one that takes something back."""
    return bool(change.run_id) and not change.back_to


def _packed(change_id: int, done: int) -> bytes:
    return change_id.to_bytes(8, "big") + done.to_bytes(8, "big")


def _unpacked(note: bytes) -> tuple[int, int]:
    return (int.from_bytes(note[:8], "big"), int.from_bytes(note[8:], "big")) if note else (0, 0)
