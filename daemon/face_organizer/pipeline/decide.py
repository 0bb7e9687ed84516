"""What humans decide: who a person is, who is one, who is not. Each decision is kept for ever and can be undone.

Room:    pipeline (moves)
Imports: records, errors, ports, applying, book, change, changes, drafts, kept, roster, runs,
         scrub

A decision is written down with the faces it speaks of (identity/constraints.py makes of them what every clustering must
respect) and with the change it makes at once; both in one transaction. Any thread but the gallery's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from face_organizer.errors import RequestError
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.book import Called
from face_organizer.pipeline.change import pack_ids, write_down
from face_organizer.pipeline.changes import Changes
from face_organizer.pipeline.drafts import Draft, Drafts
from face_organizer.pipeline.kept import note_kept
from face_organizer.pipeline.roster import Roster
from face_organizer.pipeline.runs import Runs
from face_organizer.pipeline.scrub import FORGET, FORGOTTEN, SOMEBODY
from face_organizer.ports import Transaction
from face_organizer.records import ChangeRecord, DecisionRecord


class Decide:
    """See the module's text. now(): seconds since 1970. drafts: what each kind of decision is made of."""

    def __init__(
        self, roster: Roster, changes: Changes, applier: Applier, runs: Runs, now: Callable[[], float]
    ) -> None:
        self._roster, self._book, self._changes = roster, changes.book, changes
        self._applier, self._runs, self._now = applier, runs, now
        self.drafts = Drafts(roster, changes.book)

    def name(self, person_id: int, name: str, confirming: Iterable[int] = ()) -> int:
        """Give a person a name and its folder that name. confirming: faces that are this person for sure.

        Returns the decision's id, as all of these do. Raises RequestError, as all of these do.
        """
        return self.make(lambda txn: self.drafts.name(txn, person_id, Called(name), confirming))

    def merge(self, from_id: int, into_id: int, *, together: bool = False) -> int:
        """The two are one person: all their faces are confirmed to be into_id. together: even if both are in one image
        (a mirror, a collage)."""
        return self.make(lambda txn: self.drafts.merge(txn, from_id, into_id, together=together))

    def apart(self, one: tuple[int, Sequence[int]], other: tuple[int, Sequence[int]]) -> int:
        """Two persons are not one. Each: a person, and faces that are this person for sure."""
        return self.make(lambda txn: self.drafts.apart(txn, one, other))

    def split(self, person_id: int, parts: Sequence[Sequence[int]]) -> int:
        """The person is several: the first part stays, each other part is a new person; all are confirmed.

        parts: face ids of the person; faces enrolled since, in no part, stay.
        """
        return self.make(lambda txn: self.drafts.split(txn, person_id, parts))

    def reject(self, face_ids: Sequence[int]) -> int:
        """Not the person they are with: each face goes to the next person that is near enough, or to nobody."""
        return self.make(lambda txn: self.drafts.reject(txn, face_ids))

    def assign(self, face_ids: Sequence[int], person_id: int) -> int:
        """These faces are this person."""
        return self.make(lambda txn: self.drafts.assign(txn, face_ids, person_id))

    def hide(self, person_id: int, *, hidden: bool) -> int:
        """Give a person no folder any more, or give it back."""
        return self.make(lambda txn: self.drafts.hide(txn, person_id, hidden=hidden))

    def found(self, face_ids: Sequence[int], name: str) -> int:
        """A new person with this name, who these faces are."""
        return self.make(lambda txn: self.drafts.found(txn, face_ids, Called(name)))

    def undo(self, decision_id: int | None) -> tuple[int, DecisionRecord]:
        """Take a decision back, the latest one that stands if None; an undo too. Returns what was taken back."""
        undone: list[tuple[int, DecisionRecord]] = []

        def begin() -> int:
            with self._book.write() as txn:
                chosen, decision = self._to_undo(txn, decision_id)
                undone.append((chosen, decision))
                new_id = txn.new_id("decisions")
                change_id = self._changes.take_back(txn, decision.change_id)
                says = f"undo {chosen}: {decision.says}"
                txn.decisions.put(new_id, DecisionRecord("undo", says, (), change_id, self._now(), undoes=chosen))
                _mark(txn, chosen, new_id)
                self._changes.begin(txn, change_id)
                return decision.change_id

        self._runs.lay_back(self._applier.run(begin))
        return undone[0]

    def _to_undo(self, txn: Transaction, decision_id: int | None) -> tuple[int, DecisionRecord]:
        if decision_id is None:
            standing = [
                id_
                for id_, each in txn.decisions.items()
                if not each.undone_by and not each.undoes and each.kind not in (FORGET, FORGOTTEN)
            ]
            if not standing:
                raise RequestError("there is no decision to undo")
            decision_id = standing[-1]
        decision = txn.decisions.get(decision_id)
        if decision is None:
            raise RequestError(f"there is no decision {decision_id}: `face-organizer history` lists them")
        if decision.kind in (FORGET, FORGOTTEN):
            raise RequestError(f"decision {decision_id} speaks of {SOMEBODY}: nothing is left to take it back with")
        if decision.undone_by:
            raise RequestError(f"decision {decision_id} was undone already, by decision {decision.undone_by}")
        return decision_id, decision

    def make(self, draft: Callable[[Transaction], Draft]) -> int:
        """Write a decision down and do what it says; draft() runs in the gallery's thread. Returns its id; 0 for a
        draft without a kind, of which only the files are written down."""

        def begin() -> int:
            with self._book.write() as txn:
                made = draft(txn)
                for file_id, file in made.files.items():
                    txn.files.put(file_id, file)
                for file_id in made.again:
                    txn.set_pending(file_id, True)
                note_kept(txn, made.kept)
                if not made.kind:
                    return 0
                ids = np.array(sorted(made.goes), np.int64)
                change = ChangeRecord(
                    face_ids=pack_ids(ids),
                    before=pack_ids(self._roster.person_of[ids]),
                    after=pack_ids(np.array([made.goes[face_id] for face_id in ids.tolist()], np.int64)),
                    reason=made.kind,
                    persons=tuple(made.persons),
                    merged=made.merged,
                    trashed=tuple(sorted(made.trashed)),
                )
                decision_id = txn.new_id("decisions")
                change_id = write_down(txn, change)
                record = DecisionRecord(made.kind, made.says, tuple(made.verdicts), change_id, self._now())
                txn.decisions.put(decision_id, record)
                self._changes.begin(txn, change_id, decision_id, made.born_as)
                return decision_id

        return self._applier.run(begin)


def _mark(txn: Transaction, decision_id: int, undone_by: int) -> None:
    """Mark a decision as undone (0: as standing), and along the chain of undos every second one the other way."""
    while (decision := txn.decisions.get(decision_id)) is not None:
        txn.decisions.put(decision_id, replace(decision, undone_by=undone_by))
        decision_id, undone_by = decision.undoes, 0 if undone_by else decision_id
