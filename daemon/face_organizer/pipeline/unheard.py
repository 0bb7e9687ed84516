"""Files that were gone from the folders in an accident, and are not all back: nothing is made of what they lack.

Room:    pipeline (moves)
Imports: records, ports, brought, change

Kept as a note: between the accident and the last file's return the process may die. It ends for each file when nothing
of it lacks any more, or when it is given up (look_again).
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet

import numpy as np

from face_organizer.pipeline.brought import brought
from face_organizer.pipeline.change import pack_ids, unpack_ids
from face_organizer.ports import Transaction
from face_organizer.records import FileRecord

NOTE = "unheard"


def unheard(txn: Transaction) -> frozenset[int]:
    """The ids of these files."""
    return frozenset(unpack_ids(txn.note(NOTE)).tolist())


def put_unheard(txn: Transaction, file_ids: AbstractSet[int]) -> None:
    """These are all of them now."""
    packed = pack_ids(np.array(sorted(file_ids), np.int64))
    if packed != txn.note(NOTE):
        txn.put_note(NOTE, packed)


def look_again(txn: Transaction, is_undecided: Callable[[int, FileRecord], bool]) -> None:
    """Have every file brought in line with truth, whatever happened to it: what went in an accident is given up. What
    people moved, of which nothing was made yet, lies still until that is done."""
    left = set(brought(txn))
    for file_id, file in list(txn.files.items()):
        if file.missing:
            continue
        if file_id not in left and is_undecided(file_id, file):
            left.add(file_id)
        if file_id not in left:
            txn.set_pending(file_id, True)
    put_unheard(txn, unheard(txn) & left)
