"""From a path that somebody mentioned to a settled image on its way: events are hints, the walk is the truth.

Room:    pipeline (moves)
Imports: types, errors, ports, pulse, space
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from threading import Event, Lock

from face_organizer.errors import GoneError
from face_organizer.pipeline.pulse import beat, wait
from face_organizer.pipeline.space import Space
from face_organizer.ports import Clock, Inbox, Log
from face_organizer.types import ImageRef, Signature

WATCHED_MAX = 4096
"""Files that may be settling at once; the walk waits for room, hints beyond it are left to the walk. As many may be put
off; what is put off beyond it comes again with every walk."""

LOOK_S = 0.2
"""The walk goes on for so long before hints, and files that have settled, have their turn."""

RETRY_MIN_S, RETRY_MAX_S = 1.0, 60.0
"""A file that cannot be read is tried again after the first, then after twice as long each time, up to the second."""


@dataclass(slots=True)
class Settling:
    """A file that may still change. since: when this signature was first seen; not_before: look again no sooner."""

    signature: Signature
    since: float
    not_before: float = 0.0


@dataclass(slots=True)
class PutOff:
    """A file that stays in the inbox for now. not_before: try it again no sooner, unless somebody hints at it or it
    changes; tried: it is being tried again."""

    signature: Signature
    cause: str
    delay_s: float
    not_before: float
    tried: bool = False


@dataclass(frozen=True, slots=True)
class Patience:
    """settle_s: how long a file must not have changed. rescan_s: between two walks; poll_s: where nobody tells of
    changes. unfinished_grace_s: how long after its last change an empty or cut-short file may still be finished.
    prune_empty_s: how long an empty folder is left in peace."""

    settle_s: float
    rescan_s: float
    poll_s: float
    unfinished_grace_s: float
    prune_empty_s: float


class Ingest:
    """Follows the inbox and submits each file once it has settled: same size, mtime and inode for
    settle_s.

    known(path, signature): truth already has exactly this file. submit(ref) waits for room in the pipeline. space:
    while it admits nothing, settled files wait where they lie.
    A file that looked unfinished (empty, cut short) gets unfinished_grace_s from its last change before its verdict; an
    empty one is put off then, for it holds nothing yet, and so is one that cannot be read for now.
    """

    def __init__(
        self,
        inbox: Inbox,
        known: Callable[[Path, Signature], bool],
        submit: Callable[[ImageRef], None],
        log: Log,
        clock: Clock,
        patience: Patience,
        space: Space | None = None,
    ) -> None:
        self._inbox, self._known, self._submit = inbox, known, submit
        self._log, self._clock, self._space = log, clock, space
        self.patience = patience
        self._settling: dict[Path, Settling] = {}
        self._under_way: set[Path] = set()
        self._whole: set[Path] = set()
        self._unfinished: dict[Path, tuple[Signature, float]] = {}
        self._put_off: dict[Path, PutOff] = {}
        self._lock = Lock()
        self._walk: Iterator[Path] | None = None
        self._walk_took_s, self._walk_ended, self._found = 0.0, -inf, 0
        self.walks = 0

    # what other threads may call

    def take_whole(self, path: Path, put: Callable[[], None]) -> ImageRef:
        """Submit a file that put() writes at this path: it is whole, and not waited for. Raises FileExistsError where
        the path is taken, what put() raises, and GoneError where somebody took the file away at once."""
        with self._lock:
            if path in self._under_way or path in self._settling:
                raise FileExistsError(path)
            self._under_way.add(path)
            self._whole.add(path)
        try:
            put()
            signature = self._inbox.signature(path)
            if signature is None:
                raise GoneError(f"{path} is gone")
            ref = ImageRef(path, signature)
            self._submit(ref)
        except BaseException:
            with self._lock:
                self._under_way.discard(path)
                self._whole.discard(path)
            raise
        return ref

    def done(self, refs: list[ImageRef]) -> None:
        """These images left the pipeline; their paths may be looked at again."""
        with self._lock:
            for ref in refs:
                self._under_way.discard(ref.path)
                self._whole.discard(ref.path)
                if ref.path not in self._settling:
                    self._unfinished.pop(ref.path, None)
                if ref.path in self._put_off and self._put_off[ref.path].tried:
                    del self._put_off[ref.path]

    def postpone(self, ref: ImageRef, cause: str) -> bool:
        """An unfinished file: True if it deserves another look later, False if its time is up."""
        now, grace_s = self._clock(), self.patience.unfinished_grace_s
        with self._lock:
            if ref.path in self._whole:
                return False
            signature, since = self._unfinished.get(ref.path, (None, now))
            if signature != ref.signature:
                since = now
            if now - since < grace_s:
                self._unfinished[ref.path] = ref.signature, since
                self._settling[ref.path] = Settling(ref.signature, now, min(since + grace_s, now + 1))
                return True
            self._unfinished.pop(ref.path, None)
        if grace_s > 0 and ref.signature.size_bytes == 0:
            self.put_off(ref, cause, retry=False)
            return True
        return False

    def put_off(self, ref: ImageRef, cause: str, *, retry: bool = True) -> None:
        """Leave the file in the inbox, say so once, and try it again later; without retry only once it has changed."""
        with self._lock:
            before = self._put_off.get(ref.path)
            if before is None and len(self._put_off) >= WATCHED_MAX:
                return
            again = before is not None and before.signature == ref.signature and before.cause == cause
            delay_s = min(2 * before.delay_s, RETRY_MAX_S) if before and again else RETRY_MIN_S
            not_before = self._clock() + delay_s if retry else inf
            self._put_off[ref.path] = PutOff(ref.signature, cause, delay_s, not_before)
        if not again:
            self._log.warning("image_put_off", image=str(ref.path), cause=cause)

    def problems(self) -> list[str]:
        """Which files stay in the inbox for now and why, in sentences for people."""
        with self._lock:
            return [f"{path} stays in the inbox: {each.cause}" for path, each in self._put_off.items()]

    def idle(self) -> bool:
        """Nothing is settling or under way, and a whole walk has ended since the last change."""
        with self._lock:
            return self.walks > 0 and self._walk is None and not self._settling and not self._under_way

    # the service

    def run(self, stop: Event) -> None:
        """The service: until stop, turn hints and walks into submitted images."""
        while not stop.is_set():
            beat()
            if not self._inbox.check():
                self._walk = None
                wait(stop, 0.5)
                continue
            for path in self._inbox.hints(within_s=self._pause_s()):
                self._notice(path, told=True)
            self._retry()
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
        if self._settling:
            return min(0.05, self.patience.settle_s / 4)
        return 0.0 if self._is_walk_due(self._clock()) else 0.2

    def _advance_walk(self) -> None:
        """Notice more of the walk's paths, as long as there is room for them."""
        began = self._clock()
        if self._walk is None:
            if not self._is_walk_due(began):
                return
            self._walk, self._walk_took_s, self._found = self._inbox.walk(), 0.0, 0
        while len(self._settling) < WATCHED_MAX and self._clock() < began + LOOK_S:
            path = next(self._walk, None)
            if path is None:
                self._end_walk(began)
                return
            self._found += self._notice(path)
        self._walk_took_s += self._clock() - began

    def _is_walk_due(self, now: float) -> bool:
        return self._inbox.rescan or now >= self._next_walk()

    def _next_walk(self) -> float:
        """When the next walk is due. It must not become the daemon's main occupation: a tenth of the time at most."""
        patience = self.patience
        polling = self._inbox.state.kind == "polling"
        period_s = min(patience.poll_s, patience.rescan_s) if polling else patience.rescan_s
        return self._walk_ended + max(period_s, 10 * self._walk_took_s)

    def _end_walk(self, began: float) -> None:
        if self._found and self.walks and self._inbox.state.kind == "watched":
            self._log.info("rescan_found", images=self._found)  # nobody had told of them
        self._inbox.prune(self.patience.prune_empty_s)
        self._forget_gone()
        self._walk = None
        self.walks += 1
        self._walk_ended = self._clock()
        self._walk_took_s += self._walk_ended - began

    def _forget_gone(self) -> None:
        """What was put off and is there no more."""
        for path in list(self._put_off):
            if self._inbox.signature(path) is None:
                with self._lock:
                    self._put_off.pop(path, None)

    def _retry(self) -> None:
        """Notice again what was put off and is due."""
        now = self._clock()
        with self._lock:
            due = [path for path, each in self._put_off.items() if not each.tried and now >= each.not_before]
        for path in due:
            self._notice(path, told=True)

    def _notice(self, path: Path, *, told: bool = False) -> bool:
        """Watch a path that is not under way, not known and not put off; one that is watched starts anew if it has
        changed. told: somebody hinted at it. Returns whether it is a new one."""
        beat()
        with self._lock:
            watched, put_off = self._settling.get(path), self._put_off.get(path)
            if path in self._under_way or (watched is None and len(self._settling) >= 2 * WATCHED_MAX):
                return False
        signature = self._inbox.signature(path)
        if signature is None or (watched is None and self._known(path, signature)):
            return False
        if put_off is not None:
            if not told and put_off.signature == signature:
                return False
            put_off.tried = True
        if watched is not None and watched.signature == signature:
            return False
        with self._lock:
            self._settling[path] = Settling(signature, self._clock(), watched.not_before if watched else 0.0)
        return watched is None

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
                    self._put_off.pop(path, None)
                elif signature != settling.signature:
                    self._settling[path] = Settling(signature, now, settling.not_before)
                elif self._space is not None and not self._space.admits(path, signature.size_bytes):
                    break
                else:
                    del self._settling[path]
                    self._under_way.add(path)
                    ready.append(ImageRef(path, signature))
        return ready
