"""Opens a library: to fill it, or as it was left. One process at a time.

Room:    app (wires)
Imports: adapters, pipeline, parts, app, names
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from face_organizer.adapters.file_systems import refuse_shared
from face_organizer.adapters.lock import LibraryLock
from face_organizer.adapters.private import keep_private
from face_organizer.adapters.store import LmdbStore, open_store
from face_organizer.app import Organizer
from face_organizer.config import Config, People, check_folders
from face_organizer.errors import NoRoomError, StoreError
from face_organizer.parts import PEOPLE, make_folder, pack_of, state_folder
from face_organizer.pipeline.engine import Engine
from face_organizer.pipeline.pulse import Pulses
from face_organizer.ports import Log
from face_organizer.types import STATE_FOLDER

SETTINGS = "settings"


def open_organizer(
    config: Config,
    log: Log,
    pulses: Pulses | None = None,
    neighbours: Callable[[], Sequence[str]] = tuple,
    engine: Engine | None = None,
) -> Organizer:
    """A library to fill, made if it is not there. pulses, neighbours, engine: see Organizer.

    Raises AlreadyRunningError, StoreError, ConfigError, and NoRoomError where a new one finds a full disk; one that is
    there opens all the same.
    """
    check_folders(config)
    refuse_shared(config.state_path)
    pack = pack_of(config.faces)
    make_folder(config.library_path, "library")
    state = state_folder(config)
    lock = LibraryLock(state)
    try:
        keep_private(state)
        if make_folder(config.inbox_path, "inbox"):
            log.warning("inbox_made", inbox=str(config.inbox_path))  # nobody has said so: it may be a slip of the pen
        lock.hold_inbox(config.inbox_path, shared=config.placement != "move")
        store = open_store(state / "truth", pack.fingerprint, pack.dimension)
        config = msgspec.structs.replace(config, faces=msgspec.structs.replace(config.faces, pack=pack.address))
        _tell_of_backup(store, log)
        return _with_store(store, lambda: _remembering(store, config, log, lock, pulses, neighbours, engine))
    except BaseException:
        lock.release()
        raise


def open_existing(library: Path, log: Log) -> Organizer:
    """A library as its last `run` was configured. Raises AlreadyRunningError, StoreError, ConfigError."""
    state = library / STATE_FOLDER
    if not (state / "truth").is_dir():
        raise StoreError(
            f"{library} is not a library yet: start with `face-organizer run --inbox DIR --library {library}`"
        )
    refuse_shared(state)
    lock = LibraryLock(state)
    try:
        store = open_store(state / "truth", "", 0)
        _tell_of_backup(store, log)
        return _with_store(store, lambda: Organizer(_remembered(store, library), log, lock, store))
    except BaseException:
        lock.release()
        raise


def _tell_of_backup(store: LmdbStore, log: Log) -> None:
    if store.backup is not None:
        log.warning("store_migrated", copy_of_the_old=str(store.backup))


def _remembering(
    store: LmdbStore,
    config: Config,
    log: Log,
    lock: LibraryLock,
    pulses: Pulses | None,
    neighbours: Callable[[], Sequence[str]],
    engine: Engine | None,
) -> Organizer:
    """Open it with the number of people it has had so far, unless another is asked for; and note the configuration, for
    that and for commands that come while no daemon runs, from wherever."""
    before = _people_before(store)
    config = msgspec.structs.replace(config, people=config.people or before or PEOPLE)
    if before not in (None, config.people):
        log.warning("people_changed", before=before, people=config.people)
    absolute = msgspec.structs.replace(config, inbox=str(config.inbox_path), library=str(config.library_path))
    try:
        with store.write() as txn:
            txn.put_note(SETTINGS, msgspec.json.encode(absolute))
    except NoRoomError as error:  # commands without a daemon go by the settings of the start before
        log.warning("settings_not_noted", problem=str(error))
    return Organizer(config, log, lock, store, pulses, neighbours, engine)


def _people_before(store: LmdbStore) -> People | None:
    """What the start before went by; None at the first, or where that cannot be told."""
    with store.read() as txn:
        noted = txn.note(SETTINGS)
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(noted, type=Config).people
    return None


def _remembered(store: LmdbStore, library: Path) -> Config:
    with store.read() as txn:
        noted = txn.note(SETTINGS)
    try:
        config = msgspec.json.decode(noted, type=Config)
    except msgspec.DecodeError as error:  # ValidationError is one
        raise StoreError(
            f"the settings noted in {library} cannot be read ({error}): start `face-organizer run` on it once"
        ) from error
    return msgspec.structs.replace(config, library=str(library), state_dir="")


def _with_store(store: LmdbStore, make: Callable[[], Organizer]) -> Organizer:
    try:
        return make()
    except BaseException:
        store.close()
        raise
