"""Moves items from stage to stage, in order. Knows nothing about faces.

Room:    pipeline (moves)
Owns:    the threads of every pipeline
Imports: errors, channel, pulse, stdlib

A pipeline is a list of stages and a sink. Every stage gives one result for each item; an item that a stage rejects
becomes whatever `reject` makes of it and travels on untouched. The sink gets everything in the order it was submitted,
however many workers a stage has, so the same input gives the same library. (After beets' util/pipeline.py and
dramatiq's worker.py: the list of stages is the architecture; a crash re-raises in the caller.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from threading import Condition, Lock, Thread, current_thread
from typing import Any, Protocol

from face_organizer.errors import ItemError
from face_organizer.pipeline.channel import Cancelled, Channel
from face_organizer.pipeline.pulse import Pulses, beat, waiting

Work = Callable[[list[Any]], list[Any]]
Reject = Callable[[Any, ItemError], Any]
Sink = Callable[[list[Any]], None]


@dataclass(frozen=True, slots=True)
class Ticket:
    """An item on its way. number: its place in the order of submission; rejected: stages let it pass."""

    number: int
    item: Any
    rejected: bool = False


Deliver = Callable[[Ticket, Any, Exception | None], None]
"""Takes back a ticket with its result, or with what there is instead: an ItemError rejects it, all else is a bug. Never
waits."""


class Lane(Protocol):
    """A way through somebody else's threads, which several pipelines share: as bounded as a channel."""

    def open(self, deliver: Deliver, fail: Callable[[BaseException], None]) -> None:
        """Before the first put. fail: hears why nothing will be delivered any more."""
        ...

    def put(self, ticket: Ticket, *, more: bool = True) -> None:
        """Wait for room. more: others are on their way here; it is worth waiting for them. Raises Cancelled."""
        ...

    def close(self) -> None:
        """Nothing more is put; wait until all that was put has been delivered, or the lane was cancelled."""
        ...

    def cancel(self) -> None:
        """Deliver nothing more; whoever waits sees Cancelled."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Stage:
    """One step. As many threads as there are callables in `workers`, or a lane through threads that others use too."""

    name: str
    workers: tuple[Work, ...] = ()
    batch: int = 1
    linger_s: float = 0.0
    capacity: int = 8
    lane: Lane | None = None


def attempt(work: Work, batch: list[Any], reject: Reject) -> list[tuple[Any, bool]]:
    """(result, was rejected) for each item: run work on the batch; if that fails on an item, retry one by one."""
    beat()
    try:
        results = work(batch)
    except ItemError as error:
        if len(batch) == 1:
            return [(reject(batch[0], error), True)]
        return [pair for item in batch for pair in attempt(work, [item], reject)]
    assert len(results) == len(batch), f"{len(results)} results for {len(batch)} items"
    return [(result, False) for result in results]


class Turnstile:
    """Lets tickets through in the order of their numbers; keeps those that come early. out: never waits."""

    def __init__(self, out: Callable[[Any], None]) -> None:
        self._out = out
        self._early: dict[int, Any] = {}
        self._next = 0
        self._lock = Lock()

    def __call__(self, ticket: Ticket) -> None:
        with self._lock:
            self._early[ticket.number] = ticket.item
            while self._next in self._early:
                self._out(self._early.pop(self._next))
                self._next += 1


class Pipeline:
    """A thread per worker, a bounded channel between each pair of stages, and a sink with a thread of its own.

    in_flight_max bounds what was submitted and has not left the sink: it is the memory budget, and it bounds what waits
    for its turn and for the sink, so that no thread of a lane ever waits for one pipeline while others want it.
    `post` hands something straight to the sink, past the stages, waiting for no one's turn.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        sink: Sink,
        sink_batch: int,
        linger_s: float,
        reject: Reject,
        in_flight_max: int,
        pulses: Pulses | None = None,
    ) -> None:
        self._pulses = pulses or Pulses()
        self._stages = list(stages)
        self._reject = reject
        self._channels: list[Channel[Ticket] | Lane] = [
            Channel(stage.capacity) if stage.lane is None else stage.lane for stage in stages
        ]
        self._sink, self._sink_batch, self._linger_s = sink, sink_batch, linger_s
        self._outlet: Channel[Any] = Channel(max(sink_batch, 1) * 4)
        self._in_order = Turnstile(lambda item: self._outlet.push((item, True)))
        self._in_flight, self._in_flight_max = 0, in_flight_max
        self._is_one_alone = False
        self._submitted = 0
        self._cancelled = False
        self._changed = Condition()
        self.failure: BaseException | None = None
        self._workers = [
            Thread(target=self._guard, args=(self._serve, depth, work), name=f"{stage.name}-{n}")
            for depth, stage in enumerate(self._stages)
            for n, work in enumerate(stage.workers)
        ]
        self._sink_thread = Thread(target=self._guard, args=(self._pour,), name="sink")

    def start(self) -> None:
        for depth, stage in enumerate(self._stages):
            if stage.lane is not None:
                stage.lane.open(partial(self._delivered, self._after(depth)), self._fail)
        for thread in (*self._workers, self._sink_thread):
            thread.start()

    def submit(self, item: Any, *, alone: bool = False) -> None:
        """Waits while in_flight_max items are under way: that is the back-pressure. alone: waits until none is, and
        until this one has left the sink; nothing else is let in meanwhile. Raises Cancelled."""
        most = 1 if alone else self._in_flight_max
        with waiting(), self._changed:
            self._changed.wait_for(lambda: self._cancelled or (self._in_flight < most and not self._is_one_alone))
            if self._cancelled:
                raise Cancelled
            self._is_one_alone = alone
            self._in_flight += 1
            number, self._submitted = self._submitted, self._submitted + 1
        self._channels[0].put(Ticket(number, item))
        if alone:
            self.wait_empty()
            with self._changed:
                self._is_one_alone = False
                self._changed.notify_all()

    def post(self, message: Any) -> None:
        """Hand a message to the sink. Never from the sink's own thread. Raises Cancelled."""
        assert current_thread() is not self._sink_thread, "the sink would wait for itself"
        self._outlet.put((message, False))

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def submitted(self) -> int:
        return self._submitted

    def queues(self) -> dict[str, int]:
        """Items waiting before each stage and before the sink."""
        waiting = {stage.name: len(channel) for stage, channel in zip(self._stages, self._channels, strict=True)}
        return waiting | {"sink": len(self._outlet)}

    def wait_empty(self, within_s: float | None = None) -> bool:
        """Wait until nothing is in flight. False after within_s; raises what killed a worker, if anything did."""
        with waiting(), self._changed:
            empty = self._changed.wait_for(lambda: self._cancelled or self._in_flight == 0, within_s)
        if self.failure is not None:
            raise self.failure
        return empty

    def close(self) -> None:
        """Finish everything accepted, then stop all threads. Raises what killed a worker, if anything did."""
        for depth, channel in enumerate(self._channels):
            channel.close()
            for thread in self._threads_of(depth):
                thread.join()
        self._outlet.close()
        self._join()

    def abort(self) -> None:
        """Drop what is in flight. Safe: nothing in flight has been committed or moved."""
        self._cancel()
        self._join()

    def _threads_of(self, depth: int) -> list[Thread]:
        return [thread for thread in self._workers if thread.name.rpartition("-")[0] == self._stages[depth].name]

    def _join(self) -> None:
        for thread in (*self._workers, self._sink_thread):
            if thread.ident is not None:
                thread.join()
        if self.failure is not None:
            raise self.failure

    def _cancel(self) -> None:
        for channel in (*self._channels, self._outlet):
            channel.cancel()
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def _guard(self, run: Callable[..., None], *args: Any) -> None:
        try:
            with self._pulses.watching(current_thread().name):
                run(*args)
        except Cancelled:
            pass
        except BaseException as error:  # the thread's last line of defence
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Keep the first cause, stop everyone."""
        self.failure = self.failure or error
        self._cancel()

    def _after(self, depth: int) -> Callable[[Ticket], None]:
        """Where tickets go from a stage: to the next one, past a lane if they are rejected, or out in their order."""
        if depth + 1 == len(self._stages):
            return self._in_order
        channel = self._channels[depth + 1]
        if isinstance(channel, Channel):
            return channel.put if self._stages[depth].lane is None else channel.push
        assert self._stages[depth].lane is None, "the threads of a lane never wait for another"
        beyond, put, arrived = self._after(depth + 1), channel.put, count(1)

        def enter(ticket: Ticket) -> None:
            more = self._submitted > next(arrived)  # in one step, whichever threads come from the stage before
            if ticket.rejected:
                beyond(ticket)
            else:
                put(ticket, more=more)

        return enter

    def _delivered(
        self, forward: Callable[[Ticket], None], ticket: Ticket, result: Any, error: Exception | None
    ) -> None:
        """What a lane brings back. In a thread that is not ours: a bug here stops this pipeline and no other."""
        try:
            if isinstance(error, ItemError):
                result = self._reject(ticket.item, error)
            elif error is not None:
                raise error
            forward(Ticket(ticket.number, result, error is not None))
        except Cancelled:
            pass
        except BaseException as error:
            self._fail(error)

    def _serve(self, depth: int, work: Work) -> None:
        stage, inbound = self._stages[depth], self._channels[depth]
        assert isinstance(inbound, Channel), "a lane has threads of its own"
        forward = self._after(depth)
        while batch := inbound.take(stage.batch, stage.linger_s):
            live = [ticket for ticket in batch if not ticket.rejected]
            for ticket in batch:
                if ticket.rejected:
                    forward(ticket)
            if live:
                results = attempt(work, [ticket.item for ticket in live], self._reject)
                for ticket, (result, rejected) in zip(live, results, strict=True):
                    forward(Ticket(ticket.number, result, rejected))

    def _pour(self) -> None:
        def coming() -> bool:
            return self._in_flight > len(self._outlet)

        while batch := self._outlet.take(self._sink_batch, self._linger_s, coming):
            self._sink([item for item, _ in batch])
            with self._changed:
                self._in_flight -= sum(submitted for _, submitted in batch)
                self._changed.notify_all()
