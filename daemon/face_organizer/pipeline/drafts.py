"""Decisions in the making: what each kind says, of whom, and where faces go. Nothing is changed here.

Room:    pipeline (moves)
Imports: types, records, errors, ports, identity, book, review, roster

In the gallery's thread, within the transaction that the decision will be made in. Each raises RequestError with the way
out. Several drafts can become one decision: what somebody did in the folders in one go (by_hand.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from face_organizer.errors import RequestError
from face_organizer.identity.assign import nearest
from face_organizer.identity.constraints import allowed
from face_organizer.identity.placement import folded, plain_name, safe_folder_name
from face_organizer.pipeline.book import Book, Called
from face_organizer.pipeline.review import APART
from face_organizer.pipeline.roster import Roster
from face_organizer.ports import Transaction
from face_organizer.records import UNBORN, FileRecord, PersonChange, PersonRecord, Verdict
from face_organizer.types import NOBODY


@dataclass
class Draft:
    """A decision in the making: what it says, of whom, and where faces go (face -> person, maybe one yet unborn).
    born_as: what those who are born are called. files: as somebody laid them, written down with it. again: files that
    have to be placed anew, whatever becomes of faces. kept: files that stay where somebody laid them. trashed: faces
    that become nobody's because their image was thrown away. Without a kind nothing is decided."""

    kind: str
    says: str
    verdicts: list[Verdict] = field(default_factory=list)
    goes: dict[int, int] = field(default_factory=dict)
    persons: list[PersonChange] = field(default_factory=list)
    merged: dict[int, int] = field(default_factory=dict)
    born_as: dict[int, Called] = field(default_factory=dict)
    files: dict[int, FileRecord] = field(default_factory=dict)
    again: set[int] = field(default_factory=set)
    kept: set[int] = field(default_factory=set)
    trashed: set[int] = field(default_factory=set)


class Drafts:
    """See the module's text."""

    def __init__(self, roster: Roster, book: Book) -> None:
        self._roster, self._book = roster, book

    def name(self, txn: Transaction, person_id: int, called: Called, confirming: Iterable[int] = ()) -> Draft:
        """A person's name. confirming: faces that are this person for sure, unless somebody has said otherwise since
        they were chosen."""
        person = self._living(txn, person_id)
        confirming = [face_id for face_id in confirming if int(self._roster.person_of[face_id]) == person_id]
        self._is_free(txn, called.name, person_id)
        after = self._book.called(txn, person_id, person, called)
        return Draft(
            "name",
            f"{_called(person_id, person)} is {after.name}"
            + (f"; the folder is {after.folder}" if after.folder != after.name else ""),
            [Verdict(tuple(confirming), person_id)],
            self._as_they_are(person_id),
            [PersonChange(person_id, person, after)],
        )

    def _is_free(self, txn: Transaction, name: str, person_id: int) -> None:
        """Raises RequestError where another person has the name."""
        for other, each in txn.persons.items():
            if other != person_id and other in self._roster.faces_of and folded(each.name) == folded(name):
                way_out = f"merge {person_id} into {other}" if person_id else f"assign the face to {other}"
                raise RequestError(f"person {other} is called {each.name!r} already: if they are one, {way_out}")

    def merge(self, txn: Transaction, from_id: int, into_id: int, *, together: bool = False) -> Draft:
        """The two are one person. together: even if both are in one image."""
        gone, stays = self._living(txn, from_id), self._living(txn, into_id)
        if from_id == into_id:
            raise RequestError(f"{_called(from_id, gone)} cannot be merged with itself")
        theirs, ours = self._faces(from_id), self._faces(into_id)
        both = set(self._roster.image_of[theirs].tolist()) & set(self._roster.image_of[ours].tolist())
        if both and not together and self._book.rules.one_face_per_image:
            raise RequestError(
                f"{_called(from_id, gone)} and {_called(into_id, stays)} are together in"
                f" {len(both)} image{'' if len(both) == 1 else 's'}, so"
                " they are two people; if those are mirrors or collages, say --together"
            )
        persons = []
        if gone.named and not stays.named:  # a name is not lost because it was on the smaller one
            persons.append(PersonChange(into_id, stays, replace(stays, name=gone.name, folder=gone.folder, named=True)))
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

    def apart(self, txn: Transaction, one: tuple[int, Sequence[int]], other: tuple[int, Sequence[int]]) -> Draft:
        """Two persons are not one. Each: a person, and faces that are this person for sure."""
        if one[0] == other[0]:
            raise RequestError(f"{_called(one[0], self._living(txn, one[0]))} cannot be told from itself")
        first, second = (_called(each, self._living(txn, each)) for each, _ in (one, other))
        verdicts = [Verdict(tuple(face_ids), person_id) for person_id, face_ids in (one, other)]
        goes = {face_id: person_id for person_id, face_ids in (one, other) for face_id in face_ids}
        return Draft(APART, f"{first} is not the same person as {second}", verdicts, goes)

    def split(self, txn: Transaction, person_id: int, parts: Sequence[Sequence[int]]) -> Draft:
        """The person is several: the first part stays, each other part is a new person."""
        person = self._living(txn, person_id)
        mine = set(self._faces(person_id))
        kept, *leaving = [[face_id for face_id in part if face_id in mine] for part in parts]
        leaving = [part for part in leaving if part]
        if not leaving:
            raise RequestError(f"{_called(person_id, person)} changed meanwhile: try again")
        made = Draft("split", f"{_called(person_id, person)} is several: {len(leaving) + 1} persons")
        made.verdicts.append(Verdict(tuple(kept), person_id))
        for number, part in enumerate(leaving):
            made.verdicts.append(Verdict(tuple(part), UNBORN + number))
            made.goes |= dict.fromkeys(part, UNBORN + number)
        return made

    def reject(self, txn: Transaction, face_ids: Sequence[int], *, to_nobody: bool = False) -> Draft:
        """Not the person they are with. to_nobody: and of all others, too, a human saw none that it is."""
        made = Draft("reject", "")
        told: dict[int, int] = {}
        for face_id in face_ids:
            person_id = self._known_face(txn, face_id)
            if person_id == NOBODY:
                raise RequestError(f"face {face_id} belongs to nobody: there is nothing to reject")
            made.verdicts.append(Verdict((face_id,), person_id, is_person=False))
            made.goes[face_id] = NOBODY if to_nobody else self._next_best(txn, face_id, made.goes)
            told[person_id] = told.get(person_id, 0) + 1
        made.says = "; ".join(
            f"{count} face{'s are' if count > 1 else ' is'} not {_called(person_id, self._living(txn, person_id))}"
            for person_id, count in told.items()
        )
        return made

    def assign(self, txn: Transaction, face_ids: Sequence[int], person_id: int) -> Draft:
        """These faces are this person."""
        person = self._living(txn, person_id)
        goes = self._displaced(txn, face_ids, person_id) | dict.fromkeys(face_ids, person_id)
        says = f"{_faces_in_words(face_ids)} {_are(face_ids)} {_called(person_id, person)}"
        return Draft("assign", says, [Verdict(tuple(face_ids), person_id)], goes)

    def hide(self, txn: Transaction, person_id: int, *, hidden: bool) -> Draft:
        """A person without a folder, or with one again."""
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

    def found(self, txn: Transaction, face_ids: Sequence[int], called: Called, unborn: int = UNBORN) -> Draft:
        """A new person with this name, who these faces are. unborn: the id until there is one."""
        self._is_free(txn, called.name, NOBODY)
        safe_folder_name(called.name)  # raises where it cannot be one
        says = f"{_faces_in_words(face_ids)} {_are(face_ids)} {plain_name(called.name)}, who is new"
        made = Draft("assign", says, [Verdict(tuple(face_ids), unborn)], born_as={unborn: called})
        made.goes = self._displaced(txn, face_ids, unborn) | dict.fromkeys(face_ids, unborn)
        return made

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


def _called(person_id: int, person: PersonRecord) -> str:
    return f"{person.name} (person {person_id})"


def _are(face_ids: Sequence[int]) -> str:
    return "are" if len(face_ids) > 1 else "is"


def _faces_in_words(face_ids: Sequence[int]) -> str:
    shown = ", ".join(map(str, face_ids[:5])) + (" ..." if len(face_ids) > 5 else "")
    return f"face{'s' if len(face_ids) > 1 else ''} {shown}"
