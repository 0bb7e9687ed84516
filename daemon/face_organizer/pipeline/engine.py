"""The devices' threads and the one queue that feeds them: several libraries, and questions, share what there is.

Room:    pipeline (moves)
Imports: types, errors, ports, channel, flow, meter, pulse, service, stdlib

Whoever has images opens a lane. A worker takes a batch of what the lanes hold, one of each in turn, so that a library
with few images never waits for all of one with many. Results go back by a call, in whatever order: each pipeline lets
its own through in theirs (flow.Turnstile), so that it makes no difference how many devices there are.

A device whose network fails is retired and hands its batch back. Each image of it is then tried alone, so that one that
brings down a second device is known by name, and stops the process before it takes the others. The next start tries it
alone (adapters/at_work.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Event, Lock, Thread, current_thread
from time import monotonic
from typing import Any

from face_organizer.errors import DeviceError, ModelError
from face_organizer.pipeline.channel import Cancelled
from face_organizer.pipeline.flow import Deliver, Ticket
from face_organizer.pipeline.meter import SAMPLE_S, WINDOW, Gauge, Meter
from face_organizer.pipeline.pulse import Pulses, beat, wait, waiting
from face_organizer.pipeline.service import Reply, Service
from face_organizer.ports import Clock, Log
from face_organizer.types import DecodedImage, SeenImage

See = Callable[[list[DecodedImage]], list[SeenImage]]

DEATHS_MAX = 2
"""An image that was with so many devices when they failed is not tried on another."""

QUESTIONS_CAPACITY = 32

NAMED_MAX = 3
"""Images named in a sentence."""


@dataclass(eq=False)
class Device:
    """Something that runs networks. workers: a thread for each. card: a GPU's own name, "" for others. cause: why it
    was retired, "" while it works. notices: what its user should know, such as that it stands in for another, in
    sentences."""

    name: str
    workers: Sequence[See]
    card: str = ""
    cause: str = ""
    notices: tuple[str, ...] = ()
    meter: Meter = field(init=False)


@dataclass(eq=False, slots=True)
class _Job:
    """An image in the queue. deaths: devices that failed with it."""

    lane: EngineLane
    ticket: Ticket
    deaths: int = 0


class EngineLane:
    """See flow.Lane. Made by Engine.lane, whose lock guards it. For one pipeline, from open to close or cancel."""

    def __init__(self, changed: Condition, lanes: deque[EngineLane], capacity: int) -> None:
        self._changed, self._lanes, self._capacity = changed, lanes, capacity
        self._jobs: deque[_Job] = deque()
        self._out, self._more = 0, True
        self._deliver: Deliver
        self._fail: Callable[[BaseException], None]
        self.is_over = False

    def open(self, deliver: Deliver, fail: Callable[[BaseException], None]) -> None:
        self._deliver, self._fail = deliver, fail
        with self._changed:
            self._lanes.append(self)

    def put(self, ticket: Ticket, *, more: bool = True) -> None:
        with waiting(), self._changed:
            self._changed.wait_for(lambda: self.is_over or len(self._jobs) < self._capacity)
            if self.is_over:
                raise Cancelled
            self._jobs.append(_Job(self, ticket))
            self._more = more
            self._out += 1
            self._changed.notify_all()

    def close(self) -> None:
        with waiting(), self._changed:
            self._changed.wait_for(lambda: self.is_over or self._out == 0)
        self.cancel()

    def cancel(self) -> None:
        with self._changed:
            self.is_over = True
            self._jobs.clear()
            if self in self._lanes:
                self._lanes.remove(self)
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._jobs)

    def __bool__(self) -> bool:
        """Also when it is empty."""
        return True

    @property
    def is_growing(self) -> bool:
        """More jobs are on their way to those that wait here. With the lock held."""
        return self._more and bool(self._jobs)

    # what the engine asks of it

    def next(self) -> _Job | None:
        """With the lock held."""
        return self._jobs.popleft() if self._jobs else None

    def bring(self, job: _Job, result: SeenImage | None, error: Exception | None) -> None:
        if not self.is_over:
            self._deliver(job.ticket, result, error)
        with self._changed:
            self._out -= 1
            if self._out == 0:
                self._changed.notify_all()

    def end(self, error: BaseException) -> None:
        self.cancel()
        self._fail(error)


class Engine:
    """One for a process. Whoever made it stops it, after those who use it.

    open_devices: called once, at start(). batch_max: images that a worker takes at once; linger_s: how long it waits
    for more. gauge: what a card says of itself. failure: why nothing runs any more, else None; every pipeline with a
    lane hears of it. pulses: of its threads.
    """

    def __init__(
        self,
        open_devices: Callable[[], Sequence[Device]],
        *,
        batch_max: int,
        linger_s: float,
        log: Log,
        gauge: Gauge = lambda name: {},
        clock: Clock = monotonic,
    ) -> None:
        self._gauge, self._clock = gauge, clock
        self._open_devices, self._batch_max, self._linger_s = open_devices, batch_max, linger_s
        self._log, self.pulses = log, Pulses()
        self._starting, self._changed = Lock(), Condition()
        self._threads: list[Thread] = []
        self._measuring = Service("devices", self._measure, self.pulses)
        self._lanes: deque[EngineLane] = deque()
        self._suspects: deque[_Job] = deque()
        self._questions = EngineLane(self._changed, self._lanes, QUESTIONS_CAPACITY)
        self._stopping = False
        self.devices: list[Device] = []
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Open the devices and start their threads. Doing it twice changes nothing. Raises ModelError."""
        with self._starting:
            if self._threads:
                return
            self.devices = list(self._open_devices())
            for device in self.devices:
                device.meter = Meter(len(device.workers), self._batch_max, self._clock)
            self._questions.open(_answer, lambda error: None)
            self._threads = [
                Thread(target=partial(self._run, device, see), name=f"see-{device.name}-{number}")
                for device in self.devices
                for number, see in enumerate(device.workers)
            ]
            for thread in self._threads:
                thread.start()
            self._measuring.start()

    def stop(self) -> None:
        """End every thread, after the batch that it is at. Doing it twice changes nothing."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._measuring.stop()
        for lane in list(self._lanes):
            lane.end(Cancelled("the engine has stopped"))

    # who uses it

    @property
    def name(self) -> str:
        """What the networks run on; "none" where nothing does."""
        return ", ".join(device.name for device in self.devices if not device.cause) or "none"

    def notices(self) -> list[str]:
        """What its user should know of the devices, in sentences."""
        told = [notice for device in self.devices for notice in device.notices]
        return told + [f"{each.name} was retired: {each.cause}" for each in self.devices if each.cause]

    def figures(self) -> list[dict[str, Any]]:
        """How each device gets on: its name as "device", its state, and plain numbers (see Meter, Gauge). Any
        thread."""
        return [
            {
                "device": device.name,
                **({"card": device.card} if device.card else {}),
                "state": "retired" if device.cause else "working",
                "working": 0 if device.cause else 1,
                **device.meter.figures(),
                **self._gauge(device.name),
            }
            for device in self.devices
        ]

    def lane(self) -> EngineLane:
        """A way in for one pipeline; it holds enough for every worker to find a batch."""
        workers = sum(len(device.workers) for device in self.devices)
        return EngineLane(self._changed, self._lanes, self._batch_max * max(2, workers))

    def see(self, images: Sequence[DecodedImage]) -> list[SeenImage]:
        """What is seen in a few images, for one who waits for it. Starts the engine. Raises ItemError, ModelError."""
        self.start()
        questions = [_Question(0, image) for image in images]
        try:
            for question in questions:
                self._questions.put(question, more=question is not questions[-1])
            return [question.reply.wait(unless=lambda: self._questions.is_over) for question in questions]
        except Cancelled:
            if self.failure is not None:
                raise self.failure from None
            raise

    # a worker's thread

    def _run(self, device: Device, see: See) -> None:
        try:
            with self.pulses.watching(current_thread().name):
                while jobs := self._take(device):
                    self._see(device, see, jobs)
        except BaseException as error:  # the thread's last line of defence: what is left is a bug of the engine itself
            self._end(error)

    def _take(self, device: Device) -> list[_Job]:
        """Wait for a batch; [] when there will be none. A suspect is a batch of its own."""

        def is_over() -> bool:
            return self._stopping or bool(device.cause) or self.failure is not None

        with waiting(), self._changed:
            while True:
                self._changed.wait_for(lambda: is_over() or self._suspects or self._waiting() > 0)
                self._changed.wait_for(
                    lambda: is_over() or self._suspects or self._waiting() >= self._batch_max or not self._is_growing(),
                    self._linger_s,
                )
                if is_over():
                    return []
                while self._suspects:
                    job = self._suspects.popleft()
                    if not job.lane.is_over:
                        return [job]
                if batch := self._draw():
                    self._changed.notify_all()
                    return batch

    def _is_growing(self) -> bool:
        return any(lane.is_growing for lane in self._lanes)

    def _waiting(self) -> int:
        return sum(map(len, self._lanes))

    def _draw(self) -> list[_Job]:
        """One job of each lane in turn, as long as there are any; where it ends, the next batch begins."""
        batch: list[_Job] = []
        empty = 0
        while len(batch) < self._batch_max and empty < len(self._lanes):
            job = self._lanes[0].next()
            self._lanes.rotate(-1)
            empty = 0 if job else empty + 1
            if job:
                batch.append(job)
        return batch

    def _see(self, device: Device, see: See, jobs: list[_Job]) -> None:
        """Run a batch. What fails on an image (ItemError), or by a bug, is run again one by one: each for itself."""
        beat()
        began = self._clock()
        try:
            seen = see([job.ticket.item for job in jobs])
            assert len(seen) == len(jobs), f"{len(seen)} results for {len(jobs)} images"
        except ModelError as error:
            self._retire(device, jobs, error)
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].lane.bring(jobs[0], None, error)
            else:
                self._one_by_one(device, see, jobs)
        else:
            device.meter.add(len(seen), sum(len(image.faces) for image in seen), self._clock() - began)
            for job, image in zip(jobs, seen, strict=True):
                job.lane.bring(job, image, None)

    def _one_by_one(self, device: Device, see: See, jobs: list[_Job]) -> None:
        for number, job in enumerate(jobs):
            if device.cause:  # it was retired meanwhile, and handed back only the one that it was at
                self._hand_back(jobs[number:])
                return
            self._see(device, see, [job])

    def _measure(self, stop: Event) -> None:
        """Take the figures now and then; log them every minute in which something was seen."""
        rounds = 0
        while not wait(stop, SAMPLE_S):
            rounds += 1
            if rounds % WINDOW == 0:
                for figures in self.figures():
                    if figures["images_per_s"]:
                        self._log.info("devices", **figures)
            for device in self.devices:
                device.meter.sample()

    # when a device fails

    def _retire(self, device: Device, jobs: list[_Job], error: ModelError) -> None:
        """Hand the batch back and let the others go on, or stop: no device is left, or these images are to blame."""
        with self._changed:
            first, device.cause = not device.cause, device.cause or str(error)
            for job in jobs:
                job.deaths += first
            poison = [job for job in jobs if job.deaths >= DEATHS_MAX]
            left = [each.name for each in self.devices if not each.cause]
        if first:
            self._log.error("device_retired", device=device.name, cause=str(error), left=left, exc_info=error)
        if not left:
            sentence = f"no device is left for the networks: {device.name} failed: {error} (at {_named(jobs)})"
            self._end(_chained(sentence, error))
        elif poison:
            sentence = (
                f"{_named(poison)} brought down {DEATHS_MAX} devices, {device.name} the last: take it out of the inbox,"
                " or start again, which tries it alone"
            )
            self._end(_chained(f"{sentence} ({error})", error))
        else:
            self._hand_back(jobs)

    def _hand_back(self, jobs: list[_Job]) -> None:
        with self._changed:
            self._suspects.extend(jobs)
            self._changed.notify_all()

    def _end(self, error: BaseException) -> None:
        """Nothing runs any more: everybody who has a lane hears why."""
        with self._changed:
            self.failure = self.failure or error
            lanes = list(self._lanes)
            self._changed.notify_all()
        for lane in lanes:
            lane.end(error)


@dataclass(frozen=True, slots=True)
class _Question(Ticket):
    """An image that somebody waits for."""

    reply: Reply[SeenImage] = field(default_factory=Reply)


def _answer(ticket: Ticket, result: SeenImage, error: Exception | None) -> None:
    assert isinstance(ticket, _Question)
    if error is None:
        ticket.reply.give(result)
    else:
        ticket.reply.fail(error)


def _named(jobs: Sequence[_Job]) -> str:
    """Their images."""
    named = [ascii(str(job.ticket.item.ref.path)) for job in jobs[:NAMED_MAX]]
    return ", ".join(named) + (f" and {len(jobs) - NAMED_MAX} more" if len(jobs) > NAMED_MAX else "")


def _chained(sentence: str, cause: Exception) -> DeviceError:
    error = DeviceError(sentence)
    error.__cause__ = cause
    return error
