"""The model pack that a library goes by, and what holds while it cannot be had.

Room:    app (wires)
Imports: adapters, parts, names

Whatever shows no picture to the networks needs of the pack only its bounds, and those are noted in the truth while the
pack is there: a library whose pack is gone can be asked, corrected, and moved to another.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from shlex import quote

import msgspec

from face_organizer.adapters.manifest import unmeasured
from face_organizer.adapters.models import PULLED, Pack, default_models_dir
from face_organizer.adapters.store import LmdbStore
from face_organizer.app.parts import AUTO, DEFAULT_PACK, Bounds, bounds_of, models_folder, pack_of, with_pack
from face_organizer.config import Config
from face_organizer.errors import ConfigError, NoRoomError
from face_organizer.ports import Store

NOTED = "bounds"
"""The note with the bounds of the model whose embeddings the library holds."""


def library_pack(config: Config, store: Store) -> str:
    """The address of the pack that a library goes by: the one it was moved to or begun with, else the one that was
    asked for. Whether it is there or not."""
    with store.read() as txn:
        model = txn.models.get(txn.slot)
    if model is not None:
        return model.pack
    return DEFAULT_PACK if config.faces.pack == AUTO else config.faces.pack


def held_pack(config: Config, pack: str) -> Pack:
    """What is known of the pack that a library goes by. Raises ConfigError: which it is, where it lay, what helps."""
    try:
        return pack_of(with_pack(config, pack).faces)
    except ConfigError as error:
        library = config.library_path
        raise ConfigError(
            f"the library {library} goes by the model pack {pack}, which is not to be had: {error.__cause__}."
            f" {_put_back(pack, models_folder(config.faces))}, or {_move(pack, library)}"
        ) from error


def asked_pack(config: Config) -> Pack:
    """The pack that the configuration asks for. Raises ConfigError, with what helps a library that goes by it."""
    try:
        return pack_of(config.faces)
    except ConfigError as error:
        pack, library = config.faces.pack, config.library_path
        if not os.access(library, os.F_OK):
            raise
        raise ConfigError(
            f"{error}. {_put_back(pack, models_folder(config.faces))}, or name another; if the library {library}"
            f" goes by it, {_move(pack, library)}"
        ) from error


def bounds_held(config: Config, pack: str, store: Store) -> Bounds:
    """The bounds of the pack that a library goes by; while it is not to be had those that were noted, and where nobody
    noted any, the careful ones of a pack of which nothing is known."""
    with suppress(ConfigError):
        return bounds_of(held_pack(config, pack))
    with store.read() as txn:
        note = txn.note(NOTED)
    with suppress(msgspec.DecodeError):
        noted = msgspec.json.decode(note, type=Bounds)
        if noted.fingerprint == store.fingerprint:
            return noted
    told = unmeasured(store.dimension)
    values = {name: bound["value"] for name, bound in told["bounds"].items()}
    impostors = {key: value for key, value in told["impostors"].items() if key != "source"}
    return msgspec.convert(values | {"fingerprint": store.fingerprint, "impostors": impostors}, Bounds)


def note_bounds(config: Config, pack: str, store: LmdbStore) -> str:
    """Note what holds while the pack is away. Returns why it is not to be had now, "" where it is. Before the gallery's
    thread starts."""
    try:
        bounds = bounds_of(held_pack(config, pack))
    except ConfigError as error:
        return str(error)
    note = msgspec.json.encode(bounds)
    with store.read() as txn:
        is_noted = txn.note(NOTED) == note
    if bounds.fingerprint == store.fingerprint and not is_noted and not store.unwritable:
        with suppress(NoRoomError), store.write() as txn:
            txn.put_note(NOTED, note)
    return ""


def _put_back(pack: str, models_dir: Path | None) -> str:
    if os.sep in pack:
        return f"Put the folder {pack} back as it was"
    folder = (models_dir or default_models_dir()) / PULLED / pack
    return f"`face-organizer models pull {pack}` puts it back into {folder}"


def _move(pack: str, library: Path) -> str:
    other = "NAME" if pack == DEFAULT_PACK else DEFAULT_PACK
    return (
        f"`face-organizer reembed --pack {other} --library {quote(str(library))}` moves it to another, for which only"
        " its images are needed"
    )
