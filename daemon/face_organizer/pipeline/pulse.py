"""Whether each thread gets on: at work since when, or waiting. A thread that does not beat for too long is hung.

Room:    pipeline (moves)
Imports: ports, stdlib

Whoever waits says so (`wait`, `waiting`; Channel, Pipeline and Reply do it themselves) and may wait for ever. Whoever
works beats at every step. Threads without a pulse may call all of this too; then it does nothing.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from threading import Event, Lock, get_ident, local
from time import monotonic
from typing import Any

from face_organizer.ports import Clock

AT_LENGTH = 12.0
"""The patience with a thread that thinks about all faces at once: its single steps may take minutes."""

_own = local()


@dataclass(frozen=True, slots=True)
class Hung:
    """A thread without a beat for so long, and where it is: its stack, innermost call last.

    since: tells this standstill from a later one of the same thread.
    """

    thread: str
    since: float
    seconds: float
    stack: str


class Pulse:
    """One thread's. patience: how many times the usual bound a step of it may take."""

    def __init__(self, name: str, clock: Clock, patience: float) -> None:
        self.name, self.patience = name, patience
        self._clock = clock
        self._waits = 0
        self.since = clock()
        self.ident = 0

    def beat(self) -> None:
        """A step is done. Called by the thread itself."""
        self.ident = get_ident()
        self.since = self._clock()

    @property
    def is_waiting(self) -> bool:
        return self._waits > 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self.beat()
        self._waits += 1
        try:
            yield
        finally:
            self.beat()  # before the wait ends: nobody may see work that began long ago
            self._waits -= 1


class Pulses:
    """Those of all threads of a process that matter. Thread-safe."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._pulses: list[Pulse] = []

    def begin(self, name: str, patience: float = 1.0) -> Pulse:
        """A pulse for a thread that beats it itself."""
        pulse = Pulse(name, self._clock, patience)
        with self._lock:
            self._pulses.append(pulse)
        return pulse

    def end(self, pulse: Pulse) -> None:
        """Doing it twice changes nothing."""
        with self._lock:
            self._pulses = [each for each in self._pulses if each is not pulse]

    @contextmanager
    def watching(self, name: str, patience: float = 1.0) -> Iterator[None]:
        """Give the calling thread a pulse for a while: `beat` and `wait` are about it then."""
        before, pulse = getattr(_own, "pulse", None), self.begin(name, patience)
        _own.pulse = pulse
        pulse.beat()
        try:
            yield
        finally:
            _own.pulse = before
            self.end(pulse)

    def watched(self, name: str, call: Callable[..., Any], patience: float = 1.0) -> Callable[..., Any]:
        """The same call, with a pulse of its own in whichever thread it runs."""

        @wraps(call)
        def with_pulse(*arguments: Any, **named: Any) -> Any:
            with self.watching(name, patience):
                return call(*arguments, **named)

        return with_pulse

    def states(self) -> dict[str, dict[str, Any]]:
        """thread -> its state, "waiting" or "working", and for how many seconds. Of two of a name, the older state."""
        now = self._clock()
        with self._lock:
            pulses = sorted(self._pulses, key=lambda pulse: -pulse.since)
        return {
            pulse.name: {
                "state": "waiting" if pulse.is_waiting else "working",
                "seconds": round(max(0.0, now - pulse.since), 1),
            }
            for pulse in pulses
        }

    def hung(self, after_s: float) -> list[Hung]:
        """Who has worked for longer than after_s (times its patience) without a beat, the longest first."""
        now = self._clock()
        with self._lock:
            pulses = list(self._pulses)
        # is_waiting is read before since: a wait that ends in between has beaten by then.
        stuck = [pulse for pulse in pulses if not pulse.is_waiting and now - pulse.since > after_s * pulse.patience]
        stuck.sort(key=lambda pulse: pulse.since)
        return [Hung(each.name, each.since, round(now - each.since, 1), _stack(each.ident)) for each in stuck]


def beat() -> None:
    """The calling thread got on: a step of its work is done."""
    pulse: Pulse | None = getattr(_own, "pulse", None)
    if pulse is not None:
        pulse.beat()


@contextmanager
def at_length() -> Iterator[None]:
    """A single step of the calling thread that may take as long as one that looks at all faces."""
    pulse: Pulse | None = getattr(_own, "pulse", None)
    if pulse is None:
        yield
        return
    before, pulse.patience = pulse.patience, max(pulse.patience, AT_LENGTH)
    pulse.beat()
    try:
        yield
    finally:
        pulse.beat()  # before the patience ends: nobody may see a step that began long ago
        pulse.patience = before


@contextmanager
def waiting() -> Iterator[None]:
    """The calling thread waits for something that may take for ever, and is not hung."""
    pulse: Pulse | None = getattr(_own, "pulse", None)
    if pulse is None:
        yield
        return
    with pulse.waiting():
        yield


def wait(event: Event, within_s: float | None = None) -> bool:
    """event.wait, as a wait that may take for ever."""
    with waiting():
        return event.wait(within_s)


def pause(for_s: float) -> None:
    """Wait for so long, as a wait that may take for ever."""
    wait(Event(), for_s)


def _stack(ident: int) -> str:
    frame = sys._current_frames().get(ident)
    return "".join(traceback.format_stack(frame)) if frame is not None else "the thread has ended\n"
