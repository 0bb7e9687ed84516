"""The book of who is whose: gives a face to a person, makes persons, finds their folders.

Room:    pipeline (moves)
Owns:    what assignments and persons say in the truth, with changes.py and plan.py; forget.py deletes them
Imports: types, records, ports, identity, brought, messages, roster

In the gallery's thread only (or before it starts).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count

from face_organizer.identity.constraints import Constraints, fold
from face_organizer.identity.placement import (
    desired_folders,
    normal,
    person_folder_name,
    plain_name,
    safe_folder_name,
)
from face_organizer.pipeline.brought import is_brought
from face_organizer.pipeline.messages import Rules
from face_organizer.pipeline.roster import Roster
from face_organizer.ports import Store, Transaction
from face_organizer.records import AssignmentRecord, FileRecord, ImageRecord, PersonChange, PersonRecord
from face_organizer.types import NOBODY, QUARANTINE, TRASHED, Assignment, Float32, PersonId


@dataclass(frozen=True, slots=True)
class Called:
    """A human's name for a person. stands: there is a folder of just this name, and it is the one that is meant."""

    name: str
    stands: bool = False


NOBODY_MOVES: Mapping[int, PersonRecord] = {}


class Book:
    """See the module's text. is_taken(folder): a new person must not move in there."""

    def __init__(
        self,
        store: Store,
        roster: Roster,
        rules: Rules,
        is_taken: Callable[[str], bool] = lambda folder: False,
    ) -> None:
        self._store, self._roster, self._is_taken = store, roster, is_taken
        self.rules = rules
        self.constraints = Constraints()
        with store.read() as txn:
            self.learn(txn)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that the roster and the constraints follow: where it is undone, so are they.

        Raises NoRoomError, StoreError.
        """
        constraints = self.constraints
        try:
            with self._roster.follows(), self._store.write() as txn:
                yield txn
        except BaseException:
            self.constraints = constraints
            raise

    def learn(self, txn: Transaction) -> None:
        """Fold the decisions anew."""
        self.constraints = constraints_of(txn)

    def learn_of_run(self, txn: Transaction, persons: Iterable[PersonChange]) -> None:
        """After a run, which decides nothing: fold anew only where somebody of whom humans spoke was taken over, or is
        himself again. Of half a million confirmed faces that takes .15 s, in which nothing is enrolled."""
        led = [(each.before.merged_into if each.before else 0, each) for each in persons]
        taken_over = {each.person_id for was, each in led if each.after.merged_into != was}
        if any(was for was, each in led if each.after.merged_into != was) or self.constraints.speaks_of(taken_over):
            self.learn(txn)

    # one face, one person

    def new_person(
        self, txn: Transaction, run_id: int, leaving: AbstractSet[int] = frozenset(), called: Called | None = None
    ) -> PersonId:
        """leaving: persons that are about to lose their last face, and with it their folder. called: by a
        human."""
        person_id = PersonId(txn.new_id("persons"))
        given, freed = frozenset[str](), frozenset[str]()
        if self.rules.people not in ("auto", "elbow"):  # few persons, who have letters
            everybody = dict(txn.persons.items())
            stays = {id_ for id_ in everybody if id_ in self._roster.faces_of or not everybody[id_].retired} - leaving
            given = frozenset(everybody[id_].folder.casefold() for id_ in stays)
            freed = frozenset(person.folder for person in everybody.values()) - given
        folder = person_folder_name(person_id, self.rules.people, given)
        if folder not in freed:
            folder = self.free(folder, given)
        person = PersonRecord(name=folder, folder=folder, born_run=run_id)
        txn.persons.put(person_id, self.called(txn, person_id, person, called) if called is not None else person)
        return person_id

    def called(self, txn: Transaction, person_id: int, person: PersonRecord, called: Called) -> PersonRecord:
        """The person with a human's name, and with the folder for it: the name itself, or name~2, ... where another
        person has that. Raises RequestError for a name that cannot become a folder."""
        usual = safe_folder_name(called.name)
        its_own = person.folder == usual or re.fullmatch(re.escape(usual) + r"~\d+", person.folder) is not None
        if called.stands and normal(called.name) == usual:
            folder = called.name
        else:
            folder = person.folder if its_own else self._free_folder(txn, usual, person_id)
        return replace(person, name=plain_name(called.name), folder=folder, named=True)

    def _free_folder(self, txn: Transaction, usual: str, person_id: int) -> str:
        others = {
            person.folder.casefold()
            for other, person in txn.persons.items()
            if other != person_id and other in self._roster.faces_of
        }
        return self.free(usual, given=others)

    def free(self, usual: str, given: AbstractSet[str]) -> str:
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
            for file_id in self.files_of(txn, face_id):
                want_elsewhere(txn, file_id, were=were)
        self._roster.give(face_id, decision.person_id, vector)
        record = AssignmentRecord(
            decision.person_id, round(decision.similarity, 4), round(decision.margin, 4), decision.reason, run_id
        )
        txn.assignments.put(face_id, record)

    def files_of(self, txn: Transaction, face_id: int) -> tuple[int, ...]:
        image = txn.images.get(int(self._roster.image_of[face_id]))
        return image.file_ids if image is not None else ()


def want_elsewhere(
    txn: Transaction,
    file_id: int,
    wished: tuple[bytes, ...] = (),
    were: Mapping[int, PersonRecord] = NOBODY_MOVES,
) -> None:
    """Truth is about to want the file elsewhere. While it was pending, disk may have been brought to what truth wanted
    until now without our having heard of it; after a crash we must look there too. were: persons who just got another
    folder, as they were. Where somebody laid it himself it stays until it is decided whom it shows."""
    file = txn.files.get(file_id)
    if file is None or is_brought(txn, file_id):
        return
    places = file.places
    if txn.pending(1, file_id) == [file_id]:
        folders = (*wanted_folders(txn, file, were), *wanted_folders(txn, file))
        until_now = [os.fsencode(folder) + b"/" + file.name for folder in folders]
        places = tuple(dict.fromkeys([*places, *until_now]))
    if (places, wished) != (file.places, file.wished):
        txn.files.put(file_id, replace(file, places=places, wished=wished))
    txn.set_pending(file_id, True)


def wanted_folders(
    txn: Transaction, file: FileRecord, were: Mapping[int, PersonRecord] = NOBODY_MOVES
) -> tuple[str, ...]:
    """Where truth says a file should appear, as folders of the library. Hidden persons have none. were: persons to be
    taken as they were."""
    image = txn.images.get(file.image_id) if file.image_id else None
    if file.kept_in and (image is None or not image.face_ids):
        return tuple(os.fsdecode(folder) for folder in file.kept_in)
    if image is None:
        return (QUARANTINE,)
    folders: list[str] = []
    is_trashed = False
    for face_id in image.face_ids:
        assignment = txn.assignments.get(face_id)
        person_id = assignment.person_id if assignment else NOBODY
        is_trashed |= assignment is not None and assignment.reason == TRASHED
        person = were.get(person_id) or txn.persons.get(person_id)
        if person is not None and not person.hidden:
            folders.append(person.folder)
    return desired_folders(folders, has_faces=bool(image.face_ids), is_trashed=is_trashed)


def content_of(image: ImageRecord, file: FileRecord) -> bytes:
    """The digest of what one of an image's files holds."""
    return file.digest or image.digest


def person_with(txn: Transaction, face_id: int) -> PersonRecord | None:
    """Whose face it is; None for nobody's."""
    assignment = txn.assignments.get(face_id)
    return txn.persons.get(assignment.person_id) if assignment and assignment.person_id else None


def living_person(txn: Transaction, person_id: int) -> int:
    """The person itself, or whoever took it over."""
    seen = {person_id}
    while (person := txn.persons.get(person_id)) is not None and person.merged_into and person.merged_into not in seen:
        person_id = person.merged_into
        seen.add(person_id)
    return person_id


def constraints_of(txn: Transaction) -> Constraints:
    """What all decisions make together."""
    merged_into = {person_id: person.merged_into for person_id, person in txn.persons.items() if person.merged_into}
    return fold((decision for _, decision in txn.decisions.items()), merged_into)
