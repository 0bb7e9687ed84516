"""Changes as they are written down: packed, found again, and what a human touched since.

Room:    pipeline (moves)
Imports: types, records, ports, book
"""

from __future__ import annotations

import numpy as np

from face_organizer.pipeline.book import living_person
from face_organizer.ports import Transaction
from face_organizer.records import ChangeRecord, PersonRecord
from face_organizer.types import NOBODY, Int64

LAYING_BACK = "laying_back"
"""The note that says which changes were taken back, but their files do not lie under just the names they had yet."""


def write_down(txn: Transaction, change: ChangeRecord) -> int:
    """Keep a change, to be begun now or later; returns its id."""
    change_id = txn.new_id("changes")
    txn.changes.put(change_id, change)
    return change_id


def laying_back(txn: Transaction) -> list[int]:
    """The changes whose files are still on their way back to the names they had."""
    return [int(change_id) for change_id in unpack_ids(txn.note(LAYING_BACK))]


def put_laying_back(txn: Transaction, change_ids: list[int]) -> None:
    txn.put_note(LAYING_BACK, pack_ids(np.array(change_ids, np.int64)))


def touched_since(txn: Transaction, decision_id: int) -> frozenset[int]:
    """The persons that decisions after this one speak of, take faces from or give faces to."""
    touched: set[int] = set()
    for _, decision in txn.decisions.items(decision_id + 1):
        touched |= {verdict.person_id for verdict in decision.verdicts}
        if (change := txn.changes.get(decision.change_id)) is not None:
            touched |= (
                {person.person_id for person in change.persons} | set(change.merged) | set(change.merged.values())
            )
            touched |= set(np.unique(np.concatenate([unpack_ids(change.before), unpack_ids(change.after)])).tolist())
    return frozenset(touched | {living_person(txn, person_id) for person_id in touched}) - {int(NOBODY)}


def moving_persons(change: ChangeRecord) -> dict[int, PersonRecord]:
    """The persons to whom a change gives another folder, as they were."""
    return {
        each.person_id: each.before
        for each in change.persons
        if each.before is not None
        and (each.before.folder, each.before.hidden) != (each.after.folder, each.after.hidden)
    }


def images_gone(txn: Transaction, change: ChangeRecord) -> int:
    """Of how many images that a change speaks of, no file is left."""
    faces = (txn.faces.get(face_id) for face_id in unpack_ids(change.face_ids).tolist())
    images = (txn.images.get(image_id) for image_id in {face.image_id for face in faces if face})
    files = ([txn.files.get(file_id) for file_id in image.file_ids] for image in images if image)
    return sum(all(file is None or file.missing for file in some) for some in files)


def pack_ids(ids: Int64) -> bytes:
    return ids.astype("<i8").tobytes()


def unpack_ids(packed: bytes) -> Int64:
    return np.frombuffer(packed, "<i8")
