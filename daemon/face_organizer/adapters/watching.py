"""Being told of changes below a folder: watchdog over inotify, as one thing that is alive or not.

Room:    adapters (touches)
Imports: watchdog, stdlib

What it tells are hints. It loses some (the kernel's queue overflows), its threads can die, and it passes in silence
over folders that got no watch; all this is made visible here, and whoever uses it walks the folder as well.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path
from threading import Condition

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import CallbackId, InotifyFD, Mask, WatchCallback, WatchDescriptor
from watchdog.utils import BaseThread

HINTS_MAX = 10_000
Events = tuple[type[FileSystemEvent], ...]
ARRIVALS: Events = (
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileClosedEvent,
    FileAttribEvent,  # a file that we may read from now on
)
"""What may mean that a file is there, or more of it."""

REARRANGEMENTS: Events = (
    FileCreatedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    FileClosedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
)
"""What may mean that somebody tidies up. Not every single write: the database writes all the time."""

LIMIT_REACHED = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
LIMITS = "see fs.inotify.max_user_watches and max_user_instances"


def _nothing() -> None:
    pass


class Hints(FileSystemEventHandler):
    """Paths worth a look, each once. The watcher's thread adds, and must never meet an exception: it would die of it.

    lost: why some were lost, "" if none were; only a walk can find those.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._real = self._root
        self._paths: dict[str, None] = {}
        self._changed = Condition()
        self._closed = False
        self.lost = ""

    def open(self, real: str) -> None:
        """Events will come with paths below `real`, where the folder's own path leads."""
        self._real = real

    def dispatch(self, event: FileSystemEvent) -> None:
        """Called by watchdog for every event."""
        with self._changed:
            for path in (event.src_path, event.dest_path):
                if path and len(self._paths) < HINTS_MAX:
                    self._paths[self._root + os.fsdecode(path).removeprefix(self._real)] = None
            if len(self._paths) >= HINTS_MAX:
                self.lost = f"more than {HINTS_MAX:,} paths changed at once"
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
            self._hints.lost = "the kernel's queue of events was full"


class Descriptor(InotifyFD):
    """inotify, remembering that there was no watch left for a folder: watchdog says so for the outermost one only."""

    def __init__(self) -> None:
        super().__init__()
        self.refused = ""

    def add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
        """See InotifyFD. A folder that we may not read raises as well; there it would be taken for watched."""
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fsdecode(path))
        try:
            return super().add_callback(path, mask, callback, id_)
        except OSError as error:
            if error.errno in LIMIT_REACHED:
                self.refused = error.strerror or str(error)
            raise


class Watcher:
    """watchdog's threads over one folder. refused: why some folders below are not watched, "" if all are."""

    def __init__(self, hints: Hints, events: Events = ARRIVALS) -> None:
        self._hints, self._events = hints, events
        self._overflows = Overflows(hints)
        self._descriptor: Descriptor | None = None
        self._threads: list[BaseThread] = []
        self._stop: Callable[[], object] = _nothing

    @property
    def alive(self) -> bool:
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    @property
    def died(self) -> bool:
        """It was started, and one of its threads has ended since."""
        return bool(self._threads) and not self.alive

    @property
    def refused(self) -> str:
        return self._descriptor.refused if self._descriptor is not None else ""

    def start(self, root: Path) -> None:
        """Watch everything below root. Raises OSError: no inotify watches left, root gone or forbidden."""
        real = os.path.realpath(root)  # a link would be watched itself, not what it leads to
        self._hints.open(real)
        self._descriptor = descriptor = Descriptor()
        descriptor.start()
        observer = BaseObserver(InotifyEmitter, inotify_fd=descriptor)
        observer.schedule(self._hints, real, recursive=True, event_filter=list(self._events))
        threads = [descriptor, observer, *observer.emitters]
        self._stop = observer.stop
        try:
            observer.start()
        finally:
            self._threads = [thread for thread in threads if thread.is_alive()]
        logging.getLogger("watchdog").addHandler(self._overflows)

    def stop(self) -> None:
        """Stop and join the threads, also of a start that failed. Doing it twice changes nothing."""
        logging.getLogger("watchdog").removeHandler(self._overflows)
        self._stop()
        if self._descriptor is not None:
            self._descriptor.stop()
        for thread in self._threads:
            thread.join(5)
        self._threads, self._stop, self._descriptor = [], _nothing, None
