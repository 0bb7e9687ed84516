"""How long the steps of an image take, as histograms: what a program that watches over the daemon draws.

Room:    pipeline (moves)
Imports: ports, flow
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

from face_organizer.pipeline.flow import Deliver, Lane, Stage, Ticket
from face_organizer.ports import Clock

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

Observe = Callable[[str, float, int], None]
"""(step, seconds, items): so many items were done in so many seconds together."""


def unobserved(_step: str, _seconds: float, _items: int) -> None:
    """Nobody is interested."""


class TimedLane:
    """A Lane that says how long each ticket was in it."""

    def __init__(self, lane: Lane, step: str, observe: Observe, clock: Clock) -> None:
        self._lane, self._step, self._observe, self._clock = lane, step, observe, clock
        self._began: dict[int, float] = {}

    def open(self, deliver: Deliver, fail: Callable[[BaseException], None]) -> None:
        def timed(ticket: Ticket, result: Any, error: Exception | None) -> None:
            self._observe(self._step, self._clock() - self._began.pop(ticket.number), 1)
            deliver(ticket, result, error)

        self._lane.open(timed, fail)

    def put(self, ticket: Ticket, *, more: bool = True) -> None:
        self._began[ticket.number] = self._clock()
        self._lane.put(ticket, more=more)

    def close(self) -> None:
        self._lane.close()

    def cancel(self) -> None:
        self._lane.cancel()

    def __len__(self) -> int:
        return len(self._lane)


class Timings:
    """Thread-safe. Of a batch, each item counts with its share."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._counts: dict[str, list[int]] = {}
        self._sums_s: dict[str, float] = {}

    def observe(self, step: str, seconds: float, items: int = 1) -> None:
        if items == 0:
            return
        row = bisect_left(BOUNDS_S, seconds / items)
        with self._lock:
            self._counts.setdefault(step, [0] * (len(BOUNDS_S) + 1))[row] += items
            self._sums_s[step] = self._sums_s.get(step, 0.0) + seconds

    def timed(self, stages: Sequence[Stage]) -> list[Stage]:
        """The same stages, observed under their names: the batches of workers, and the time each item is in a lane
        (waiting and working: whose turn it is there is not ours to see)."""
        return [
            replace(
                stage,
                workers=tuple(self._watch(stage.name, work) for work in stage.workers),
                lane=TimedLane(stage.lane, stage.name, self.observe, self._clock) if stage.lane is not None else None,
            )
            for stage in stages
        ]

    def _watch(self, step: str, work: Callable[[list[Any]], list[Any]]) -> Callable[[list[Any]], list[Any]]:
        def timed(batch: list[Any]) -> list[Any]:
            began = self._clock()
            done = work(batch)
            self.observe(step, self._clock() - began, len(batch))
            return done

        return timed

    def histograms(self) -> dict[str, tuple[tuple[float, ...], list[int], float]]:
        """step -> bounds in seconds, how many up to each (and beyond the last), all seconds together."""
        with self._lock:
            return {step: (BOUNDS_S, list(counts), self._sums_s[step]) for step, counts in self._counts.items()}
