"""The file of an image, wherever it lies now: in the library, or still in the inbox.

Room:    adapters (touches)
Imports: reading, errors, stdlib

As everywhere: no link is followed, no FIFO waited for (reading.py). With placement "symlink" a place is a link to the
inbox, and the file is read there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from face_organizer.adapters.reading import OPEN_FILE, open_below
from face_organizer.errors import RequestError


@dataclass(frozen=True, slots=True)
class Original:
    """An open file; whoever has it closes it. name may hold surrogate escapes."""

    file: BinaryIO
    name: str
    size_bytes: int


class Originals:
    """Opens files below two folders, and nothing else. Thread-safe."""

    def __init__(self, library: Path, inbox: Path) -> None:
        self._library, self._inbox = library, inbox

    def open(self, places: Iterable[bytes], sources: Iterable[bytes]) -> Original:
        """The first that is there of the places (relative to the library) and the sources. Raises RequestError."""
        wanted = [(self._library, self._library / os.fsdecode(place)) for place in places]
        wanted += [(self._inbox, Path(os.fsdecode(source))) for source in sources]
        for root, path in wanted:
            is_below = path.is_relative_to(root) and ".." not in path.parts
            if is_below and (found := _opened(root, path)) is not None:
                return found
        raise RequestError("its file is not where it was put; `face-organizer check` says more")


def _opened(root: Path, path: Path) -> Original | None:
    try:
        above = open_below(root, path.parent)
        try:
            descriptor = os.open(path.name, OPEN_FILE, dir_fd=above)
        finally:
            os.close(above)
    except OSError:
        return None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        return None
    return Original(os.fdopen(descriptor, "rb"), path.name, found.st_size)
