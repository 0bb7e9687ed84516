"""What humans decide: who a person is, who is one, who is not. Each decision is kept for ever and can be undone.

Room:    pipeline (moves)
Imports: types, errors, ports, identity, applying, change, changes, review, roster, runs, scrub

A decision is written down with the faces it speaks of (identity/constraints.py makes of them what every clustering must
respect) and with the change it makes at once; both in one transaction. Any thread but the gallery's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from face_organizer.errors import RequestError
from face_organizer.identity.assign import nearest
from face_organizer.identity.constraints import allowed
from face_organizer.identity.placement import folded, plain_name
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.change import pack_ids, write_down
from face_organizer.pipeline.changes import Changes
from face_organizer.pipeline.review import APART
from face_organizer.pipeline.roster import Roster
from face_organizer.pipeline.runs import Runs
from face_organizer.pipeline.scrub import FORGET, FORGOTTEN, SOMEBODY
from face_organizer.ports import Transaction
from face_organizer.types import (
    NOBODY,
    UNBORN,
    ChangeRecord,
    DecisionRecord,
    PersonChange,
    PersonRecord,
    Verdict,
)


@dataclass
class Draft:
    """A decision in the making: what it says, of whom, and where faces go (face -> person, maybe one yet unborn).
    born_as: the name of whoever is born."""

    kind: str
    says: str
    verdicts: list[Verdict] = field(default_factory=list)
    goes: dict[int, int] = field(default_factory=dict)
    persons: list[PersonChange] = field(default_factory=list)
    merged: dict[int, int] = field(default_factory=dict)
    born_as: str | None = None


class Decide:
    """See the module's text. now(): seconds since 1970."""

    def __init__(
        self, roster: Roster, changes: Changes, applier: Applier, runs: Runs, now: Callable[[], float]
    ) -> None:
        self._roster, self._book, self._changes = roster, changes.book, changes
        self._applier, self._runs, self._now = applier, runs, now

    def name(self, person_id: int, name: str, confirming: Iterable[int] = ()) -> int:
        """Give a person a name and its folder that name. confirming: faces that are this person for sure.

        Returns the decision's id, as all of these do. Raises RequestError, as all of these do.
        """

        def draft(txn: Transaction) -> Draft:
            person = self._living(txn, person_id)
            self._is_free(txn, name, person_id)
            after = self._book.called(txn, person_id, person, name)
            verdicts = [Verdict(tuple(confirming), person_id)]
            return Draft(
                "name",
                f"{_called(person_id, person)} is {after.name}",
                verdicts,
                self._as_they_are(person_id),
                [PersonChange(person_id, person, after)],
            )

        return self._make(draft)

    def _is_free(self, txn: Transaction, name: str, person_id: int) -> None:
        """Raises RequestError where another person has the name."""
        others = [
            other
            for other, each in txn.persons.items()
            if other != person_id and other in self._roster.faces_of and folded(each.name) == folded(name)
        ]
        if others:
            way_out = f"merge {person_id} into {others[0]}" if person_id else f"assign the face to {others[0]}"
            raise RequestError(f"person {others[0]} is called {name!r} already: if they are one, {way_out}")

    def merge(self, from_id: int, into_id: int, *, together: bool = False) -> int:
        """The two are one person: all their faces are confirmed to be into_id. together: even if both are in one image
        (a mirror, a collage)."""

        def draft(txn: Transaction) -> Draft:
            gone, stays = self._living(txn, from_id), self._living(txn, into_id)
            if from_id == into_id:
                raise RequestError(f"{_called(from_id, gone)} cannot be merged with itself")
            theirs, ours = self._faces(from_id), self._faces(into_id)
            both = set(self._roster.image_of[theirs].tolist()) & set(self._roster.image_of[ours].tolist())
            if both and not together and self._book.rules.one_face_per_image:
                raise RequestError(
                    f"{_called(from_id, gone)} and {_called(into_id, stays)} are together in {len(both)} images, so"
                    " they are two people; if those are mirrors or collages, say --together"
                )
            persons = []
            if gone.named and not stays.named:  # a name is not lost because it was on the smaller one
                persons.append(
                    PersonChange(into_id, stays, replace(stays, name=gone.name, folder=gone.folder, named=True))
                )
                persons.append(
                    PersonChange(from_id, gone, replace(gone, folder=stays.folder, name=stays.name, named=False))
                )
            goes = dict.fromkeys(theirs, into_id)
            return Draft(
                "merge",
                f"{_called(from_id, gone)} is the same person as {_called(into_id, stays)}",
                [Verdict((*ours, *theirs), into_id)],
                goes | (dict.fromkeys(ours, into_id) if persons else {}),
                persons,
                {from_id: into_id},
            )

        return self._make(draft)

    def apart(self, one: tuple[int, Sequence[int]], other: tuple[int, Sequence[int]]) -> int:
        """Two persons are not one. Each: a person, and faces that are this person for sure."""

        def draft(txn: Transaction) -> Draft:
            if one[0] == other[0]:
                raise RequestError(f"{_called(one[0], self._living(txn, one[0]))} cannot be told from itself")
            first, second = (_called(each, self._living(txn, each)) for each, _ in (one, other))
            verdicts = [Verdict(tuple(face_ids), person_id) for person_id, face_ids in (one, other)]
            goes = {face_id: person_id for person_id, face_ids in (one, other) for face_id in face_ids}
            return Draft(APART, f"{first} is not the same person as {second}", verdicts, goes)

        return self._make(draft)

    def split(self, person_id: int, parts: Sequence[Sequence[int]]) -> int:
        """The person is several: the first part stays, each other part is a new person; all are confirmed.

        parts: face ids of the person; faces enrolled since, in no part, stay.
        """

        def draft(txn: Transaction) -> Draft:
            person = self._living(txn, person_id)
            mine = set(self._faces(person_id))
            kept, *leaving = [[face_id for face_id in part if face_id in mine] for part in parts]
            leaving = [part for part in leaving if part]
            if not leaving:
                raise RequestError(f"{_called(person_id, person)} changed meanwhile: try again")
            made = Draft("split", f"{_called(person_id, person)} is {len(leaving) + 1} persons")
            made.verdicts.append(Verdict(tuple(kept), person_id))
            for number, part in enumerate(leaving):
                made.verdicts.append(Verdict(tuple(part), UNBORN + number))
                made.goes |= dict.fromkeys(part, UNBORN + number)
            return made

        return self._make(draft)

    def reject(self, face_ids: Sequence[int]) -> int:
        """Not the person they are with: each face goes to the next person that is near enough, or to nobody."""

        def draft(txn: Transaction) -> Draft:
            made = Draft("reject", "")
            told: dict[int, int] = {}
            for face_id in face_ids:
                person_id = self._known_face(txn, face_id)
                if person_id == NOBODY:
                    raise RequestError(f"face {face_id} belongs to nobody: there is nothing to reject")
                made.verdicts.append(Verdict((face_id,), person_id, is_person=False))
                made.goes[face_id] = self._next_best(txn, face_id, made.goes)
                told[person_id] = told.get(person_id, 0) + 1
            made.says = "; ".join(
                f"{count} face{'s are' if count > 1 else ' is'} not {_called(person_id, self._living(txn, person_id))}"
                for person_id, count in told.items()
            )
            return made

        return self._make(draft)

    def assign(self, face_ids: Sequence[int], person_id: int) -> int:
        """These faces are this person."""

        def draft(txn: Transaction) -> Draft:
            person = self._living(txn, person_id)
            goes = self._displaced(txn, face_ids, person_id) | dict.fromkeys(face_ids, person_id)
            says = f"{_faces_in_words(face_ids)} {_are(face_ids)} {_called(person_id, person)}"
            return Draft("assign", says, [Verdict(tuple(face_ids), person_id)], goes)

        return self._make(draft)

    def hide(self, person_id: int, *, hidden: bool) -> int:
        """Give a person no folder any more, or give it back."""

        def draft(txn: Transaction) -> Draft:
            person = self._living(txn, person_id)
            if person.hidden == hidden:
                raise RequestError(f"{_called(person_id, person)} is {'hidden already' if hidden else 'not hidden'}")
            return Draft(
                "hide" if hidden else "unhide",
                f"{'hide' if hidden else 'show'} {_called(person_id, person)}",
                [],
                self._as_they_are(person_id),
                [PersonChange(person_id, person, replace(person, hidden=hidden))],
            )

        return self._make(draft)

    def found(self, face_ids: Sequence[int], name: str) -> int:
        """A new person with this name, who these faces are."""

        def draft(txn: Transaction) -> Draft:
            self._is_free(txn, name, NOBODY)
            says = f"{_faces_in_words(face_ids)} {_are(face_ids)} {plain_name(name)}, who is new"
            made = Draft("assign", says, [Verdict(tuple(face_ids), UNBORN)], born_as=name)
            made.goes = self._displaced(txn, face_ids, UNBORN) | dict.fromkeys(face_ids, UNBORN)
            return made

        return self._make(draft)

    def _displaced(self, txn: Transaction, face_ids: Sequence[int], person_id: int) -> dict[int, int]:
        """Where other faces of the same images go that are with the person now: nobody is twice in an image, and a
        human just said which face is the person. Raises RequestError where a human said otherwise of them too."""
        moved: dict[int, int] = {}
        chosen = set(face_ids)
        for face_id in dict.fromkeys(face_ids):
            self._known_face(txn, face_id)
            image = txn.images.get(int(self._roster.image_of[face_id]))
            mates = set(image.face_ids) - {face_id} if image and self._book.rules.one_face_per_image else set()
            if twice := sorted(mates & chosen):
                raise RequestError(f"faces {face_id} and {twice[0]} are in one image, so they are two people")
            for mate in sorted(mates):
                if int(self._roster.person_of[mate]) != person_id:
                    continue
                if self._book.constraints.confirmed.get(mate) == person_id:
                    raise RequestError(
                        f"face {mate} in the same image is this person, as was decided: reject {mate} first"
                    )
                moved[mate] = self._next_best(txn, mate, {face_id: person_id, **moved})
        return moved

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

    def _make(self, draft: Callable[[Transaction], Draft]) -> int:
        """Write the decision down and do what it says."""

        def begin() -> int:
            with self._book.write() as txn:
                made = draft(txn)
                ids = np.array(sorted(made.goes), np.int64)
                change = ChangeRecord(
                    face_ids=pack_ids(ids),
                    before=pack_ids(self._roster.person_of[ids]),
                    after=pack_ids(np.array([made.goes[face_id] for face_id in ids.tolist()], np.int64)),
                    reason=made.kind,
                    persons=tuple(made.persons),
                    merged=made.merged,
                )
                decision_id = txn.new_id("decisions")
                change_id = write_down(txn, change)
                record = DecisionRecord(made.kind, made.says, tuple(made.verdicts), change_id, self._now())
                txn.decisions.put(decision_id, record)
                self._changes.begin(txn, change_id, decision_id, made.born_as)
                return decision_id

        return self._applier.run(begin)

    def _next_best(self, txn: Transaction, face_id: int, goes: Mapping[int, int]) -> int:
        """The person that a rejected face is given to: the nearest that it may be, near enough; else nobody."""
        centroids = self._roster.centroids
        image = txn.images.get(int(self._roster.image_of[face_id]))
        others = image.face_ids if image is not None and self._book.rules.one_face_per_image else ()
        taken = {goes.get(each, int(self._roster.person_of[each])) for each in (face_id, *others)}
        rows = allowed(face_id, centroids.ids, self._book.constraints, taken)
        if len(rows) == 0:
            return NOBODY
        row, similarity, _ = nearest(txn.vectors([face_id]), centroids.matrix[rows])
        near = float(similarity[0]) >= self._book.rules.similarity_min
        return int(centroids.ids[rows[row[0]]]) if near else NOBODY

    def _living(self, txn: Transaction, person_id: int) -> PersonRecord:
        person = txn.persons.get(person_id)
        if person is None:
            raise RequestError(f"there is no person {person_id}: `face-organizer people` lists them")
        if person_id not in self._roster.faces_of:
            into = f": it is person {person.merged_into} now" if person.merged_into else ""
            raise RequestError(f"{_called(person_id, person)} has no faces{into}")
        return person

    def _known_face(self, txn: Transaction, face_id: int) -> int:
        """The face's person. Raises RequestError."""
        if txn.faces.get(face_id) is None:
            raise RequestError(
                f"there is no face {face_id}: `face-organizer explain IMAGE` tells the faces of an image"
            )
        return int(self._roster.person_of[face_id])

    def _faces(self, person_id: int) -> list[int]:
        return np.flatnonzero(self._roster.person_of == person_id).tolist()

    def _as_they_are(self, person_id: int) -> dict[int, int]:
        """All faces of a person, to stay with it: only their files have to move."""
        return dict.fromkeys(self._faces(person_id), person_id)


def _mark(txn: Transaction, decision_id: int, undone_by: int) -> None:
    """Mark a decision as undone (0: as standing), and along the chain of undos every second one the other way."""
    while (decision := txn.decisions.get(decision_id)) is not None:
        txn.decisions.put(decision_id, replace(decision, undone_by=undone_by))
        decision_id, undone_by = decision.undoes, 0 if undone_by else decision_id


def _called(person_id: int, person: PersonRecord) -> str:
    return f"{person.name} (person {person_id})"


def _are(face_ids: Sequence[int]) -> str:
    return "are" if len(face_ids) > 1 else "is"


def _faces_in_words(face_ids: Sequence[int]) -> str:
    shown = ", ".join(map(str, face_ids[:5])) + (" ..." if len(face_ids) > 5 else "")
    return f"face{'s' if len(face_ids) > 1 else ''} {shown}"
