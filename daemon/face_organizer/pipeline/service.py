"""A thread with a job of its own, and the answer that somebody waits for.

Room:    pipeline (moves)
Owns:    the threads beside the pipelines
Imports: channel, pulse, stdlib
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from time import monotonic
from typing import Generic, TypeVar

from face_organizer.pipeline.channel import Cancelled
from face_organizer.pipeline.pulse import Pulses, wait

T = TypeVar("T")

Job = Callable[[Event], None]
"""What a service does until it is told to stop."""


class Service:
    """One named thread that runs job(stop) until it returns; `failure` keeps what killed it. patience: see Pulse."""

    def __init__(self, name: str, job: Job, pulses: Pulses | None = None, patience: float = 1.0) -> None:
        self._job, self._name = job, name
        self._pulses, self._patience = pulses or Pulses(), patience
        self._stop = Event()
        self._thread = Thread(target=self._run, name=name)
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> bool:
        return self._thread.is_alive()

    def ask_to_stop(self) -> None:
        """It ends when it next looks."""
        self._stop.set()

    def stop(self) -> None:
        """Ask it to end and wait until it has. Doing it twice changes nothing."""
        self.ask_to_stop()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            with self._pulses.watching(self._name, self._patience):
                self._job(self._stop)
        except Cancelled:
            pass
        except BaseException as error:  # reported by whoever watches `failure`
            self.failure = error


class Reply(Generic[T]):
    """The answer to a message, for one who waits for it."""

    def __init__(self) -> None:
        self._done = Event()
        self._value: T | None = None
        self._error: BaseException | None = None

    def give(self, value: T) -> None:
        self._value = value
        self._done.set()

    def fail(self, error: BaseException) -> None:
        self._error = error
        self._done.set()

    def wait(self, unless: Callable[[], bool] = lambda: False, within_s: float | None = None) -> T:
        """The value; raises what the other side failed with, Cancelled if unless() turns true or time is up."""
        deadline = None if within_s is None else monotonic() + within_s
        while not wait(self._done, 0.1):
            if unless() or (deadline is not None and monotonic() > deadline):
                raise Cancelled
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # give() was called: the value is a T
