"""The folders people look at: disk follows truth by comparing what is there with what should be there.

Room:    adapters (touches the library)
Imports: types, errors, adapters.actual, adapters.file_systems, adapters.files, adapters.placing, adapters.reasons,
         stdlib

The door: what is there is found in actual.py, and brought in line in placing.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from face_organizer.adapters.actual import Actual, is_plain, open_in, open_root
from face_organizer.adapters.file_systems import is_mounted
from face_organizer.adapters.files import Spot, status
from face_organizer.adapters.placing import CannotPlaceError, Placing
from face_organizer.adapters.reasons import ENDING as REASON_ENDING
from face_organizer.errors import DISK_FULL
from face_organizer.types import QUARANTINE, SIDECAR_ENDINGS, FileToPlace, Placed, PlacementMode


class Folders:
    """The library's folders. Not thread-safe: one thread places. What was a file system of its own at first is away
    while it is none.

    mode: "move" empties the inbox (a hard link into each folder, then the source goes); "hardlink", "symlink" and
    "copy" leave the source alone. Where a hard link cannot be made, a copy is. inbox_away(): what lies at the inbox's
    path now is not the inbox (its file system is not mounted), so that a source that is not there is not missing.
    """

    _mounted = False

    def __init__(
        self,
        library_root: Path,
        inbox_root: Path,
        mode: PlacementMode,
        inbox_away: Callable[[], bool] = lambda: False,
    ) -> None:
        self.root, self.inbox, self.mode = library_root.absolute(), inbox_root.absolute(), mode
        self._inbox_away = inbox_away
        with contextlib.ExitStack() as opened, contextlib.suppress(OSError):
            self._mounted = is_mounted(open_root(self.root, opened))

    def reconcile(self, file: FileToPlace) -> Placed:
        """Make disk show the file in exactly its folders. Doing it twice is the same as once.

        A problem of the disk (full, forbidden, away) is told in the result; a later call takes up where this one ended.
        """
        assert file.folders, file
        assert file.source.is_absolute(), file
        for part in (file.name, *file.folders):
            assert is_plain(part), part
        actual, no_room = Actual(file, self.root, self.inbox, mounted=self._mounted), False
        try:
            with actual.opened:
                return Placing(actual, self.mode, self._inbox_away).run()
        except CannotPlaceError as problem:
            sentence = f"cannot place {file.name}: {problem}"
        except OSError as error:
            no_room = error.errno in DISK_FULL
            where = error.filename2 or error.filename
            sentence = f"cannot place {file.name}: {error.strerror}" + (f": {os.fsdecode(where)}" if where else "")
        return Placed(file.file_id, tuple(actual.standing), problem=sentence, no_room=no_room)

    def erase(self, file: FileToPlace) -> str:
        """Take the file away from every recorded place in the library, and folders that this leaves empty; an original
        in the inbox stays. Returns what kept it from that, "" if nothing did. Doing it twice changes nothing.
        """
        actual = Actual(file, self.root, self.inbox, mounted=self._mounted)
        try:
            with actual.opened:
                Placing(actual, self.mode, self._inbox_away).erase()
        except OSError as error:
            return f"cannot delete {file.name}: {error.strerror}"
        return ""

    def holds(self, place: str) -> bool:
        """Is there a file (or a link) at this relative path? Without a name in it: is the folder's own name taken?"""
        folder, _, name = place.partition("/")
        with contextlib.ExitStack() as opened:
            root = open_root(self.root, opened)
            if not name:
                return status(Spot(root, self.root / folder)) is not None
            found = open_in(root, folder, opened)
            return found is not None and status(Spot(found, self.root / folder / name)) is not None

    def walk(self) -> Iterator[str]:
        """The relative path of every file in the library's folders but the state, the reasons and the sidecars."""
        for folder in sorted(os.listdir(self.root)):
            if not folder.startswith("."):
                yield from self._within(folder)

    def count(self, folder: str) -> int | None:
        """How many files lie in one folder, but for hidden ones; None where nobody can tell for now. Any thread."""
        try:
            return sum(not place.startswith(f"{folder}/.") for place in self._within(folder))
        except OSError:
            return None

    def _within(self, folder: str) -> Iterator[str]:
        with contextlib.ExitStack() as opened:
            found = open_in(open_root(self.root, opened), folder, opened)
            for name in os.listdir(found) if found is not None else ():
                if not name.lower().endswith(REASON_ENDING if folder == QUARANTINE else SIDECAR_ENDINGS):
                    yield f"{folder}/{name}"
