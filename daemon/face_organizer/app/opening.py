"""Opens a library: to fill it, or as it was left. One process at a time.

Room:    app (wires)
Imports: house, adapters, pipeline, parts, library_pack, moving, organizer, names
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec

from face_organizer.adapters.file_systems import refuse_shared, refuse_unmounted
from face_organizer.adapters.install import libraries_served
from face_organizer.adapters.lock import LibraryLock, refuse_held
from face_organizer.adapters.noted import note_library
from face_organizer.adapters.private import keep_private
from face_organizer.adapters.store import LmdbStore, note_in, open_store
from face_organizer.app.house import House
from face_organizer.app.library_pack import asked_pack, held_pack, library_pack
from face_organizer.app.moving import switch_if_due
from face_organizer.app.organizer import Organizer
from face_organizer.app.parts import (
    AUTO,
    make_folder,
    models_folder,
    state_folder,
    with_pack,
)
from face_organizer.config import (
    PEOPLE,
    PLACEMENT,
    STATE_FOLDER,
    Config,
    check_folders,
    going_on,
    plain_path,
    with_inbox_of,
)
from face_organizer.errors import NoRoomError, StoreError
from face_organizer.pipeline.engine import Engine
from face_organizer.pipeline.pulse import Pulses
from face_organizer.ports import Log
from face_organizer.records import ModelRecord

SETTINGS, MOUNTED = "settings", "mounted"
"""Notes: what the last start went by, and whether the library was a file system of its own then."""
T = TypeVar("T")


def open_organizer(
    config: Config,
    log: Log,
    pulses: Pulses | None = None,
    neighbours: Callable[[], Sequence[str]] = tuple,
    engine_of: Callable[[Config], Engine] | None = None,
) -> Organizer:
    """A library to fill, made if it is not there. pulses, neighbours, engine_of: see House.

    Raises AlreadyRunningError, StoreError, ConfigError, and NoRoomError where a new one finds a full disk; one that is
    there opens all the same.
    """
    check_folders(config)
    refuse_shared(config.state_path)
    pack = asked_pack(config)
    is_shared = not _as_before(config, _settings_in(config.state_path)).empties_inbox
    refuse_held(config.inbox_path, config.state_path, shared=is_shared)
    make_folder(config.library_path, "library")
    state = state_folder(config)
    lock = LibraryLock(state)
    try:
        keep_private(state)
        if make_folder(config.inbox_path, "inbox"):
            log.warning("inbox_made", inbox=str(config.inbox_path))  # nobody has said so: it may be a slip of the pen
        lock.hold_inbox(config.inbox_path, shared=is_shared)
        store = open_store(state / "truth", pack.fingerprint, pack.dimension, any_model=True)
        if config.faces.pack != AUTO:
            config = with_pack(config, pack.address)
        _tell_of_backup(store, log)
        store = _with_store(store, lambda: _switched(store, config, log, pulses))
        _with_store(store, lambda: _settle_pack(store, config))
        note_library(models_folder(config.faces), config.library_path, library_pack(config, store))
        return _with_store(
            store,
            lambda: Organizer(House(_remembering(store, config, log), log, lock, store, pulses, neighbours, engine_of)),
        )
    except BaseException:
        lock.release()
        raise


def open_existing(library: Path, log: Log) -> Organizer:
    """A library as its last `run` was configured; one that cannot be written to, to read only.

    Raises AlreadyRunningError, StoreError, ConfigError."""
    state = library / STATE_FOLDER
    if not _is_library(library):
        known = [f"{name} in {folder}" for name, folder in libraries_served().items()]
        raise StoreError(
            f"{library} is not a library yet: start with `face-organizer run --inbox DIR --library {library}`"
            + (f"; the service has {', '.join(known)}" if known else "")
        )
    refuse_shared(state)
    lock = LibraryLock(state, reading=True)
    try:
        store = open_store(state / "truth", "", 0, unwritable=lock.unwritable)
        _tell_of_backup(store, log)
        if not store.unwritable:
            store = _with_store(store, lambda: _switched(store, _remembered(store, library), log, None))
        return _with_store(store, lambda: Organizer(House(_remembered(store, library), log, lock, store)))
    except BaseException:
        lock.release()
        raise


def settings_noted(library: Path) -> Config | None:
    """What a library's last start went by, whoever owns it; None where that cannot be told."""
    return _settings_in(library / STATE_FOLDER)


def packs_held(library: Path, *, looking: bool = False) -> tuple[str, str]:
    """Of a library that no daemon serves: the pack it goes by, and the one beside it; "" where there is none.

    looking: nothing is changed, so one of an older schema cannot be asked. Raises AlreadyRunningError, StoreError.
    """
    state = library / STATE_FOLDER
    if not _is_library(library):
        return "", ""
    lock = LibraryLock(state, reading=True)
    try:
        why = lock.unwritable or ("it is only looked at" if looking else "")
        store = open_store(state / "truth", "", 0, unwritable=why)
        try:
            with store.read() as txn:
                models = [txn.models.get(slot) for slot in (txn.slot, 1 - txn.slot)]
        finally:
            store.close()
    finally:
        lock.release()
    in_use, beside = (model.pack if model is not None else "" for model in models)
    return in_use, beside


def _is_library(library: Path) -> bool:
    """Raises StoreError where it cannot be looked into."""
    state = library / STATE_FOLDER
    try:
        return (state / "truth").is_dir()
    except PermissionError as error:
        raise StoreError(
            f"{state} may be looked into by its owner only: give the command as the user whose daemon sorts there"
        ) from error


def _switched(store: LmdbStore, config: Config, log: Log, pulses: Pulses | None) -> LmdbStore:
    """The store, by the model that was decided on."""
    if not switch_if_due(store, config, log, pulses or Pulses()):
        return store
    store.close()
    return open_store(store.folder, "", 0)


def _settle_pack(store: LmdbStore, config: Config) -> None:
    """Note which pack the library goes by. Raises StoreError where the configuration, or this version, has another."""
    pack = library_pack(config, store) if config.faces.pack == AUTO else config.faces.pack
    named = held_pack(config, pack)
    with store.read() as txn:
        model = txn.models.get(txn.slot)
    if named.fingerprint != store.fingerprint:
        holds = f"{model.pack} ({store.fingerprint})" if model is not None else store.fingerprint
        raise StoreError(
            f"the library {config.library_path} holds embeddings of the model pack {holds}, not of {pack}"
            f" ({named.fingerprint}): they cannot be compared. `face-organizer reembed --pack {pack} --library"
            f" {config.library_path}` moves it to {pack}; or go on with what it holds (faces.pack)"
        )
    if model is None or model.pack != pack:
        told = model or ModelRecord(pack, store.fingerprint, store.dimension, "live")
        with store.write() as txn:
            txn.models.put(txn.slot, replace(told, pack=pack))


def _tell_of_backup(store: LmdbStore, log: Log) -> None:
    if store.backup is not None:
        log.warning("store_migrated", copy_of_the_old=str(store.backup))


def _remembering(store: LmdbStore, config: Config, log: Log) -> Config:
    """The configuration, with the number of people and the placement there have been so far unless others are asked
    for; it is noted, for that and for commands that come while no daemon runs, from wherever. Raises ConfigError:
    refuse_unmounted."""
    noted = _noted_before(store)
    config = _as_before(config, noted)
    config = with_inbox_of(config, noted) if noted else config
    for key in ("people", "placement"):
        before, now = getattr(noted, key, None), getattr(config, key)
        if before not in (None, now):
            log.warning(f"{key}_changed", before=before, **{key: now})
    absolute = msgspec.structs.replace(config, inbox=str(config.inbox_path), library=str(config.library_path))
    with store.read() as txn:
        was_mounted = bool(txn.note(MOUNTED))
    mounted = refuse_unmounted(config.library_path, was_mounted=was_mounted)
    try:
        with store.write() as txn:
            txn.put_note(SETTINGS, msgspec.json.encode(absolute))
            txn.put_note(MOUNTED, b"1" if mounted else b"")
    except NoRoomError as error:  # commands without a daemon go by the settings of the start before
        log.warning("settings_not_noted", problem=str(error))
    return config


def _noted_before(store: LmdbStore) -> Config | None:
    """What the start before went by; None at the first, or where that cannot be told."""
    with store.read() as txn:
        return _decoded(txn.note(SETTINGS))


def _settings_in(state: Path) -> Config | None:
    """The same of a library that somebody else may have open."""
    return _decoded(note_in(state / "truth", SETTINGS))


def _decoded(noted: bytes) -> Config | None:
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(noted, type=Config)
    return None


def _as_before(config: Config, noted: Config | None) -> Config:
    usual = Config(people=PEOPLE, placement=PLACEMENT)
    return going_on(going_on(config, noted) if noted else config, usual)


def _remembered(store: LmdbStore, library: Path) -> Config:
    with store.read() as txn:
        noted = txn.note(SETTINGS)
    try:
        config = msgspec.json.decode(noted, type=Config)
    except msgspec.DecodeError as error:  # ValidationError is one
        raise StoreError(
            f"the settings noted in {library} cannot be read ({error}): start `face-organizer run` on it once"
        ) from error
    return msgspec.structs.replace(config, library=str(plain_path(library)), state_dir="")


def _with_store(store: LmdbStore, make: Callable[[], T]) -> T:
    try:
        return make()
    except BaseException:
        store.close()
        raise
