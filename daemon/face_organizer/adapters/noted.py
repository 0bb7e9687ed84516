"""Which libraries may need a model pack that can be removed: each leaves its path in the models folder, and the packs
that it ever went by, in a file of its own, so that no two ever write the same.

Room:    adapters (touches the models folder)
Imports: errors, models, prepare, stdlib
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from face_organizer.adapters.models import SHIPPED, default_models_dir
from face_organizer.adapters.prepare import write_atomically
from face_organizer.errors import ModelError

LIBRARIES, BETWEEN = "libraries", b"\0"


def note_library(models_dir: Path | None, library: Path, pack: str) -> None:
    """Remember that a library goes by a pack, unless that came with the program; where the folder cannot be written,
    nobody remembers."""
    if pack in SHIPPED:
        return
    path, packs = os.fsencode(os.path.abspath(library)), []
    note = (models_dir or default_models_dir()) / LIBRARIES / hashlib.sha256(path).hexdigest()[:16]
    with suppress(OSError):
        with suppress(FileNotFoundError):
            _, *packs = note.read_bytes().split(BETWEEN)
        if os.fsencode(pack) not in packs:
            note.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(note, BETWEEN.join([path, *packs, os.fsencode(pack)]))


def libraries_noted(models_dir: Path | None) -> dict[Path, frozenset[str]]:
    """All that ever went by a pack of this models folder, and by which; some may be gone, or lie elsewhere now. No
    pack: nobody noted which. Raises ModelError."""
    try:
        notes = [note for note in ((models_dir or default_models_dir()) / LIBRARIES).iterdir() if note.name[0] != "."]
        told = sorted([os.fsdecode(part) for part in note.read_bytes().split(BETWEEN)] for note in notes)
        return {Path(path): frozenset(packs) for path, *packs in told}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ModelError(f"cannot tell which libraries need a pack: {error}") from error
