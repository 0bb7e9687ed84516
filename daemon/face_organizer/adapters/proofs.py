"""What a recogniser says of the faces of the proof when the processor runs it: kept, for every device is held to it.

Room:    adapters (touches the folder of models)
Imports: types, prepare, numpy, stdlib
"""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np

from face_organizer.adapters.prepare import write_atomically
from face_organizer.types import Float32


def read_proof(path: Path) -> Float32 | None:
    """The kept answer, float32 (n, d); None where there is none that can be read."""
    try:
        kept: Float32 = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return kept if kept.ndim == 2 and kept.dtype == np.float32 else None


def write_proof(path: Path, answer: Float32) -> None:
    """For the next start; where it cannot be written, that makes it again."""
    content = io.BytesIO()
    np.save(content, answer, allow_pickle=False)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.getvalue())
