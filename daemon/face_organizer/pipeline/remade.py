"""What is made of the whole library for looking, and kept until the library has changed.

Room:    pipeline (moves)
Imports: ports, pulse
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from face_organizer.pipeline.pulse import waiting
from face_organizer.ports import Clock, Transaction

T = TypeVar("T")

SHARE_MAX = 0.05
"""Of the time, however often the library changes: what is looked at may be some seconds old."""


class Remade(Generic[T]):
    """make(before): makes it, from what it was before. Any thread asks; one at a time makes it."""

    def __init__(self, make: Callable[[T | None], T], clock: Clock) -> None:
        self._make, self._clock = make, clock
        self._lock = Lock()
        self._made: T | None = None
        self._stamp: tuple[int, ...] = ()
        self._not_before = clock()

    def get(self, stamp: tuple[int, ...], *, now: bool = False) -> T:
        """As the library is, or was a little while ago. stamp: of the library as it is. now: not a while ago."""
        with waiting():
            self._lock.acquire()
        try:
            if self._made is None or (stamp != self._stamp and (now or self._clock() >= self._not_before)):
                start = self._clock()
                self._made, self._stamp = self._make(self._made), stamp
                self._not_before = self._clock() + (self._clock() - start) / SHARE_MAX
            return self._made
        finally:
            self._lock.release()


def stamp_of(txn: Transaction) -> tuple[int, ...]:
    """Another one whenever a face came, or whose it is changed."""
    return tuple(txn.last_id(table) for table in ("faces", "changes", "decisions", "runs"))
