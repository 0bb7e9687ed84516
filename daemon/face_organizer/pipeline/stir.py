"""Whether somebody is at work in the folders: hints, less what we did ourselves.

Room:    pipeline (moves)
Imports: types, ports, homes

Thread-safe: the placer tells what it did, whoever follows the folders asks. An echo of ours is told by looking: what
lies there is what we left. Whatever anybody did since, however soon, looks different.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from threading import Lock

from face_organizer.pipeline.homes import Homes
from face_organizer.ports import Clock
from face_organizer.types import Signature

KEPT_MAX = 20_000

Look = Callable[[str], Signature | None]
"""What tells what lies at a place, or a folder, from anything else; None where nothing does. Any thread."""


class Stir:
    """See the module's text. homes: which folder is which."""

    def __init__(self, clock: Clock, look: Look) -> None:
        self.homes = Homes(look)
        self._clock, self._look, self._lock = clock, look, Lock()
        self._left: dict[str, Signature | None] = {}
        self._theirs: dict[str, float] = {}

    def ours(self, places: Iterable[str], stands: Iterable[str], folders: Iterable[tuple[str, int]] = ()) -> None:
        """We changed what lies at these places just now: something stands at some of them, and nothing at the rest.
        folders: the inodes of those that we laid it in, by name."""
        standing = set(stands)
        for folder, inode in folders:
            self.homes.laid_into(folder, inode)
        for place in dict.fromkeys((*places, *standing)):
            folder = place.partition("/")[0]
            with self._lock:
                found = self._look(place)
                if (found is not None) != (place in standing):  # somebody was there before we looked
                    self._left.pop(place, None)
                    continue
                self._leave(place, found)
                if folder != place:
                    self._leave(folder, stood := self._look(folder))
                    if stood is None:
                        self.homes.removed(folder)

    def _leave(self, path: str, found: Signature | None) -> None:
        self._left.pop(path, None)
        self._left[path] = found
        self._theirs.pop(path, None)
        if len(self._left) > KEPT_MAX:
            del self._left[next(iter(self._left))]

    def hinted(self, paths: Iterable[str]) -> None:
        """Something happened there."""
        for path in paths:
            with self._lock:
                if path in self._left and self._left[path] == self._look(path):
                    continue
                self._left.pop(path, None)
                if len(self._theirs) < KEPT_MAX:
                    self._theirs[path] = self._clock()

    def last(self) -> float:
        """When somebody stirred last; -inf where nobody has."""
        with self._lock:
            return max(self._theirs.values(), default=-inf)

    def began(self) -> float:
        """When somebody began to stir; inf where nobody has."""
        with self._lock:
            return min(self._theirs.values(), default=inf)

    def settle(self) -> None:
        """All of that was looked at."""
        with self._lock:
            self._theirs.clear()
