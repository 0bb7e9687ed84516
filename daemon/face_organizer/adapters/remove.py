"""Remove what is held of a model pack: what was pulled, and what was made of it. A folder that somebody brought stays.

Room:    adapters (touches the models folder)
Imports: errors, models, prepare, pull, stdlib

Who may need a pack is known from the libraries that ran with this models folder: each leaves its path in a file of its
own, so that no two ever write the same.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from face_organizer.adapters.models import PULLED, SHIPPED, cache_of, default_models_dir, is_pulled
from face_organizer.adapters.prepare import write_atomically
from face_organizer.adapters.pull import held, part_of, zoo
from face_organizer.errors import ModelError

LIBRARIES = "libraries"


def note_library(models_dir: Path | None, library: Path) -> None:
    """Remember that a library runs with this models folder; where that cannot be written, nobody remembers."""
    path = os.fsencode(os.path.abspath(library))
    note = (models_dir or default_models_dir()) / LIBRARIES / hashlib.sha256(path).hexdigest()[:16]
    with suppress(OSError):
        if not note.exists():
            note.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(note, path)


def libraries_noted(models_dir: Path | None) -> list[Path]:
    """All that ever ran with this models folder; some may be gone, or lie elsewhere now. Raises ModelError."""
    try:
        notes = [note for note in ((models_dir or default_models_dir()) / LIBRARIES).iterdir() if note.name[0] != "."]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ModelError(f"cannot tell which libraries need a pack: {error}") from error
    return sorted(Path(os.fsdecode(note.read_bytes())) for note in notes)


def address_meant(name: str, models_dir: Path | None) -> str:
    """By which libraries know the pack. Raises ModelError: it comes with the program."""
    if name in SHIPPED:
        raise ModelError(f"the model pack {name} comes with the program: there is nothing to remove")
    if _is_pulled(name, models_dir):
        return name
    return os.path.abspath(Path(name).expanduser())


def remove_pack(name: str, models_dir: Path | None) -> list[Path]:
    """Delete what is held of it; returns the folders that were there. Twice is once, also after a kill. Nobody may need
    it: whoever calls has asked. Raises ModelError."""
    models_dir = models_dir or default_models_dir()
    address = address_meant(name, models_dir)
    if _is_pulled(name, models_dir):
        folders = [models_dir / PULLED / name, models_dir / name]
        part = part_of(name, models_dir)
    else:
        folders, part = [cache_of(Path(address), models_dir)], None
    try:
        gone = [folder for folder in folders if _delete(folder)]
        if part is not None and part.exists():
            with held(part):
                part.unlink()
    except OSError as error:
        raise ModelError(f"the model pack {name} cannot be removed from {models_dir}: {error}") from error
    return gone


def _is_pulled(name: str, models_dir: Path | None) -> bool:
    """Is it one of the zoo's, here or not?"""
    return name in zoo().packs or is_pulled(name, models_dir or default_models_dir())


def _delete(folder: Path) -> bool:
    """Whole or not at all, as far as anybody looks by its name."""
    aside = folder.with_name(f".{folder.name}.gone")
    shutil.rmtree(aside, ignore_errors=True)
    if not folder.is_dir():
        return False
    folder.rename(aside)
    shutil.rmtree(aside)
    return True
