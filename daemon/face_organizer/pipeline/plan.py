"""Makes a change ready to be done: persons get numbers and folders, and what is out of date by now is left out.

Room:    pipeline (moves)
Imports: types, records, ports, book, change, roster

In the gallery's thread only.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np

from face_organizer.pipeline.book import Book, Called, living_person
from face_organizer.pipeline.change import moving_persons, pack_ids, touched_since, unpack_ids
from face_organizer.pipeline.roster import Roster
from face_organizer.ports import Transaction
from face_organizer.records import NO_DECISION, UNBORN, ChangeRecord, PersonChange
from face_organizer.types import NOBODY, Int64, PersonId


class Plan:
    """See the module's text."""

    def __init__(self, book: Book, roster: Roster) -> None:
        self.book, self._roster = book, roster

    def ready(
        self, txn: Transaction, change: ChangeRecord, born_as: Mapping[int, Called]
    ) -> tuple[ChangeRecord, dict[int, PersonId]]:
        """The change as it will be done, persons changed already; and who is who of those that had no id."""
        change = self._without_touched(txn, change)
        changing = {person.person_id for person in change.persons} | self._leaving(
            unpack_ids(change.face_ids), unpack_ids(change.before), unpack_ids(change.after)
        )
        change = replace(change, persons=tuple(self._change_person(txn, each, changing) for each in change.persons))
        change, number = self._numbered(txn, change, born_as)
        return self._with_all_faces(change), number

    def reversed(self, txn: Transaction, change: ChangeRecord) -> tuple[PersonChange, ...]:
        """The persons of a change as they were, but for what was decided since."""
        return tuple(self._reversed(txn, person) for person in change.persons if person.before is not None)

    def _without_touched(self, txn: Transaction, change: ChangeRecord) -> ChangeRecord:
        """A run without what it would do to persons whom a human touched since it was thought out: it judged them by
        what was said until then. The next run knows more."""
        if change.last_decision == NO_DECISION:
            return change
        touched = touched_since(txn, change.last_decision)
        ids, before, after = (unpack_ids(column) for column in (change.face_ids, change.before, change.after))
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
        self, txn: Transaction, change: ChangeRecord, born_as: Mapping[int, Called]
    ) -> tuple[ChangeRecord, dict[int, PersonId]]:
        """The change with real persons in the place of those that have no id yet, and who they are."""
        after = unpack_ids(change.after).copy()
        for person_id in np.unique(after[(after != NOBODY) & (after < UNBORN)]).tolist():
            if not change.back_to and (living := living_person(txn, person_id)) != person_id:
                after[after == person_id] = living  # merged by hand since this was thought out
        leaving = self._leaving(unpack_ids(change.face_ids), unpack_ids(change.before), after)
        coming_ids = np.unique(after[after >= UNBORN]).tolist()
        number = {
            coming: self.book.new_person(txn, change.run_id, leaving, born_as.get(coming)) for coming in coming_ids
        }
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
        confirmed, rejected = self.book.constraints.confirmed, self.book.constraints.rejected
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
            change = replace(change, after=replace(change.after, folder=self.book.free(change.after.folder, others)))
        now = txn.persons.get(change.person_id)
        txn.persons.put(change.person_id, change.after)
        return change if change.before is None or now is None else replace(change, before=now)

    def _with_all_faces(self, change: ChangeRecord) -> ChangeRecord:
        """Whoever gets another folder takes all faces along, also those that came since what is taken back."""
        ids, before, after = (unpack_ids(column) for column in (change.face_ids, change.before, change.after))
        moving = np.fromiter(moving_persons(change), np.int64)
        rest = np.setdiff1d(np.flatnonzero(np.isin(self._roster.person_of, moving)), ids)
        theirs = self._roster.person_of[rest]
        return replace(
            change,
            face_ids=pack_ids(np.append(ids, rest)),
            before=pack_ids(np.append(before, theirs)),
            after=pack_ids(np.append(after, theirs)),
        )
