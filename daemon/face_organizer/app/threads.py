"""The threads of a library: its pipeline, and the services beside it; and how long the others wait for them.

Room:    app (wires)
Imports: pipeline, stdlib
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from time import monotonic
from typing import Any

from face_organizer.pipeline.flow import Pipeline
from face_organizer.pipeline.messages import Call
from face_organizer.pipeline.pulse import AT_LENGTH, Pulses
from face_organizer.pipeline.service import Job, Service

AT_THEIR_EASE = frozenset({"recluster", "reembed"})
"""These may work for long without a beat."""


class Threads:
    """pipeline: the one that is used now. pulses: of all of them."""

    pipeline: Pipeline

    def __init__(self, pulses: Pulses) -> None:
        self.pulses = pulses
        self._services: dict[str, Service] = {}
        self.are_started = False
        self._give_up_at = inf

    def start(self, jobs: Mapping[str, Job]) -> None:
        """The pipeline's, and one for each job by its name."""
        self._services = {
            name: Service(name, job, self.pulses, AT_LENGTH if name in AT_THEIR_EASE else 1.0)
            for name, job in jobs.items()
        }
        self.are_started = True
        self.pipeline.start()
        for service in self._services.values():
            service.start()

    def ask_to_stop(self, *names: str) -> None:
        """These services end when they next look; those that were not started are passed over."""
        for service in self._named(names):
            service.ask_to_stop()

    def stop(self, *names: str) -> None:
        """The same, and wait until they have."""
        self.ask_to_stop(*names)
        for service in self._named(names):
            service.stop()

    def _named(self, names: Iterable[str]) -> list[Service]:
        return [self._services[name] for name in names if name in self._services]

    def failure(self) -> BaseException | None:
        """What killed a thread, if anything did."""
        causes = [self.pipeline.failure, *(service.failure for service in self._services.values())]
        return next((cause for cause in causes if cause is not None), None)

    # how long one waits for them

    def give_up_within(self, seconds: float) -> None:
        """From then on nobody need wait any longer."""
        self._give_up_at = monotonic() + seconds

    def left_s(self) -> float:
        return max(0.0, self._give_up_at - monotonic())

    def is_time_up(self) -> bool:
        return monotonic() >= self._give_up_at

    def are_given_up(self) -> bool:
        """Whoever waits need not wait any longer: a thread has died, or time to stop is up."""
        return self.failure() is not None or self.is_time_up()

    # what is said to the gallery

    def post(self, message: Any) -> None:
        self.pipeline.post(message)

    def in_gallery(self, work: Callable[[], Any]) -> Any:
        """Run something in the gallery's thread, and wait for what it gives."""
        call = Call(work)
        self.post(call)
        return call.reply.wait(unless=lambda: self.failure() is not None)
