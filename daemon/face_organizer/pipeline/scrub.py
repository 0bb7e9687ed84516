"""Takes a person out of what was written down: records of decisions, runs, changes, files.

Room:    pipeline (moves)
Imports: records, ports, book, change

What is said of others stays, and can be taken back as before. What was said of the person, or leads to one of the
faces, is no longer there to be done or undone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from face_organizer.pipeline.book import living_person
from face_organizer.pipeline.change import pack_ids, unpack_ids
from face_organizer.ports import Transaction
from face_organizer.records import ChangeRecord, DecisionRecord, FileRecord, PersonChange, PersonRecord, RunRecord

FORGET, FORGOTTEN = "forget", "forgotten"
"""The kinds of the decision to forget somebody, and of one that spoke of somebody forgotten. Neither can be undone."""

SOMEBODY = "somebody who was forgotten"


@dataclass(frozen=True)
class Gone:
    """Who is to be forgotten. persons: the one, and those that were merged into it. names: all that they were ever
    called by a human, folded. folders: theirs, of any time. faces: what belongs to them now."""

    persons: AbstractSet[int]
    names: AbstractSet[str]
    folders: AbstractSet[str]
    faces: AbstractSet[int]

    def is_in(self, text: str) -> bool:
        """Does a text name one of them, in words of its own?"""
        return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text.casefold()) for name in self.names)

    def lies_with(self, place: bytes) -> bool:
        return os.fsdecode(place.partition(b"/")[0]) in self.folders


def gone_with(txn: Transaction, person_id: int, face_ids: Iterable[int]) -> Gone:
    """Everything that leads to a person."""
    persons = {person_id} | {id_ for id_, _ in txn.persons.items() if living_person(txn, id_) == person_id}
    records = [record for id_ in persons if (record := txn.persons.get(id_)) is not None]
    changed = [each for _, change in txn.changes.items() for each in change.persons if each.person_id in persons]
    records += [record for each in changed for record in (each.before, each.after) if record is not None]
    living = {record.folder for id_, record in txn.persons.items() if id_ not in persons}
    named = {text.casefold() for record in records if record.named for text in (record.name, record.folder)}
    return Gone(persons, named, {record.folder for record in records} - living, frozenset(face_ids))


def scrub(txn: Transaction, gone: Gone) -> None:
    """Take them out of decisions, runs, changes and what changes found. Faces, images and persons are not touched."""
    concerned = {change_id for change_id, change in txn.changes.items() if _concerns(change, gone)}
    for id_, decision in list(txn.decisions.items()):
        txn.decisions.put(id_, _decision(decision, gone, decision.change_id in concerned))
    for id_, run in list(txn.runs.items()):
        txn.runs.put(id_, _run(run, gone))
    for id_, change in list(txn.changes.items()):
        txn.changes.put(id_, _change(txn, change, gone))
    for change_id, face_id, former in list(txn.formers()):
        if face_id in gone.faces or former.assignment.person_id in gone.persons:
            txn.delete_former(change_id, face_id)
        elif any(gone.lies_with(place) for _, places in former.places for place in places):
            places = tuple((id_, _elsewhere(places, gone)) for id_, places in former.places)
            txn.put_former(change_id, face_id, replace(former, places=places))


def scrub_beside(txn: Transaction, gone: Gone, image_ids: AbstractSet[int]) -> None:
    """Take them out of what is held of another model. Of their images nothing is left there that only it found: that
    may be the same face, seen a little elsewhere."""
    slot = 1 - txn.slot
    model = txn.models.get(slot)
    if model is None:
        return
    beside = txn.beside()
    table, known = beside.face_table(), txn.face_ids()
    new = np.isin(table.image_of, np.fromiter(image_ids, np.int64)) & ~np.isin(table.face_ids, known)
    taken = sorted(gone.faces | set(table.face_ids[new].tolist()))
    for face_id in taken:
        beside.faces.delete(face_id)
    beside.delete_vectors(taken)
    comparison = _run(model.comparison, gone) if model.comparison is not None else None
    waits = SOMEBODY if gone.is_in(model.waits) else model.waits
    txn.models.put(slot, replace(model, comparison=comparison, waits=waits))


def file_without(file: FileRecord, gone: Gone) -> FileRecord:
    """A file that shows others too, without the wish to lie with them. Where it lies now, disk has yet to change."""
    return replace(file, wished=_elsewhere(file.wished, gone))


def _concerns(change: ChangeRecord, gone: Gone) -> bool:
    persons = {each.person_id for each in change.persons} | set(change.merged) | set(change.merged.values())
    return bool(persons & gone.persons) or not _kept(change, gone).all()


def _kept(change: ChangeRecord, gone: Gone) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    ids, before, after = (unpack_ids(column) for column in (change.face_ids, change.before, change.after))
    persons = np.fromiter(gone.persons, np.int64)
    lost = np.isin(ids, np.fromiter(gone.faces, np.int64)) | np.isin(before, persons) | np.isin(after, persons)
    return np.asarray(~lost)


def _decision(decision: DecisionRecord, gone: Gone, is_concerned: bool) -> DecisionRecord:
    verdicts = tuple(
        replace(verdict, face_ids=tuple(face_id for face_id in verdict.face_ids if face_id not in gone.faces))
        for verdict in decision.verdicts
        if verdict.person_id not in gone.persons
    )
    is_concerned = is_concerned or verdicts != decision.verdicts
    if not is_concerned and not gone.is_in(decision.says):
        return decision
    verdicts = tuple(verdict for verdict in verdicts if verdict.face_ids)
    kind = FORGOTTEN if is_concerned and not verdicts else decision.kind
    return replace(decision, kind=kind, says=f"about {SOMEBODY}", verdicts=verdicts)


def _run(run: RunRecord, gone: Gone) -> RunRecord:
    moves = tuple(
        replace(move, examples=tuple(face_id for face_id in move.examples if face_id not in gone.faces))
        for move in run.moves
        if not {move.before, move.after} & gone.persons
    )
    splits = tuple(person_id for person_id in run.splits if person_id not in gone.persons)
    return replace(run, moves=moves, splits=splits, waits=SOMEBODY if gone.is_in(run.waits) else run.waits)


def _change(txn: Transaction, change: ChangeRecord, gone: Gone) -> ChangeRecord:
    kept = _kept(change, gone)
    ids, before, after = (
        pack_ids(unpack_ids(column)[kept]) for column in (change.face_ids, change.before, change.after)
    )
    merged = {old: new for old, new in change.merged.items() if not {old, new} & gone.persons}
    persons = tuple(_persons(txn, change.persons, gone))
    trashed = tuple(face_id for face_id in change.trashed if face_id not in gone.faces)
    return replace(change, face_ids=ids, before=before, after=after, merged=merged, persons=persons, trashed=trashed)


def _persons(txn: Transaction, persons: Iterable[PersonChange], gone: Gone) -> Iterator[PersonChange]:
    """Others who once had one of their names have their own in its place."""
    for each in persons:
        if each.person_id in gone.persons:
            continue
        now = txn.persons.get(each.person_id) or each.after

        def clean(record: PersonRecord, now: PersonRecord = now) -> PersonRecord:
            if record.merged_into in gone.persons:
                record = replace(record, merged_into=0)
            is_theirs = record.folder in gone.folders or record.name.casefold() in gone.names
            return replace(record, name=now.name, folder=now.folder, named=now.named) if is_theirs else record

        yield replace(each, before=clean(each.before) if each.before else None, after=clean(each.after))


def _elsewhere(places: tuple[bytes, ...], gone: Gone) -> tuple[bytes, ...]:
    return tuple(place for place in places if not gone.lies_with(place))
