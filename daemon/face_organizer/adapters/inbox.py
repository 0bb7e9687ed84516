"""The inbox: what lies in it and what happened in it.

Room:    adapters (touches)
Imports: types, ports, file_systems, files, reading, watching, stdlib

Events are hints that may be lost at any time (the kernel's queue overflows, threads die, network file systems send
none); the walk is the truth. So a watcher that cannot be had is no failure: the walks find everything, only later.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from face_organizer.adapters.file_systems import is_shared, kind_at
from face_organizer.adapters.files import Spot, write_new
from face_organizer.adapters.reading import cause_of, read_settled
from face_organizer.adapters.watching import LIMIT_REACHED, LIMITS, Hints, Watcher
from face_organizer.ports import Clock, Log
from face_organizer.types import ImageRef, InboxState, Signature

TEMPORARY_ENDINGS = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".swp", "~")
TEMPORARY_NAMES = frozenset({"desktop.ini", "thumbs.db"})

SORTED_MAX = 10_000
"""Names of a folder held in memory at once. A larger folder comes in portions of so many, each in name order: half a
million names would take 100 MB, and a while before the first one could be looked at."""

RESTART_S = 5.0
"""A watcher that dies again and again is started anew no more often than this."""

REWATCH_S = 60.0
"""How often to try whether there are watches now for the folders that got none."""


def is_candidate_name(name: str) -> bool:
    """May this be an image somebody finished? Hidden files and the names of downloads and editors under way are not."""
    lowered = name.lower()
    return not (name.startswith(".") or lowered.endswith(TEMPORARY_ENDINGS) or lowered in TEMPORARY_NAMES)


class Identity(NamedTuple):
    """Which folder the inbox is. mounted: a file system of its own lies there."""

    device: int
    inode: int
    mounted: bool


class FolderInbox:
    """The ports Inbox and ImageReader over a folder. One thread uses it; read(), state and problems are for any.

    rescan: hints were lost, or the inbox is newly watched: a walk is due now. Starting a walk clears it.
    """

    def __init__(self, path: Path, log: Log, *, size_max_bytes: int, clock: Clock = time.monotonic) -> None:
        self._root, self._log, self._size_max_bytes, self._clock = path.absolute(), log, size_max_bytes, clock
        self._hints = Hints(self._root)
        self._watcher = Watcher(self._hints)
        self._identity: Identity | None = None
        self._mounted = False
        self._state = InboxState("polling", "it has not been looked at yet")
        self._walk_due = self._try_watching = True
        self._watch_anew = self._polling_told = False
        self._restart_at = self._rewatch_at = 0.0
        self._unreadable: dict[Path, str] = {}
        self._empty_since: dict[Path, tuple[int, float]] = {}

    @property
    def rescan(self) -> bool:
        return self._walk_due or bool(self._hints.lost)

    @property
    def state(self) -> InboxState:
        """As check() found it."""
        return self._state

    @property
    def problems(self) -> list[str]:
        """What in the inbox cannot be looked at, in sentences for people."""
        return [f"cannot look into {folder}: {cause}" for folder, cause in self._unreadable.copy().items()]

    def start(self) -> None:
        """Begin to watch; an inbox that is away is waited for."""
        self.check()

    def stop(self) -> None:
        """Stop watching and join the threads. hints() returns at once from now on."""
        self._hints.close()
        self._watcher.stop()

    # watching

    def hints(self, within_s: float) -> list[Path]:
        """Wait up to within_s for paths worth a look. [] when nothing happened."""
        return [path for path in self._hints.take(within_s) if self._is_candidate(path)]

    def check(self) -> bool:
        """Is the inbox there? Watches it (again) where the watcher is dead, or the inbox was away or replaced."""
        identity = self._identity_now()
        if cause := self._why_lost(identity):
            if self._state.kind != "lost":
                self._log.warning("inbox_lost", inbox=str(self._root), cause=cause)
            self._state, self._identity = InboxState("lost", cause), None
            self._watcher.stop()
            return False
        assert isinstance(identity, Identity)
        if self._identity is None:
            self._identity, self._mounted = identity, identity.mounted
            self._walk_due = self._try_watching = True
            if self._state.kind == "lost":
                self._log.info("inbox_back", inbox=str(self._root))
                self._state, self._polling_told = InboxState("polling", "it has just come back"), False
        self._supervise()
        return True

    def _why_lost(self, identity: Identity | str) -> str:
        """Why the inbox is not the one that was watched; "" if it is. Being lost ends the search for the old one, but
        below a file system that has been taken out lies only an empty folder: the file system is waited for."""
        if isinstance(identity, str):
            return identity
        if self._mounted and not identity.mounted:
            return "its file system is not mounted"
        if self._identity not in (None, identity):
            return "another folder has taken its place"
        return ""

    def _supervise(self) -> None:
        """Start the watcher that is lacking or dead, or that may now watch more; set the state."""
        now = self._clock()
        if self._watcher.alive:
            if (self._watcher.refused or self._watch_anew) and now >= self._rewatch_at:
                self._watch()
            elif self._watcher.refused:
                self._poll(self._refusal())  # a folder that appeared since
        elif self._watcher.died:
            if now >= self._restart_at:
                self._restart_at = now + RESTART_S
                self._log.warning("inbox_watcher_restarted", inbox=str(self._root))
                self._watch()
            else:
                self._poll("its watcher died again")
        elif self._try_watching:
            self._watch()

    def _watch(self) -> None:
        """Start the watcher. Where it cannot be had, say so once and leave it to the walks; each walk tries again."""
        self._try_watching = self._watch_anew = False
        self._rewatch_at = self._clock() + REWATCH_S
        self._watcher.stop()
        if reason := self._eventless() or self._start_watcher():
            self._poll(reason)
            return
        self._walk_due = True  # whatever came before the watch
        if self._polling_told:
            self._log.info("inbox_watched", inbox=str(self._root))
        self._state, self._polling_told = InboxState("watched"), False

    def _start_watcher(self) -> str:
        """ "" if everything is watched, else why not."""
        try:
            self._watcher.start(self._root)
        except OSError as error:
            self._watcher.stop()
            return f"{error.strerror} ({LIMITS})" if error.errno in LIMIT_REACHED else cause_of(error, self._root)
        except RecursionError:  # watchdog's own walk, before Python 3.12
            self._watcher.stop()
            return "its folders are nested too deeply to be watched"
        return self._refusal()

    def _refusal(self) -> str:
        refused = self._watcher.refused
        return f"{refused}: not all of its folders are watched ({LIMITS})" if refused else ""

    def _poll(self, reason: str) -> None:
        if not self._polling_told or reason != self._state.reason:
            self._log.warning("inbox_polling", inbox=str(self._root), reason=reason)
        self._state, self._polling_told = InboxState("polling", reason), True

    def _eventless(self) -> str:
        """Why nobody would tell us of changes on this file system; "" if somebody does."""
        kind = kind_at(self._root)
        return f"{kind} does not tell of changes" if is_shared(kind) else ""

    def _identity_now(self) -> Identity | str:
        """Which folder lies there now, or why none does."""
        try:
            found = self._root.stat()
            above = os.stat(self._root / "..")  # of what a link leads to; there is none above a file
        except (FileNotFoundError, NotADirectoryError):
            return "it is gone"
        except OSError as error:
            return cause_of(error, self._root)
        return Identity(found.st_dev, found.st_ino, found.st_dev != above.st_dev)

    # looking

    def walk(self) -> Iterator[Path]:
        """Every candidate path, lazily; in name order within a folder of up to SORTED_MAX names, beyond that within
        portions of so many. Linked folders are candidates themselves and are not entered."""
        if lost := self._hints.lost:
            self._log.warning("inbox_overflow", inbox=str(self._root), cause=lost)
        self._hints.lost = ""
        self._walk_due, self._try_watching = False, True
        for folder in [folder for folder in self._unreadable if not os.path.lexists(folder)]:
            del self._unreadable[folder]
        open_folders = [self._entries(self._root)]
        while open_folders:
            entry = next(open_folders[-1], None)
            if entry is None:
                open_folders.pop()
            elif _is_folder(entry):
                if not entry.name.startswith("."):
                    open_folders.append(self._entries(Path(entry.path)))
            elif is_candidate_name(entry.name):
                yield Path(entry.path)

    def _entries(self, folder: Path) -> Iterator[os.DirEntry[str]]:
        """What a folder holds. A folder that cannot be read is told once and skipped."""
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
            self._watch_anew = True  # it may be watched now

    def signature(self, path: Path) -> Signature | None:
        """lstat of a candidate; None if gone, a folder, or not a candidate by name."""
        if not self._is_candidate(path):
            return None
        try:
            found = path.lstat()
        except OSError:
            return None
        return None if stat.S_ISDIR(found.st_mode) else Signature(found.st_size, found.st_mtime_ns, found.st_ino)

    def _is_candidate(self, path: Path) -> bool:
        if not path.is_relative_to(self._root) or path == self._root:
            return False
        *folders, name = path.relative_to(self._root).parts
        return is_candidate_name(name) and not any(folder.startswith(".") for folder in folders)

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

    def read(self, ref: ImageRef) -> bytes:
        """The bytes of a settled file. Thread-safe. Raises GoneError, UnreadableError: see read_settled."""
        return read_settled(self._root, ref, self._size_max_bytes)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
