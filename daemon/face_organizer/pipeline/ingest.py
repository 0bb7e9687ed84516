"""From a path that somebody mentioned to a settled image on its way: events are hints, the walk is the truth.

Room:    pipeline (moves)
Imports: types, ports, errors
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock

from face_organizer.pipeline.space import Space
from face_organizer.ports import Clock, Inbox
from face_organizer.types import ImageRef, Signature

WATCHED_MAX = 4096
"""Files that may be settling at once; the walk waits for room, hints beyond it are left to the walk."""


@dataclass(slots=True)
class Settling:
    """A file that may still change. since: when this signature was first seen; not_before: look again no sooner."""

    signature: Signature
    since: float
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Patience:
    """settle_s: how long a file must not have changed. rescan_s: between two walks. unfinished_grace_s: how long an
    empty or cut-short file may take to be finished. prune_empty_s: how long an empty folder is left in peace."""

    settle_s: float
    rescan_s: float
    unfinished_grace_s: float
    prune_empty_s: float


class Ingest:
    """Follows the inbox and submits each file once it has settled: same size, mtime and inode for
    settle_s.

    known(path, signature): truth already has exactly this file. submit(ref) waits for room in the pipeline. space:
    while it admits nothing, settled files wait where they lie.
    A file that looked unfinished (empty, cut short) gets unfinished_grace_s from its first sight before its verdict.
    """

    def __init__(
        self,
        inbox: Inbox,
        known: Callable[[Path, Signature], bool],
        submit: Callable[[ImageRef], None],
        clock: Clock,
        patience: Patience,
        space: Space | None = None,
    ) -> None:
        self._inbox, self._known, self._submit = inbox, known, submit
        self._clock, self._space = clock, space
        self.patience = patience
        self._settling: dict[Path, Settling] = {}
        self._under_way: set[Path] = set()
        self._unfinished: dict[Path, float] = {}
        self._lock = Lock()
        self._walk: Iterator[Path] | None = None
        self._walk_started = 0.0
        self._next_walk = 0.0
        self.walks = 0

    # what other threads may call

    def done(self, refs: list[ImageRef]) -> None:
        """These images left the pipeline; their paths may be looked at again."""
        with self._lock:
            for ref in refs:
                self._under_way.discard(ref.path)
                if ref.path not in self._settling:
                    self._unfinished.pop(ref.path, None)

    def postpone(self, ref: ImageRef) -> bool:
        """An unfinished file: True if it deserves another look later, False if its time is up."""
        with self._lock:
            first = self._unfinished.setdefault(ref.path, self._clock())
            if self._clock() - first >= self.patience.unfinished_grace_s:
                del self._unfinished[ref.path]
                return False
            self._settling[ref.path] = Settling(
                ref.signature, self._clock(), min(first + self.patience.unfinished_grace_s, self._clock() + 1)
            )
            return True

    def idle(self) -> bool:
        """Nothing is settling or under way, and a whole walk has ended since the last change."""
        with self._lock:
            return self.walks > 0 and self._walk is None and not self._settling and not self._under_way

    # the service

    def run(self, stop: Event) -> None:
        """The service: until stop, turn hints and walks into submitted images."""
        while not stop.is_set():
            if not self._inbox.check():
                self._walk = None
                stop.wait(0.5)
                continue
            for path in self._inbox.hints(within_s=self._pause_s()):
                self._notice(path)
            self._advance_walk()
            for ref in self._settled():
                if stop.is_set():
                    return
                self._submit(ref)

    def _pause_s(self) -> float:
        if self._walk is not None and len(self._settling) < WATCHED_MAX:
            return 0.0
        if self._space is not None and self._space.lack:
            return 0.5
        return min(0.05, self.patience.settle_s / 4) if self._settling else 0.2

    def _advance_walk(self) -> None:
        """Notice more of the walk's paths, as long as there is room for them."""
        if self._walk is None:
            if self._clock() < self._next_walk and not self._inbox.rescan:
                return
            self._walk, self._walk_started = self._inbox.walk(), self._clock()
        while len(self._settling) < WATCHED_MAX:
            path = next(self._walk, None)
            if path is None:
                break
            self._notice(path)
        else:
            return
        self._walk = None
        self.walks += 1
        took_s = self._clock() - self._walk_started
        # A walk over a huge inbox must not become the daemon's main occupation.
        self._next_walk = self._clock() + max(self.patience.rescan_s, 10 * took_s)
        self._inbox.prune(self.patience.prune_empty_s)

    def _notice(self, path: Path) -> None:
        """Watch a path that is not under way and not known; one that is watched starts anew if it has changed."""
        with self._lock:
            watched = self._settling.get(path)
            if path in self._under_way or (watched is None and len(self._settling) >= 2 * WATCHED_MAX):
                return
        signature = self._inbox.signature(path)
        if signature is None or (watched is None and self._known(path, signature)):
            return
        if watched is None or watched.signature != signature:
            with self._lock:
                self._settling[path] = Settling(signature, self._clock(), watched.not_before if watched else 0.0)

    def _settled(self) -> list[ImageRef]:
        """The files whose signature has not changed for settle_s; they are under way from now on."""
        now = self._clock()
        ready: list[ImageRef] = []
        with self._lock:
            due = [
                (path, settling)
                for path, settling in self._settling.items()
                if now >= max(settling.since + self.patience.settle_s, settling.not_before)
            ]
        for path, settling in due:
            signature = self._inbox.signature(path)
            with self._lock:
                if signature is None:
                    del self._settling[path]
                    self._unfinished.pop(path, None)
                elif signature != settling.signature:
                    self._settling[path] = Settling(signature, now, settling.not_before)
                elif self._space is not None and not self._space.admits(path, signature.size_bytes):
                    break
                else:
                    del self._settling[path]
                    self._under_way.add(path)
                    ready.append(ImageRef(path, signature))
        return ready
