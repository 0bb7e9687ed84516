"""Lets calls run in a few threads, never on the event loop; and never more than their share while images stream by.

Room:    web (talks)
Imports: errors, stdlib
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from time import thread_time
from typing import Any, Literal, TypeVar

from face_organizer.errors import FaceOrganizerError

T = TypeVar("T")
Desk = Literal["look", "pictures", "decide", "enrol"]

CLERKS: dict[Desk, int] = {"look": 2, "pictures": 2, "decide": 2, "enrol": 4}
"""Threads behind each desk: a re-clustering of minutes must not keep anybody from looking."""

WAITING_MAX = 256
"""So many may wait at one desk; who comes then is told to come again."""


class BusyError(FaceOrganizerError):
    """Too many ask at once: come again."""


class Budget:
    """Time on the processor that looking may take while images are on their way: so many seconds at once, refilled with
    `share` of each second. Thread-safe; clock: monotonic seconds."""

    def __init__(self, share: float, at_once_s: float, clock: Callable[[], float]) -> None:
        self._share, self._at_once_s, self._clock = share, at_once_s, clock
        self._lock = Lock()
        self._left_s, self._at = at_once_s, clock()

    def spend(self, cpu_s: float) -> None:
        with self._lock:
            self._left_s = self._refilled() - cpu_s

    def wait_s(self) -> float:
        """How long until there is something left to spend; 0: now."""
        with self._lock:
            self._left_s = self._refilled()
            return max(0.0, -self._left_s / self._share)

    def _refilled(self) -> float:
        now, before = self._clock(), self._at
        self._at = now
        return min(self._at_once_s, self._left_s + (now - before) * self._share)


class Clerks:
    """The threads, until close()."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._pools = {desk: ThreadPoolExecutor(count, f"web-{desk}") for desk, count in CLERKS.items()}
        self._waiting: dict[Desk, int] = dict.fromkeys(CLERKS, 0)

    async def ask(self, desk: Desk, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """What work returns or raises. Raises BusyError where too many wait already."""
        if self._waiting[desk] >= WAITING_MAX:
            raise BusyError("too many ask at once: try again in a moment")
        self._waiting[desk] += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pools[desk], lambda: self._work(work, *arguments, **named))
        finally:
            self._waiting[desk] -= 1

    def _work(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        began = thread_time()
        try:
            return work(*arguments, **named)
        finally:
            self._budget.spend(thread_time() - began)

    def dismiss(self) -> None:
        """Begin nothing any more."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Wait for what runs."""
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)
