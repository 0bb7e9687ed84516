"""Images without a face (and files that are none) that somebody laid into a folder: there they stay, and follow it.

Room:    pipeline (moves)
Imports: records, ports, book, change

Nothing is said of a person by that, so it is no decision; where a person's folder gets another name, they go along.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np

from face_organizer.pipeline.book import want_elsewhere
from face_organizer.pipeline.change import pack_ids, unpack_ids
from face_organizer.ports import Transaction
from face_organizer.records import ChangeRecord

KEPT = "kept"
"""The note that says which files have a kept_in: few of very many. Some of them may have none any more."""


def note_kept(txn: Transaction, file_ids: AbstractSet[int]) -> None:
    if file_ids:
        known = unpack_ids(txn.note(KEPT))
        txn.put_note(KEPT, pack_ids(np.union1d(known, np.fromiter(file_ids, np.int64))))


def let_follow(txn: Transaction, change: ChangeRecord) -> None:
    """A change gives persons other folders. Of one who becomes another, what was laid there stays there."""
    goes = {
        os.fsencode(each.before.folder): os.fsencode(each.after.folder)
        for each in change.persons
        if each.before is not None
        and each.before.folder != each.after.folder
        and each.person_id not in change.merged
        and not each.before.merged_into
    }
    _lay(txn, goes)


def let_go(txn: Transaction, folders: Iterable[str]) -> list[int]:
    """What is kept in these folders is so no more; returns those files."""
    return _lay(txn, dict.fromkeys(map(os.fsencode, folders)))


def _lay(txn: Transaction, goes: Mapping[bytes, bytes | None]) -> list[int]:
    """Keep what is kept in one folder in another, or (None) nowhere."""
    moved = []
    for file_id in unpack_ids(txn.note(KEPT)).tolist() if goes else ():
        file = txn.files.get(file_id)
        if file is None or not goes.keys() & set(file.kept_in):
            continue
        want_elsewhere(txn, file_id, file.wished)
        file = txn.files.get(file_id)
        assert file is not None, file_id
        kept = [goes.get(folder, folder) for folder in file.kept_in]
        txn.files.put(file_id, replace(file, kept_in=tuple(dict.fromkeys(filter(None, kept)))))
        moved.append(file_id)
    return moved
