"""Which libraries may need a model pack that can be removed: each leaves its path in the models folder, in a file of
its own, so that no two ever write the same.

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

LIBRARIES = "libraries"


def note_library(models_dir: Path | None, library: Path, pack: str) -> None:
    """Remember that a library goes by a pack, unless that came with the program; where the folder cannot be written,
    nobody remembers."""
    if pack in SHIPPED:
        return
    path = os.fsencode(os.path.abspath(library))
    note = (models_dir or default_models_dir()) / LIBRARIES / hashlib.sha256(path).hexdigest()[:16]
    with suppress(OSError):
        if not note.exists():
            note.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(note, path)


def libraries_noted(models_dir: Path | None) -> list[Path]:
    """All that ever went by a pack of this models folder; some may be gone, or lie elsewhere now. Raises ModelError."""
    try:
        notes = [note for note in ((models_dir or default_models_dir()) / LIBRARIES).iterdir() if note.name[0] != "."]
        return sorted(Path(os.fsdecode(note.read_bytes())) for note in notes)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ModelError(f"cannot tell which libraries need a pack: {error}") from error
