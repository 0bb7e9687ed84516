"""The book of who is whose: gives faces to persons, one at a time while streaming, by the thousands for a change.

Room:    pipeline (moves)
Owns:    every change of an assignment or a person in the truth
Imports: types, ports, identity

A change (what a run or a human decided) may move half a million faces. It is written down first, whole, and then done
in chunks, each a transaction: enrolment goes on in between, and after a crash the rest is done at the next start. What
each chunk found is kept, so that every change can be taken back exactly: taking back is a change too.

In the gallery's thread only (or before it starts).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import count, islice
from time import monotonic

import numpy as np

from face_organizer.identity.constraints import Constraints, fold, heir
from face_organizer.identity.placement import desired_folders, person_folder_name, plain_name, safe_folder_name
from face_organizer.pipeline.messages import Rules
from face_organizer.pipeline.roster import Roster
from face_organizer.ports import Clock, Store, Transaction
from face_organizer.types import (
    NO_DECISION,
    NOBODY,
    QUARANTINE,
    UNBORN,
    Assignment,
    AssignmentRecord,
    ChangeRecord,
    FileRecord,
    Float32,
    FormerRecord,
    Int64,
    PersonChange,
    PersonId,
    PersonRecord,
)

CHUNK_FACES, CHUNK_S, SLICE_FACES = 500, 0.04, 50
"""A transaction of a change takes so many faces at most, or as many slices as fit into the time: enrolment waits for
one of them, no longer than a tenth of a second."""

APPLYING = "applying"
"""The note that says which change is being done, and how many of its faces are: two numbers of 8 bytes."""

NOBODY_MOVES: Mapping[int, PersonRecord] = {}

LAYING_BACK = "laying_back"
"""The note that says which changes were taken back, but their files do not lie under just the names they had yet."""


class Book:
    """See the module's text. is_taken(folder): a new person must not move in there."""

    def __init__(
        self,
        store: Store,
        roster: Roster,
        rules: Rules,
        is_taken: Callable[[str], bool] = lambda folder: False,
        clock: Clock = monotonic,
    ) -> None:
        self._store, self._roster, self._is_taken = store, roster, is_taken
        self.rules, self._clock = rules, clock
        self.constraints = Constraints()
        with store.read() as txn:
            self.learn(txn)

    def learn(self, txn: Transaction) -> None:
        """Fold the decisions anew."""
        self.constraints = constraints_of(txn)

    # one face, one person

    def new_person(
        self, txn: Transaction, run_id: int, leaving: AbstractSet[int] = frozenset(), name: str | None = None
    ) -> PersonId:
        """leaving: persons that are about to lose their last face, and with it their folder. name: a human's."""
        person_id = PersonId(txn.new_id("persons"))
        given, freed = frozenset[str](), frozenset[str]()
        if self.rules.people not in ("auto", "elbow"):  # few persons, who have letters
            everybody = dict(txn.persons.items())
            stays = {id_ for id_ in everybody if id_ in self._roster.faces_of or not everybody[id_].retired} - leaving
            given = frozenset(everybody[id_].folder.casefold() for id_ in stays)
            freed = frozenset(person.folder for person in everybody.values()) - given
        folder = person_folder_name(person_id, self.rules.people, given)
        if folder not in freed:
            folder = self._free(folder, given)
        person = PersonRecord(name=folder, folder=folder, born_run=run_id)
        txn.persons.put(person_id, self.called(txn, person_id, person, name) if name is not None else person)
        return person_id

    def called(self, txn: Transaction, person_id: int, person: PersonRecord, name: str) -> PersonRecord:
        """The person with a human's name, and with the folder for it: the name itself, or name~2, ... where another
        person has that. Raises RequestError for a name that cannot become a folder."""
        usual = safe_folder_name(name)
        its_own = person.folder == usual or re.fullmatch(re.escape(usual) + r"~\d+", person.folder) is not None
        folder = person.folder if its_own else self._free_folder(txn, usual, person_id)
        return replace(person, name=plain_name(name), folder=folder, named=True)

    def _free_folder(self, txn: Transaction, usual: str, person_id: int) -> str:
        others = {
            person.folder.casefold()
            for other, person in txn.persons.items()
            if other != person_id and other in self._roster.faces_of
        }
        return self._free(usual, given=others)

    def _free(self, usual: str, given: AbstractSet[str]) -> str:
        """Nobody's folder, and nothing that stood there before: somebody's from before the state was lost, or made by
        hand. Never mix."""
        folder, numbers = usual, count(2)
        while folder.casefold() in given or self._is_taken(folder):
            folder = f"{usual}~{next(numbers)}"
        return folder

    def give(
        self,
        txn: Transaction,
        face_id: int,
        vector: Float32,
        decision: Assignment,
        run_id: int = 0,
        were: Mapping[int, PersonRecord] = NOBODY_MOVES,
    ) -> None:
        """Record whose face it is, and that its image's files may have to move. vector: float32 (d,); were: as for
        want_elsewhere."""
        if txn.assignments.get(face_id) is not None:  # else it is new, and pending anyway
            for file_id in self._files_of(txn, face_id):
                self.want_elsewhere(txn, file_id, were=were)
        self._roster.give(face_id, decision.person_id, vector)
        record = AssignmentRecord(
            decision.person_id, round(decision.similarity, 4), round(decision.margin, 4), decision.reason, run_id
        )
        txn.assignments.put(face_id, record)

    def want_elsewhere(
        self,
        txn: Transaction,
        file_id: int,
        wished: tuple[bytes, ...] = (),
        were: Mapping[int, PersonRecord] = NOBODY_MOVES,
    ) -> None:
        """Truth is about to want the file elsewhere. While it was pending, disk may have been brought to what truth
        wanted until now without our having heard of it; after a crash we must look there too. were: persons who just
        got another folder, as they were."""
        file = txn.files.get(file_id)
        if file is None:
            return
        places = file.places
        if txn.pending(1, file_id) == [file_id]:
            folders = (*wanted_folders(txn, file, were), *wanted_folders(txn, file))
            until_now = [os.fsencode(folder) + b"/" + file.name for folder in folders]
            places = tuple(dict.fromkeys([*places, *until_now]))
        if (places, wished) != (file.places, file.wished):
            txn.files.put(file_id, replace(file, places=places, wished=wished))
        txn.set_pending(file_id, True)

    # changes

    def begin(self, txn: Transaction, change_id: int, decision_id: int = 0, born_as: str | None = None) -> None:
        """Start to do a change that is written down: from here on it will be done, whatever happens.

        decision_id: the decision that it belongs to; what it says of persons yet unborn is said of the born ones.
        born_as: the name of the one who is born.
        """
        change = txn.changes.get(change_id)
        assert change is not None, change_id
        assert not txn.note(APPLYING), "one change at a time"
        change = self._without_touched(txn, change)
        changing = {person.person_id for person in change.persons} | self._leaving(
            _ids(change.face_ids), _ids(change.before), _ids(change.after)
        )
        change = replace(change, persons=tuple(self._change_person(txn, each, changing) for each in change.persons))
        change, number = self._numbered(txn, change, born_as)
        decision = txn.decisions.get(decision_id)
        if decision is not None and number:
            verdicts = tuple(
                replace(verdict, person_id=number.get(verdict.person_id, verdict.person_id))
                for verdict in decision.verdicts
            )
            txn.decisions.put(decision_id, replace(decision, verdicts=verdicts))
        txn.changes.put(change_id, self._with_all_faces(change))
        txn.put_note(APPLYING, _packed(change_id, 0))
        self.learn(txn)

    def step(self) -> bool:
        """Do one chunk of the change under way. False when there is nothing to do."""
        with self._store.write() as txn:
            change_id, done = _unpacked(txn.note(APPLYING))
            change = txn.changes.get(change_id) if change_id else None
            if change is None:
                return False
            ids, before, after = (_ids(column) for column in (change.face_ids, change.before, change.after))
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
            persons=tuple(self._reversed(txn, person) for person in change.persons if person.before is not None),
            back_to=change_id,
        )
        put_laying_back(txn, [*laying_back(txn), change_id])
        return write_down(txn, back)

    def _without_touched(self, txn: Transaction, change: ChangeRecord) -> ChangeRecord:
        """A run without what it would do to persons whom a human touched since it was thought out: it judged them by
        what was said until then. The next run knows more."""
        if change.last_decision == NO_DECISION:
            return change
        touched = touched_since(txn, change.last_decision)
        ids, before, after = (_ids(column) for column in (change.face_ids, change.before, change.after))
        now = self._roster.person_of[ids]
        kept = ~np.isin(np.stack([before, after, now]), np.fromiter(touched, np.int64, len(touched))).any(axis=0)
        merged = {old: new for old, new in change.merged.items() if not {old, new} & touched}
        return replace(
            change,
            face_ids=pack_ids(ids[kept]),
            before=pack_ids(before[kept]),
            after=pack_ids(after[kept]),
            merged=merged,
        )

    def _reversed(self, txn: Transaction, change: PersonChange) -> PersonChange:
        """A person as before, but for what was decided since."""
        now = txn.persons.get(change.person_id)
        assert now is not None, change
        assert change.before is not None, change
        was = {
            field: getattr(change.before, field)
            for field in ("name", "folder", "merged_into", "retired", "named", "hidden")
            if getattr(now, field) == getattr(change.after, field)
        }
        return PersonChange(change.person_id, now, replace(now, **was))

    def _numbered(
        self, txn: Transaction, change: ChangeRecord, born_as: str | None
    ) -> tuple[ChangeRecord, dict[int, PersonId]]:
        """The change with real persons in the place of those that have no id yet, and who they are."""
        after = _ids(change.after).copy()
        for person_id in np.unique(after[(after != NOBODY) & (after < UNBORN)]).tolist():
            if not change.back_to and (living := living_person(txn, person_id)) != person_id:
                after[after == person_id] = living  # merged by hand since this was thought out
        leaving = self._leaving(_ids(change.face_ids), _ids(change.before), after)
        coming_ids = np.unique(after[after >= UNBORN]).tolist()
        number = {coming: self.new_person(txn, change.run_id, leaving, born_as) for coming in coming_ids}
        unborn = np.fromiter(number.keys(), np.int64, len(number))
        coming = np.flatnonzero(after >= UNBORN)
        after[coming] = np.fromiter(number.values(), np.int64, len(number))[np.searchsorted(unborn, after[coming])]
        merged = {old: int(number.get(new, PersonId(new))) for old, new in change.merged.items()}
        born = tuple(
            PersonChange(person_id, None, record)
            for person_id in number.values()
            if (record := txn.persons.get(person_id)) is not None
        )
        return replace(change, after=pack_ids(after), merged=merged, persons=(*change.persons, *born)), number

    def _leaving(self, ids: Int64, before: Int64, after: Int64) -> frozenset[int]:
        """The persons that a change leaves without a face, for all that humans said and that happened meanwhile."""
        confirmed, rejected = self.constraints.confirmed, self.constraints.rejected
        said = np.zeros(len(self._roster.person_of), np.int64)
        said[np.fromiter(confirmed.keys(), np.int64, len(confirmed))] = np.fromiter(confirmed.values(), np.int64)
        goes = (self._roster.person_of[ids] == before) & ((said[ids] == NOBODY) | (said[ids] == after))
        image_of = self._roster.image_of
        beside = np.isin(image_of[ids], image_of[said != NOBODY]) & (said[ids] == NOBODY)  # may meet its double
        goes &= ~beside & ~np.isin(ids, np.fromiter(rejected.keys(), np.int64, len(rejected)))
        before, after = before[goes], after[goes]
        left = dict(self._roster.faces_of)
        for column, sign in ((before, -1), (after, +1)):
            for person_id, faces in zip(*np.unique(column, return_counts=True), strict=True):
                left[int(person_id)] = left.get(int(person_id), 0) + sign * int(faces)
        return frozenset(person_id for person_id in self._roster.faces_of if left[person_id] <= 0)

    def _change_person(self, txn: Transaction, change: PersonChange, changing: AbstractSet[int]) -> PersonChange:
        """A new name or folder; returns what was really changed: a folder that another has by now is not shared."""
        others = {
            each.folder.casefold()
            for person_id, each in txn.persons.items()
            if person_id not in changing and person_id in self._roster.faces_of
        }
        if change.after.folder.casefold() in others:
            change = replace(change, after=replace(change.after, folder=self._free(change.after.folder, others)))
        now = txn.persons.get(change.person_id)
        txn.persons.put(change.person_id, change.after)
        return change if change.before is None or now is None else replace(change, before=now)

    def _with_all_faces(self, change: ChangeRecord) -> ChangeRecord:
        """Whoever gets another folder takes all faces along, also those that came since what is taken back."""
        ids, before, after = (_ids(column) for column in (change.face_ids, change.before, change.after))
        moving = np.fromiter(_moving(change), np.int64)
        rest = np.setdiff1d(np.flatnonzero(np.isin(self._roster.person_of, moving)), ids)
        theirs = self._roster.person_of[rest]
        return replace(
            change,
            face_ids=pack_ids(np.append(ids, rest)),
            before=pack_ids(np.append(before, theirs)),
            after=pack_ids(np.append(after, theirs)),
        )

    def _do(
        self, txn: Transaction, change_id: int, change: ChangeRecord, ids: Int64, before: Int64, after: Int64
    ) -> None:
        given, were = [], _moving(change)
        for face_id, old, new in zip(ids.tolist(), before.tolist(), after.tolist(), strict=True):
            record = txn.assignments.get(face_id)
            former = txn.former(change.back_to, face_id) if change.back_to else None
            person_id = heir(new, change.merged)
            if record is None:
                continue
            files = self._places_of(txn, face_id)
            if not self._may(txn, face_id, old, person_id, change, former):
                for file_id, _ in files if record.person_id in were else ():
                    self.want_elsewhere(txn, file_id, were=were)
                continue
            txn.put_former(change_id, face_id, FormerRecord(record, files))
            if former is not None:
                self._put_back(txn, face_id, former, were)
            elif person_id == record.person_id:
                for file_id, _ in files:
                    self.want_elsewhere(txn, file_id, were=were)
            else:
                decision = Assignment(PersonId(person_id), 0.0, 0.0, change.reason)
                self.give(txn, face_id, txn.vectors([face_id])[0], decision, change.run_id, were)
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
        confirmed = self.constraints.confirmed.get(face_id)
        if confirmed is not None:
            return confirmed == person_id
        return person_id not in self.constraints.rejected.get(face_id, ()) and not self._is_mates(
            txn, face_id, person_id
        )

    def _is_mates(self, txn: Transaction, face_id: int, person_id: int) -> bool:
        """Did a human say that another face of the image is this person?"""
        image = txn.images.get(int(self._roster.image_of[face_id])) if self.rules.one_face_per_image else None
        mates = image.face_ids if image is not None and person_id != NOBODY else ()
        return any(self.constraints.confirmed.get(mate) == person_id for mate in mates if mate != face_id)

    def _put_back(self, txn: Transaction, face_id: int, former: FormerRecord, were: Mapping[int, PersonRecord]) -> None:
        """The face as it was, and its files as they lay."""
        for file_id, places in former.places:
            self.want_elsewhere(txn, file_id, places, were)
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
        self.learn(txn)
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
        confirmed, person_of = self.constraints.confirmed, self._roster.person_of
        faces = np.fromiter(confirmed.keys(), np.int64, len(confirmed))
        persons = np.fromiter(confirmed.values(), np.int64, len(confirmed))
        elsewhere = np.flatnonzero(person_of[faces] != persons)[:CHUNK_FACES]
        wrong = dict(zip(faces[elsewhere].tolist(), persons[elsewhere].tolist(), strict=True))
        barred = (id_ for id_, others in self.constraints.rejected.items() if int(person_of[id_]) in others)
        return dict.fromkeys(islice((id_ for id_ in barred if id_ not in wrong), CHUNK_FACES), int(NOBODY)) | wrong

    def _put_right(self, txn: Transaction, change_id: int, change: ChangeRecord, goes: dict[int, int]) -> ChangeRecord:
        """Move faces as humans said; returns the change with them in it, so that they go back with it."""
        known = set(_ids(change.face_ids).tolist())
        came: list[tuple[int, int, int]] = []
        for face_id, person_id in goes.items():
            record = txn.assignments.get(face_id)
            assert record is not None, face_id
            if face_id not in known:
                came.append((face_id, record.person_id, person_id))
            if txn.former(change_id, face_id) is None:
                txn.put_former(change_id, face_id, FormerRecord(record, self._places_of(txn, face_id)))
            decision = Assignment(PersonId(person_id), 0.0, 0.0, change.reason)
            self.give(txn, face_id, txn.vectors([face_id])[0], decision, change.run_id)
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
            txn.runs.put(change.run_id, replace(run, state=state, persons=len(self._roster.faces_of)))

    def _places_of(self, txn: Transaction, face_id: int) -> tuple[tuple[int, tuple[bytes, ...]], ...]:
        files = [(file_id, txn.files.get(file_id)) for file_id in self._files_of(txn, face_id)]
        return tuple((file_id, file.places) for file_id, file in files if file is not None)

    def _files_of(self, txn: Transaction, face_id: int) -> tuple[int, ...]:
        image = txn.images.get(int(self._roster.image_of[face_id]))
        return image.file_ids if image is not None else ()


def wanted_folders(
    txn: Transaction, file: FileRecord, were: Mapping[int, PersonRecord] = NOBODY_MOVES
) -> tuple[str, ...]:
    """Where truth says a file should appear, as folders of the library. Hidden persons have none. were: persons to be
    taken as they were."""
    image = txn.images.get(file.image_id) if file.image_id else None
    if image is None:
        return (QUARANTINE,)
    folders: list[str] = []
    for face_id in image.face_ids:
        assignment = txn.assignments.get(face_id)
        person_id = assignment.person_id if assignment else NOBODY
        person = were.get(person_id) or txn.persons.get(person_id)
        if person is not None and not person.hidden:
            folders.append(person.folder)
    return desired_folders(folders, has_faces=bool(image.face_ids))


def _moving(change: ChangeRecord) -> dict[int, PersonRecord]:
    """The persons to whom a change gives another folder, as they were."""
    return {
        each.person_id: each.before
        for each in change.persons
        if each.before is not None
        and (each.before.folder, each.before.hidden) != (each.after.folder, each.after.hidden)
    }


def living_person(txn: Transaction, person_id: int) -> int:
    """The person itself, or whoever took it over."""
    seen = {person_id}
    while (person := txn.persons.get(person_id)) is not None and person.merged_into and person.merged_into not in seen:
        person_id = person.merged_into
        seen.add(person_id)
    return person_id


def touched_since(txn: Transaction, decision_id: int) -> frozenset[int]:
    """The persons that decisions after this one speak of, take faces from or give faces to."""
    touched: set[int] = set()
    for _, decision in txn.decisions.items(decision_id + 1):
        touched |= {verdict.person_id for verdict in decision.verdicts}
        if (change := txn.changes.get(decision.change_id)) is not None:
            touched |= (
                {person.person_id for person in change.persons} | set(change.merged) | set(change.merged.values())
            )
            touched |= set(np.unique(np.concatenate([_ids(change.before), _ids(change.after)])).tolist())
    return frozenset(touched | {living_person(txn, person_id) for person_id in touched}) - {int(NOBODY)}


def constraints_of(txn: Transaction) -> Constraints:
    """What all decisions make together."""
    merged_into = {person_id: person.merged_into for person_id, person in txn.persons.items() if person.merged_into}
    return fold((decision for _, decision in txn.decisions.items()), merged_into)


def write_down(txn: Transaction, change: ChangeRecord) -> int:
    """Keep a change, to be begun now or later; returns its id."""
    change_id = txn.new_id("changes")
    txn.changes.put(change_id, change)
    return change_id


def laying_back(txn: Transaction) -> list[int]:
    """The changes whose files are still on their way back to the names they had."""
    return [int(change_id) for change_id in _ids(txn.note(LAYING_BACK))]


def put_laying_back(txn: Transaction, change_ids: list[int]) -> None:
    txn.put_note(LAYING_BACK, pack_ids(np.array(change_ids, np.int64)))


def pack_ids(ids: Int64) -> bytes:
    return ids.astype("<i8").tobytes()


def _ids(packed: bytes) -> Int64:
    return np.frombuffer(packed, "<i8")


def _packed(change_id: int, done: int) -> bytes:
    return change_id.to_bytes(8, "big") + done.to_bytes(8, "big")


def _unpacked(note: bytes) -> tuple[int, int]:
    return (int.from_bytes(note[:8], "big"), int.from_bytes(note[8:], "big")) if note else (0, 0)
