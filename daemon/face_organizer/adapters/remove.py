"""Remove what is held of a model pack: what was pulled, and what was made of it. A folder that somebody brought stays.

Room:    adapters (touches the models folder)
Imports: errors, models, pull, stdlib
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from face_organizer.adapters.models import PULLED, SHIPPED, cache_of, default_models_dir, is_pulled
from face_organizer.adapters.pull import held, part_of, zoo
from face_organizer.errors import ModelError


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
    part = part_of(name, models_dir) if _is_pulled(name, models_dir) else None
    try:
        gone = [folder for folder in _folders_of(name, models_dir) if _delete(folder)]
        if part is not None and part.exists():
            with held(part):
                part.unlink()
    except OSError as error:
        raise ModelError(f"the model pack {name} cannot be removed from {models_dir}: {error}") from error
    return gone


def is_held(name: str, models_dir: Path | None) -> bool:
    """Is there anything to remove? Raises ModelError."""
    models_dir = models_dir or default_models_dir()
    return any(folder.is_dir() for folder in _folders_of(name, models_dir))


def is_known(name: str, models_dir: Path | None) -> bool:
    """Is there such a pack at all, held or not?"""
    return name in SHIPPED or _is_pulled(name, models_dir) or Path(name).expanduser().is_dir()


def _folders_of(name: str, models_dir: Path) -> list[Path]:
    address = address_meant(name, models_dir)
    if _is_pulled(name, models_dir):
        return [models_dir / PULLED / name, models_dir / name]
    return [cache_of(Path(address), models_dir)]


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
