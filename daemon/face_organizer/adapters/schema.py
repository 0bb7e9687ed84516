"""The shape of the truth through the versions: what a store is for, and how an older one becomes today's.

Room:    adapters (touches the LMDB environment)
Imports: errors, disk, private, lmdb

A migration is one transaction, and before it the whole store is copied: a crash at any moment leaves the old store, or
the new one, and the copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lmdb

from face_organizer.adapters.disk import flush, free_bytes
from face_organizer.adapters.private import keep_private, make_private_folder
from face_organizer.errors import StoreError

SCHEMA = 4
META = b"meta"
DATA = "data.mdb"
ROOM_FACTOR = 1.1
"""The copy is smaller than the store; a little more than the store's own size must be free."""


def _adds_tables_only(txn: lmdb.Transaction[bytes]) -> None:
    """Tables are made when they are first opened: nothing to convert."""


MIGRATIONS: Mapping[int, Callable[[lmdb.Transaction[bytes]], None]] = {
    1: _adds_tables_only,  # decisions, changes, former
    2: _adds_tables_only,  # forgotten; an older program would take in again what was forgotten
    3: _adds_tables_only,  # models and a second set of faces; an older program would read the set that is not in use
}
"""{from: what turns it into the next}. tests/data holds a store of each that was made by the program of its time."""


def backup_of(folder: Path, schema: int) -> Path:
    """Where the copy of a store of an older schema lies."""
    return folder.with_name(f"{folder.name}-schema-{schema}-backup")


def backups_of(folder: Path) -> list[Path]:
    """Every copy of older schemas, also one that a crash left half done."""
    return sorted(folder.parent.glob(f"*{folder.name}-schema-*-backup*"))


def agree(
    env: lmdb.Environment,
    folder: Path,
    fingerprint: str,
    dimension: int,
    *,
    any_model: bool = False,
    unwritable: str = "",
) -> tuple[str, int, Path | None]:
    """Write what a new store is for, or check that an old one is for the same, and bring it up to date. any_model: it
    may be for another if it tells which. unwritable: why that cannot be. Returns (fingerprint, dimension, the copy of
    the old one if there was something to do). Raises StoreError."""
    meta = env.open_db(META, create=not unwritable)
    with env.begin(db=meta, write=not unwritable) as txn:
        if txn.get(b"schema") is None:
            if not fingerprint or unwritable:
                raise StoreError(f"{folder} holds no store yet: run `face-organizer run` first")
            txn.put(b"schema", str(SCHEMA).encode())
            txn.put(b"fingerprint", fingerprint.encode())
            txn.put(b"dimension", str(dimension).encode())
        schema = int(txn.get(b"schema", b"0"))
        known, known_dimension = txn.get(b"fingerprint", b"").decode(), int(txn.get(b"dimension", b"0"))
    if schema > SCHEMA:
        raise StoreError(
            f"the store {folder} was made by a newer Face Organizer (schema {schema}, this knows {SCHEMA})"
        )
    if schema < SCHEMA and unwritable:
        raise StoreError(
            f"the store {folder} is of an older version (schema {schema}, this is {SCHEMA}), and cannot be brought up"
            f" to date here: {unwritable}. Copy the library to where it can be written, and ask the copy; or ask with"
            " the version that it is of"
        )
    if fingerprint and known != fingerprint and not (any_model and _tells_its_model(env)):
        raise StoreError(
            f"the store {folder} holds embeddings of the model {known}, not of {fingerprint}: they cannot be compared; "
            f"`face-organizer reembed --pack PACK` moves a library to another model; or choose the old one (faces.pack)"
        )
    return known, known_dimension, migrate(env, folder, schema) if schema < SCHEMA else None


def _tells_its_model(env: lmdb.Environment) -> bool:
    """Is it written down which model pack it goes by?"""
    try:
        models = env.open_db(b"models", create=False)
    except lmdb.NotFoundError:
        return False
    with env.begin() as txn:
        return int(txn.stat(models)["entries"]) > 0


def migrate(env: lmdb.Environment, folder: Path, schema: int) -> Path:
    """Turn a store of an older schema into today's, after a copy; returns where that lies.

    Raises StoreError: an unknown schema, no room for the copy. Then, and after a crash, the store is as it was.
    """
    steps = range(schema, SCHEMA)
    if unknown := [step for step in steps if step not in MIGRATIONS]:
        raise StoreError(f"the store {folder} has the schema {unknown[0]}, which no version ever had: is it damaged?")
    backup = _copy(env, folder, schema)
    meta = env.open_db(META)
    with env.begin(write=True) as txn:
        _raise_schema(txn, meta, steps)
    return backup


def _raise_schema(txn: lmdb.Transaction[bytes], meta: Any, steps: range) -> None:
    for step in steps:
        MIGRATIONS[step](txn)
    txn.put(b"schema", str(SCHEMA).encode(), db=meta)


def _copy(env: lmdb.Environment, folder: Path, schema: int) -> Path:
    """A durable copy beside the store, whole or not at all. An earlier one, of a migration that was cut, gives way."""
    size_bytes = int((env.info()["last_pgno"] + 1) * env.stat()["psize"] * ROOM_FACTOR)
    free = free_bytes(folder)
    if free is not None and free < size_bytes:
        raise StoreError(
            f"the store {folder} is of an older version and is copied before it is changed: that needs"
            f" {size_bytes >> 20} MB, and {free >> 20} MB are free; make room and start again"
        )
    backup = backup_of(folder, schema)
    staged = backup.with_name(f".{backup.name}.part")
    try:
        copy_compact(env, staged)
        shutil.rmtree(backup, ignore_errors=True)
        staged.rename(backup)
        flush(backup.parent)
    except (OSError, lmdb.Error) as error:
        shutil.rmtree(staged, ignore_errors=True)
        raise StoreError(f"cannot copy the store {folder} before changing it: {error}") from error
    return backup


def copy_compact(env: lmdb.Environment, folder: Path) -> None:
    """A durable copy in a new folder, of what is in use and nothing else: LMDB leaves out free pages, and of the others
    what no record lies in (mdb.c, mdb_page_copy). Raises OSError, lmdb.Error."""
    shutil.rmtree(folder, ignore_errors=True)
    make_private_folder(folder)
    env.copy(str(folder), compact=True)
    keep_private(folder)
    for path in (folder / DATA, folder):
        flush(path)
