"""Thumbnails that were made once, on disk: below the state folder, its owner's alone, and never more than so much.

Room:    adapters (touches the thumbnails' folder)
Imports: private, stdlib

A cache: whatever goes wrong with it costs only making a thumbnail again.
"""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock

from face_organizer.adapters.private import make_private_folder, replace_private

SHELVES = 64


class ThumbnailFolder:
    """JPEGs by name, of letters, digits and "-". Thread-safe. bytes_max: the least recently used ones go beyond it; 0
    keeps none."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._folder, self._bytes_max = folder, bytes_max
        self._lock = Lock()
        self._sizes: OrderedDict[str, int] | None = None
        self._bytes = self._erased = 0

    def get(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The thumbnail of this name, made now where it is not there. What was begun before erase() is not kept."""
        with self._lock:
            erased = self._erased
            if (kept := self._read(name)) is not None:
                return kept
        jpeg = make()
        with self._lock:
            if erased == self._erased:
                self._keep(name, jpeg)
        return jpeg

    def erase(self) -> None:
        """Delete all of them. Raises OSError."""
        with self._lock:
            self._erased += 1
            self._sizes, self._bytes = OrderedDict(), 0
            with suppress(FileNotFoundError):
                shutil.rmtree(self._folder)

    def drop(self, begins: Iterable[str]) -> None:
        """Delete those whose names begin so, up to the "-"."""
        gone = set(begins)
        with self._lock:
            self._erased += 1
            known = self._known()
            for name in [name for name in known if name.partition("-")[0] in gone]:
                self._bytes -= known.pop(name)
                with suppress(OSError):
                    self._path(name).unlink(missing_ok=True)

    # under the lock

    def _read(self, name: str) -> bytes | None:
        known = self._known()
        if name not in known:
            return None
        try:
            jpeg = self._path(name).read_bytes()
        except OSError:
            self._bytes -= known.pop(name)
            return None
        known.move_to_end(name)
        return jpeg

    def _keep(self, name: str, jpeg: bytes) -> None:
        if len(jpeg) > self._bytes_max:
            return
        path, known = self._path(name), self._known()
        try:
            make_private_folder(path.parent)
            replace_private(path, jpeg)
        except OSError:  # a full disk: the organizer has more to say of it than its cache
            return
        self._bytes += len(jpeg) - known.pop(name, 0)
        known[name] = len(jpeg)
        while self._bytes > self._bytes_max:
            oldest, size = known.popitem(last=False)
            self._bytes -= size
            with suppress(OSError):
                self._path(oldest).unlink(missing_ok=True)

    def _known(self) -> OrderedDict[str, int]:
        """name -> size, the least recently used first. Looked up on disk once."""
        if self._sizes is None:
            found = sorted(self._on_disk())
            self._sizes = OrderedDict((name, size) for _, name, size in found)
            self._bytes = sum(self._sizes.values())
        return self._sizes

    def _on_disk(self) -> Iterator[tuple[float, str, int]]:
        for path in self._folder.glob("*/*"):
            with suppress(OSError):
                if path.name.startswith("."):
                    path.unlink()  # a crash cut it short
                else:
                    found = path.stat()
                    yield found.st_mtime, path.stem, found.st_size

    def _path(self, name: str) -> Path:
        return self._folder / f"{sum(name.encode()) % SHELVES:02}" / f"{name}.jpg"
