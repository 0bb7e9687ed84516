"""The inbox: what lies in it and what happened in it.

Room:    adapters (touches)
Imports: types, ports, adapters.reading, watchdog, stdlib

Events are hints that may be lost at any time (the kernel's queue overflows, threads die, network file systems send
none); the walk is the truth. So a watcher that cannot be had is no failure: the walks find everything, only later.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from threading import Condition
from threading import enumerate as threads_alive

from watchdog.events import (
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.utils import BaseThread

from face_organizer.adapters.file_systems import is_shared, kind_at
from face_organizer.adapters.reading import cause_of, read_settled
from face_organizer.ports import Clock, Log
from face_organizer.types import ImageRef, Signature

TEMPORARY_ENDINGS = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".download", ".swp", "~")
TEMPORARY_NAMES = frozenset({"desktop.ini", "thumbs.db"})

SORTED_MAX = 10_000
"""Names of a folder held in memory at once. A larger folder comes in portions of so many, each in name order: half a
million names would take 100 MB, and a while before the first one could be looked at."""

HINTS_MAX = 10_000
EVENTS: list[type[FileSystemEvent]] = [FileCreatedEvent, FileModifiedEvent, FileMovedEvent, FileClosedEvent]


def _nothing() -> None:
    pass


def is_candidate_name(name: str) -> bool:
    """May this be an image somebody finished? Hidden files and the names of downloads and editors under way are not."""
    lowered = name.lower()
    return not (name.startswith(".") or lowered.endswith(TEMPORARY_ENDINGS) or lowered in TEMPORARY_NAMES)


class Hints(FileSystemEventHandler):
    """Paths worth a look, each once. The watcher's thread adds, and must never meet an exception: it would die of it.

    overflowed: some were lost; only a walk can find them.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._real = self._root
        self._paths: dict[str, None] = {}
        self._changed = Condition()
        self._closed = False
        self.overflowed = False

    def open(self, real: str) -> None:
        """Events will come with paths below `real`, where the inbox's own path leads."""
        self._real = real

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by watchdog for every event."""
        with self._changed:
            for path in (event.src_path, event.dest_path):
                if path and len(self._paths) < HINTS_MAX:
                    self._paths[self._root + os.fsdecode(path).removeprefix(self._real)] = None
            self.overflowed = self.overflowed or len(self._paths) >= HINTS_MAX
            self._changed.notify()

    def take(self, within_s: float) -> list[Path]:
        """All paths there are, waiting for the first; [] after within_s or once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._paths or self._closed, within_s)
            paths, self._paths = self._paths, {}
        return [Path(path) for path in paths]

    def close(self) -> None:
        """End every wait, now and later."""
        with self._changed:
            self._closed = True
            self._changed.notify()


class Overflows(logging.Handler):
    """watchdog tells an overflow of the kernel's queue to its logger only; this passes it on."""

    def __init__(self, hints: Hints) -> None:
        super().__init__(logging.WARNING)
        self._hints = hints

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage():
            self._hints.overflowed = True


class Watcher:
    """watchdog's threads over one folder, as one thing that is alive or not."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self._overflows = Overflows(hints)
        self._threads: list[BaseThread] = []
        self._stop: Callable[[], object] = _nothing

    @property
    def alive(self) -> bool:
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    @property
    def died(self) -> bool:
        """It was started, and one of its threads has ended since."""
        return bool(self._threads) and not self.alive

    def start(self, root: Path) -> None:
        """Watch everything below root. Raises OSError: no inotify watches left, root gone."""
        before = set(threads_alive())
        real = os.path.realpath(root)  # a link would be watched itself, not what it leads to
        self._hints.open(real)
        observer = Observer()
        try:
            observer.schedule(self._hints, real, recursive=True, event_filter=EVENTS)
            observer.start()
        finally:
            self._stop = observer.stop
            self._threads = [thread for thread in threads_alive() if isinstance(thread, BaseThread)]
            self._threads = [thread for thread in self._threads if thread not in before]
        logging.getLogger("watchdog").addHandler(self._overflows)

    def stop(self) -> None:
        """Stop and join the threads, also of a start that failed. Doing it twice changes nothing."""
        logging.getLogger("watchdog").removeHandler(self._overflows)
        self._stop()
        for thread in self._threads:
            thread.join(5)
        self._threads, self._stop = [], _nothing


class FolderInbox:
    """The ports Inbox and ImageReader over a folder. One thread uses it; read() may be called from any.

    rescan: hints were lost, or the inbox is newly watched: a walk is due now. Starting a walk clears it.
    """

    def __init__(self, path: Path, log: Log, *, size_max_bytes: int, clock: Clock = time.monotonic) -> None:
        self._root, self._log, self._size_max_bytes, self._clock = path.absolute(), log, size_max_bytes, clock
        self._hints = Hints(self._root)
        self._watcher = Watcher(self._hints)
        self._identity: tuple[int, int] | None = None
        self._lost = False
        self._polling = ""
        self._try_watching = True
        self._unreadable: set[Path] = set()
        self._empty_since: dict[Path, tuple[int, float]] = {}

    @property
    def rescan(self) -> bool:
        return self._hints.overflowed

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
        if identity is None or self._identity not in (None, identity):
            if not self._lost:
                cause = "it is gone" if identity is None else "another folder has taken its place"
                self._log.warning("inbox_lost", inbox=str(self._root), cause=cause)
            self._lost, self._identity = True, None
            self._watcher.stop()
            return False
        if self._identity is None:
            self._identity, self._try_watching = identity, True
            self._hints.overflowed = True
            if self._lost:
                self._log.info("inbox_back", inbox=str(self._root))
                self._lost = False
        if not self._watcher.alive and (self._try_watching or self._watcher.died):
            self._watch()
        return True

    def _watch(self) -> None:
        """Start the watcher; where it cannot be had, say so once and leave it to the walks. Each walk tries again."""
        self._try_watching = False
        if self._watcher.died:
            self._log.warning("inbox_watcher_restarted", inbox=str(self._root))
        self._watcher.stop()
        reason = self._eventless()
        if not reason:
            try:
                self._watcher.start(self._root)
                self._hints.overflowed = True  # whatever came before the watch
            except OSError as error:
                self._watcher.stop()
                reason = f"{error.strerror} (see fs.inotify.max_user_watches and max_user_instances)"
            except RecursionError:  # watchdog's own walk, before Python 3.12
                self._watcher.stop()
                reason = "its folders are nested too deeply to be watched"
        if reason and reason != self._polling:
            self._log.warning("inbox_polling", inbox=str(self._root), reason=reason)
        self._polling = reason

    def _eventless(self) -> str:
        """Why nobody would tell us of changes on this file system; "" if somebody does."""
        kind = kind_at(self._root)
        return f"{kind} does not tell of changes" if is_shared(kind) else ""

    def _identity_now(self) -> tuple[int, int] | None:
        try:
            found = self._root.stat()
        except OSError:
            return None
        return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None

    # looking

    def walk(self) -> Iterator[Path]:
        """Every candidate path, lazily; in name order within a folder of up to SORTED_MAX names, beyond that within
        portions of so many. Linked folders are candidates themselves and are not entered."""
        self._hints.overflowed = False
        self._try_watching = True
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
            if folder not in self._unreadable:
                self._unreadable.add(folder)
                self._log.warning("inbox_folder_unreadable", folder=str(folder), cause=cause_of(error, folder))
            return
        self._unreadable.discard(folder)

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

    def read(self, ref: ImageRef) -> bytes:
        """The bytes of a settled file. Thread-safe. Raises GoneError, UnreadableError: see read_settled."""
        return read_settled(self._root, ref, self._size_max_bytes)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
