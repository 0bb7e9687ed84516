"""Is there room on the disks? Intake pauses before they are full, and goes on by itself when there is room again.

Room:    pipeline (moves)
Imports: ports

Two things pause it: less free than free_min_bytes (the library's disk, the state's), and a write that was refused
because a disk is full; that holds until the same work has been done. Either way one log line when it begins
(intake_paused) and one when it ends (intake_resumed).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from threading import Lock

from face_organizer.ports import Clock, Log

RETRY_S = 5.0
"""What was refused is tried again this often."""

LASTING_S = 2.0
MORE_TO_GO_ON = 10
"""Going on wants a tenth more than stopping, so that a byte more or less does not make a line each."""

LIBRARY, STATE = "library", "state"


@dataclass(frozen=True, slots=True)
class Lack:
    """Why intake is paused. where: LIBRARY or STATE. free_bytes: when it was looked at, None if nobody can tell.
    needed_bytes: to be free before it goes on; where a write was refused, that must succeed too. problem: in words."""

    where: str
    folder: str
    free_bytes: int | None
    needed_bytes: int
    problem: str

    def __str__(self) -> str:
        free = "an unknown amount" if self.free_bytes is None else f"{self.free_bytes / 1e6:,.1f} MB"
        needed = f", {self.needed_bytes / 1e6:,.1f} MB are needed" if self.needed_bytes else ""
        return f"{self.problem}: {self.folder} has {free} free{needed}"


class Space:
    """See the module's text. Any thread."""

    def __init__(
        self,
        folders: Mapping[str, Path],
        free_bytes: Callable[[Path], int | None],
        free_min_bytes: int,
        log: Log,
        clock: Clock,
        copies: Callable[[], bool] = lambda: False,
    ) -> None:
        """folders: LIBRARY and STATE. copies(): does placing an image take the room of a copy? Then images that are
        not placed yet count as if they were."""
        self._folders, self._free_bytes, self._copies = folders, free_bytes, copies
        self.free_min_bytes = free_min_bytes
        self._log, self._clock = log, clock
        self._lock = Lock()
        self._short: Lack | None = None
        self._refused: dict[str, Lack] = {}
        self._taken: dict[Path, int] = {}
        self._since = 0.0
        self._wanted, self._wanted_at = 0, -inf

    @property
    def lack(self) -> Lack | None:
        """Why intake is paused now; None while it is not."""
        return next(iter(self._refused.copy().values()), self._short)

    def is_lasting(self) -> bool:
        """Has intake been paused for so long that nothing will change by itself? What was refused was tried again."""
        enough_s = 2 * RETRY_S if self._refused else LASTING_S
        return self.lack is not None and self._clock() - self._since >= enough_s

    def admits(self, path: Path, size_bytes: int) -> bool:
        """May one more image be taken in? If so, its room is kept until `placed`. Looks at the disks."""
        with self._lock:
            size_bytes = size_bytes if self._copies() else 0
            self._measure(size_bytes)
            if self.lack:
                self._wanted, self._wanted_at = size_bytes, self._clock()
                return False
            self._wanted = 0
            if size_bytes:
                self._taken[path] = size_bytes
            return True

    def look(self) -> None:
        """Look at the disks, with nothing new to take in."""
        with self._lock:
            self._measure(self._wanted if self._clock() - self._wanted_at < RETRY_S else 0)

    def placed(self, path: Path) -> None:
        """The image that lay there has found its place, or needs none."""
        with self._lock:
            self._taken.pop(path, None)

    def refused(self, what: str, where: str, problem: str) -> None:
        """A disk was too full for `what`, which is tried again after RETRY_S."""
        with self._lock:
            before = self.lack
            folder = self._folders.get(where)
            free = self._free_bytes(folder) if folder else None
            self._refused[what] = Lack(where, str(folder), free, self.free_min_bytes, problem)
            self._tell(before)

    def accepted(self, what: str) -> None:
        """What was refused, if it was, has been done."""
        if what not in self._refused:
            return
        with self._lock:
            before = self.lack
            self._refused.pop(what, None)
            self._short = self._shortage(0)
            self._tell(before)

    def _measure(self, size_bytes: int) -> None:
        before = self.lack
        self._short = self._shortage(size_bytes)
        self._tell(before)

    def _shortage(self, size_bytes: int) -> Lack | None:
        to_stop, to_go_on = self.free_min_bytes, self.free_min_bytes + self.free_min_bytes // MORE_TO_GO_ON
        for where, folder in self._folders.items():
            coming = size_bytes + sum(self._taken.values()) if where == LIBRARY else 0
            free = self._free_bytes(folder)
            if free is not None and free < coming + (to_go_on if self.lack else to_stop):
                problem = "less room than watch.disk_free_min_bytes wants"
                return Lack(where, str(folder), free, to_go_on + coming, problem)
        return None

    def _tell(self, before: Lack | None) -> None:
        now = self.lack
        if now and not before:
            self._since = self._clock()
            self._log.warning(
                "intake_paused",
                what=now.where,
                folder=now.folder,
                free_bytes=now.free_bytes,
                needed_bytes=now.needed_bytes,
                problem=now.problem,
            )
        elif before and not now:
            self._log.info("intake_resumed", seconds=round(self._clock() - self._since, 1))


def boundless(log: Log, clock: Clock) -> Space:
    """Where nobody takes anything in: no disk is looked at."""
    return Space({}, lambda folder: None, 0, log, clock)
