"""The inbox: what lies in it and what happened in it.

Room:    adapters (touches)
Imports: types, config, ports, attention, files, reading, watching, stdlib

Events are hints that may be lost at any time; the walk is the truth (see attention.py). Another library that lies in it
is left alone: what somebody has sorted, with a daemon at it perhaps, is nothing that came in.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from face_organizer.adapters.attention import Attention
from face_organizer.adapters.files import Spot, write_new
from face_organizer.adapters.reading import cause_of
from face_organizer.adapters.watching import ARRIVALS
from face_organizer.config import STATE_FOLDER, is_library
from face_organizer.ports import Clock, Log
from face_organizer.types import SIDECAR_ENDINGS, InboxState, Signature

TEMPORARY_ENDINGS = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".swp", "~")
TEMPORARY_NAMES = frozenset({"desktop.ini", "thumbs.db"})

SORTED_MAX = 10_000
"""Names of a folder held in memory at once. A larger folder comes in portions of so many, each in name order: half a
million names would take 100 MB, and a while before the first one could be looked at."""


def is_candidate_name(name: str) -> bool:
    """May this be an image somebody finished? Hidden files, sidecars, and the names of downloads and editors under way
    are not."""
    lowered = name.lower()
    endings = (*TEMPORARY_ENDINGS, *SIDECAR_ENDINGS)
    return not (name.startswith(".") or lowered.endswith(endings) or lowered in TEMPORARY_NAMES)


def is_sidecar_name(name: str) -> bool:
    """Is this what another program laid beside an image?"""
    return name.lower().endswith(SIDECAR_ENDINGS) and not name.startswith(".")


class FolderInbox:
    """The port Inbox over a folder. One thread uses it; state and problems are for any.

    rescan: hints were lost, or the inbox is newly watched: a walk is due now. Starting a walk clears it.
    sidecars: so many the last walk found; they are left where they lie.
    """

    def __init__(self, path: Path, log: Log, *, clock: Clock = time.monotonic) -> None:
        self._root, self._log, self._clock = path.absolute(), log, clock
        self._attention = Attention(self._root, "inbox", ARRIVALS, log, clock)
        self._unreadable: dict[Path, str] = {}
        self._libraries: set[Path] = set()
        self._in_library: dict[str, bool] = {}
        self._empty_since: dict[Path, tuple[int, float]] = {}
        self.sidecars = 0

    @property
    def rescan(self) -> bool:
        return self._attention.walk_due

    @property
    def state(self) -> InboxState:
        """As check() found it."""
        return self._attention.state

    @property
    def problems(self) -> list[str]:
        """What in the inbox is not looked at, in sentences for people."""
        unreadable = [f"cannot look into {folder}: {cause}" for folder, cause in self._unreadable.copy().items()]
        return unreadable + [
            f"{folder} in the inbox is a library itself ({STATE_FOLDER} is in there) and is left alone: move it out of"
            " the inbox; to have its images sorted in, move them out of it"
            for folder in self._libraries.copy()
        ]

    def start(self) -> None:
        """Begin to watch; an inbox that is away is waited for."""
        self.check()

    def stop(self) -> None:
        """Stop watching and join the threads. hints() returns at once from now on."""
        self._attention.stop()

    def hints(self, within_s: float) -> list[Path]:
        """Wait up to within_s for paths worth a look. [] when nothing happened."""
        self._in_library = {}
        return [path for path in self._attention.hints(within_s) if self._is_candidate(path)]

    def check(self) -> bool:
        """Is the inbox there? Watches it (again) where the watcher is dead, or the inbox was away or replaced."""
        return self._attention.check()

    # looking

    def walk(self) -> Iterator[Path]:
        """Every candidate path, lazily; in name order within a folder of up to SORTED_MAX names, beyond that within
        portions of so many. Linked folders are candidates themselves and are not entered; nor are libraries."""
        self._attention.walk_begins()
        self._libraries = {folder for folder in self._libraries if is_library(folder)}
        for folder in [folder for folder in self._unreadable if not os.path.lexists(folder)]:
            del self._unreadable[folder]
        open_folders, sidecars = [self._entries(self._root)], 0
        while open_folders:
            entry = next(open_folders[-1], None)
            if entry is None:
                open_folders.pop()
            elif _is_folder(entry):
                if not entry.name.startswith("."):
                    open_folders.append(self._entries(Path(entry.path)))
            elif is_candidate_name(entry.name):
                yield Path(entry.path)
            else:
                sidecars += is_sidecar_name(entry.name)
        if sidecars > self.sidecars:
            self._log.info("sidecars_left", inbox=str(self._root), files=sidecars)
        self.sidecars = sidecars

    def _entries(self, folder: Path) -> Iterator[os.DirEntry[str]]:
        """What a folder holds. A folder that cannot be read, or is a library, is told once and skipped."""
        if is_library(folder):
            if folder not in self._libraries:
                self._log.warning("inbox_library_left", folder=str(folder))
                self._libraries = {*self._libraries, folder}
            return
        try:
            with os.scandir(folder) as entries:
                while portion := list(islice(entries, SORTED_MAX)):
                    yield from sorted(portion, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            cause = cause_of(error, folder)
            if self._unreadable.get(folder) != cause:
                self._log.warning("inbox_folder_unreadable", folder=str(folder), cause=cause)
            self._unreadable[folder] = cause
            return
        if self._unreadable.pop(folder, ""):
            self._attention.watch_anew()

    def signature(self, path: Path) -> Signature | None:
        """lstat of a candidate; None if gone, a folder, in a library, or not a candidate by name."""
        if not self._is_candidate(path) or self._lies_in_library(os.path.dirname(path)):
            return None
        try:
            found = path.lstat()
        except OSError:
            return None
        return None if stat.S_ISDIR(found.st_mode) else Signature(found.st_size, found.st_mtime_ns, found.st_ino)

    def contents(self) -> set[tuple[int, int]]:
        """Size and time of every candidate below the inbox. Any thread."""
        found = set()
        for above, folders, names in os.walk(self._root):
            is_spared = STATE_FOLDER in folders or STATE_FOLDER in names
            folders[:] = [folder for folder in folders if not (is_spared or folder.startswith("."))]
            for name in () if is_spared else filter(is_candidate_name, names):
                try:
                    told = os.lstat(os.path.join(above, name))
                except OSError:
                    continue
                found.add((told.st_size, told.st_mtime_ns))
        return found

    def _is_candidate(self, path: Path) -> bool:
        if not path.is_relative_to(self._root) or path == self._root:
            return False
        *folders, name = path.relative_to(self._root).parts
        return is_candidate_name(name) and not any(folder.startswith(".") for folder in folders)

    def _lies_in_library(self, folder: str) -> bool:
        """Is it one, or below one? Every folder is asked once between hints(): a walk asks for every file in it."""
        known = self._in_library.get(folder)
        if known is None:
            is_inner = folder != str(self._root)
            known = is_library(Path(folder)) or (is_inner and self._lies_in_library(os.path.dirname(folder)))
            self._in_library[folder] = known
        return known

    def prune(self, older_than_s: float) -> int:
        """Remove folders below the inbox that have been empty and untouched for so long; returns how many.

        The time is counted from when a folder was first seen empty, not from its date, which may come from elsewhere.
        """
        now, seen, removed = self._clock(), self._empty_since, 0
        self._empty_since = {}
        for folder in reversed(list(self._folders())):  # inner ones first
            try:
                with os.scandir(folder) as entries:
                    if next(entries, None) is not None:
                        continue
                touched_ns = folder.stat(follow_symlinks=False).st_mtime_ns
                first_ns, since = seen.get(folder, (touched_ns, now))
                if first_ns != touched_ns:
                    since = now
                if now - since >= older_than_s:
                    folder.rmdir()
                    removed += 1
                else:
                    self._empty_since[folder] = touched_ns, since
            except OSError:
                continue  # filled, removed or forbidden since: not ours to mind
        return removed

    def _folders(self) -> Iterator[Path]:
        """The folders below the inbox, outer ones first; hidden ones and links left out."""
        waiting = [self._root]
        while waiting:
            for entry in self._entries(waiting.pop()):
                if _is_folder(entry) and not entry.name.startswith("."):
                    waiting.append(Path(entry.path))
                    yield Path(entry.path)

    def put(self, path: Path, content: bytes) -> None:
        """A whole file directly in the inbox, under a name that must be free. Thread-safe. Raises OSError."""
        assert path.parent == self._root, path
        folder = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            write_new(content, Spot(folder, path), f".{os.urandom(8).hex()}.part", lasting=True)
        finally:
            os.close(folder)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
