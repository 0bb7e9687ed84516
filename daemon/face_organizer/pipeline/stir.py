"""Whether somebody is at work in the folders: hints, less what we did ourselves.

Room:    pipeline (moves)
Imports: ports

Thread-safe: the placer tells what it did, whoever follows the folders asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from threading import Lock

from face_organizer.ports import Clock

OURS_S = 10.0
"""For so long a hint at a place that we changed is an echo of that."""

KEPT_MAX = 20_000


class Stir:
    """See the module's text."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, Lock()
        self._ours: dict[str, float] = {}
        self._theirs: dict[str, float] = {}

    def ours(self, places: Iterable[str]) -> None:
        """We changed what lies at these places, just now or in a moment."""
        until = self._clock() + OURS_S
        with self._lock:
            for place in places:
                for path in (place, place.partition("/")[0]):
                    self._ours[path] = until
                    self._theirs.pop(path, None)
            if len(self._ours) > KEPT_MAX:
                now = self._clock()
                self._ours = {path: until for path, until in self._ours.items() if until > now}

    def hinted(self, paths: Iterable[str]) -> None:
        """Something happened there."""
        now = self._clock()
        with self._lock:
            for path in paths:
                if self._ours.get(path, -inf) < now and len(self._theirs) < KEPT_MAX:
                    self._theirs[path] = now

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
