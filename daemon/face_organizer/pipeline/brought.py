"""Files that people laid into somebody's folder themselves, taken in, and not yet decided whom they show.

Room:    pipeline (moves)
Imports: ports

Until then such a file stays where it lies, whatever its faces are taken for meanwhile. Kept as a note: between taking a
file in and deciding, the process may die.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from face_organizer.ports import Transaction

NOTE = "brought"


def brought(txn: Transaction) -> dict[int, str]:
    """file id -> the folder it was laid in."""
    lines = (line.partition(b"\t") for line in txn.note(NOTE).splitlines())
    return {int(file_id): os.fsdecode(folder.replace(b"\0", b"\n")) for file_id, _, folder in lines}


def is_brought(txn: Transaction, file_id: int) -> bool:
    """Cheap: it is asked of every file that is to move."""
    note = txn.note(NOTE)
    return bool(note) and b"\n%d\t" % file_id in b"\n" + note


def add_brought(txn: Transaction, file_id: int, folder: str) -> None:
    _put(txn, brought(txn) | {file_id: folder})


def drop_brought(txn: Transaction, file_ids: Iterable[int]) -> None:
    """It was decided whom these show."""
    known, gone = brought(txn), set(file_ids)
    if gone & known.keys():
        _put(txn, {file_id: folder for file_id, folder in known.items() if file_id not in gone})


def _put(txn: Transaction, known: Mapping[int, str]) -> None:
    lines = (b"%d\t%s\n" % (id_, os.fsencode(folder).replace(b"\n", b"\0")) for id_, folder in known.items())
    txn.put_note(NOTE, b"".join(lines))
