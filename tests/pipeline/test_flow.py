"""Toy integers through the real threads."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import wait_until

from face_organizer.errors import ItemError
from face_organizer.pipeline.channel import Cancelled, Channel
from face_organizer.pipeline.flow import Pipeline, Stage, attempt
from face_organizer.pipeline.service import Reply, Service


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())  # OpenVINO keeps one of its own, where a test before this one woke it
    yield
    assert [thread.name for thread in threading.enumerate() if thread not in before] == []


def double(batch: list[int]) -> list[int]:
    if 13 in batch:
        raise ItemError("unlucky")
    return [x * 2 for x in batch]


def rejected(item: int, error: ItemError) -> str:
    return f"{item}: {error}"


def made(sink: Callable[[list[Any]], None], *stages: Stage, in_flight_max: int = 64) -> Pipeline:
    return Pipeline(stages, sink, sink_batch=8, linger_s=0.001, reject=rejected, in_flight_max=in_flight_max)


def test_everything_arrives_in_the_order_of_submission_however_many_workers_there_are() -> None:
    out: list[int] = []
    dice = random.Random(0)

    def uneven(batch: list[int]) -> list[int]:
        threading.Event().wait(dice.random() / 500)
        return batch

    pipeline = made(out.extend, Stage("uneven", (uneven,) * 4, batch=3, linger_s=0.001), Stage("double", (double,) * 3))
    pipeline.start()

    for number in range(200):
        pipeline.submit(number if number != 13 else 0)
    pipeline.close()

    assert out == [2 * number if number != 13 else 0 for number in range(200)]


def test_a_rejected_item_travels_on_in_its_place_and_its_neighbours_are_not_lost() -> None:
    out: list[int | str] = []
    pipeline = made(out.extend, Stage("double", (double,), batch=8, linger_s=0.01), Stage("again", (double,), batch=4))
    pipeline.start()

    for number in (11, 12, 13, 14):
        pipeline.submit(number)
    pipeline.close()

    assert out == [44, 48, "13: unlucky", 56]


def test_an_item_that_is_submitted_alone_has_the_stages_for_itself() -> None:
    at_work, together, out = set[int](), list[set[int]](), list[int]()
    lock = threading.Lock()

    def watched(batch: list[int]) -> list[int]:
        with lock:
            at_work.update(batch)
            together.append(set(at_work))
        threading.Event().wait(0.001)
        with lock:
            at_work.difference_update(batch)
        return batch

    pipeline = made(out.extend, Stage("watched", (watched,) * 4))
    pipeline.start()
    submitters = [
        threading.Thread(
            target=lambda first=first: [pipeline.submit(n, alone=n % 10 == 0) for n in range(first, first + 30)]
        )
        for first in (0, 100, 200)
    ]
    for thread in submitters:
        thread.start()
    for thread in submitters:
        thread.join()
    pipeline.close()

    assert sorted(out) == [*range(30), *range(100, 130), *range(200, 230)]
    assert max(map(len, together)) > 1
    assert all(len(each) == 1 for each in together if any(n % 10 == 0 for n in each))


def test_who_waits_to_be_alone_hears_when_the_pipeline_dies() -> None:
    pipeline = made(lambda batch: None, Stage("dies", (lambda batch: [1 // x for x in batch],)))
    pipeline.start()

    with pytest.raises((ZeroDivisionError, Cancelled)):
        pipeline.submit(0, alone=True)
    with pytest.raises(Cancelled):
        pipeline.submit(1)
    with pytest.raises(ZeroDivisionError):
        pipeline.abort()


def test_a_posted_message_reaches_the_sink_without_waiting_for_its_turn() -> None:
    gate, out = threading.Event(), []
    arrived = threading.Event()

    def sink(batch: list[Any]) -> None:
        out.extend(batch)
        arrived.set()

    pipeline = made(sink, Stage("slow", (lambda batch: gate.wait() and batch,)))
    pipeline.start()
    pipeline.submit(1)

    pipeline.post("hello")

    assert arrived.wait(5)
    assert out == ["hello"]
    gate.set()
    pipeline.close()
    assert out == ["hello", 1]


def test_a_bug_in_a_worker_stops_everyone_and_reaches_the_caller() -> None:
    def boom(batch: list[int]) -> list[int]:
        raise RuntimeError("bug")

    pipeline = made(lambda batch: None, Stage("a", (list,), capacity=1), Stage("boom", (boom,), capacity=1))
    pipeline.start()

    with pytest.raises(Cancelled):
        while True:
            pipeline.submit(1)
    with pytest.raises(RuntimeError, match="bug"):
        pipeline.wait_empty()
    with pytest.raises(RuntimeError, match="bug"):
        pipeline.abort()


def test_a_bug_in_the_sink_stops_everyone_too() -> None:
    def boom(batch: list[int]) -> None:
        raise RuntimeError("bug")

    pipeline = made(boom, Stage("a", (list,)))
    pipeline.start()
    pipeline.submit(1)

    with pytest.raises(RuntimeError, match="bug"):
        pipeline.wait_empty(5)
    with pytest.raises(RuntimeError, match="bug"):
        pipeline.close()


def test_what_is_in_flight_is_bounded_even_while_order_waits_for_a_slow_item() -> None:
    gate = threading.Event()
    high_water = 0

    def slow_first(batch: list[int]) -> list[int]:
        if 0 in batch:
            gate.wait()
        return batch

    pipeline = made(lambda batch: None, Stage("work", (slow_first,) * 2, capacity=4), in_flight_max=16)
    pipeline.start()

    def feed() -> None:
        for number in range(100):
            pipeline.submit(number)

    feeder = threading.Thread(target=feed)
    feeder.start()
    feeder.join(0.2)
    high_water = pipeline.in_flight
    gate.set()
    feeder.join()
    pipeline.close()

    assert high_water == 16
    assert pipeline.in_flight == 0


def test_abort_returns_at_once_with_items_in_flight() -> None:
    gate = threading.Event()
    out: list[int] = []
    pipeline = made(out.extend, Stage("nap", (lambda batch: gate.wait(0.05) or batch,), capacity=50))
    pipeline.start()
    for number in range(40):
        pipeline.submit(number)

    pipeline.abort()

    assert len(out) < 40


def test_many_lingering_takers_lose_nothing_and_end_only_at_the_end() -> None:
    for _ in range(20):
        out: list[int] = []
        pipeline = made(out.extend, Stage("a", (list,) * 8, batch=4, linger_s=0.002))
        pipeline.start()
        for number in range(60):
            pipeline.submit(number)
            if number % 7 == 0:
                threading.Event().wait(0.003)
        pipeline.close()
        assert out == list(range(60))


def test_a_closed_channel_gives_what_is_left_and_then_nothing() -> None:
    channel: Channel[int] = Channel(4)
    channel.put(1)
    channel.close()

    assert channel.take(4) == [1]
    assert channel.take(4) == []


def test_a_stage_must_give_one_result_for_each_item() -> None:
    with pytest.raises(AssertionError, match="1 results for 2 items"):
        attempt(lambda batch: batch[:1], [1, 2], rejected)


def test_a_service_ends_when_it_is_told_to_and_keeps_what_killed_it() -> None:
    started = threading.Event()

    def job(stop: threading.Event) -> None:
        started.set()
        stop.wait()
        raise RuntimeError("late bug")

    service = Service("job", job)
    service.start()
    assert started.wait(5)
    assert service.alive()

    service.stop()

    assert not service.alive()
    assert isinstance(service.failure, RuntimeError)


def test_a_reply_brings_the_value_or_the_error_of_the_other_side() -> None:
    good: Reply[int] = Reply()
    bad: Reply[int] = Reply()
    good.give(5)
    bad.fail(ValueError("no"))

    assert good.wait() == 5
    with pytest.raises(ValueError, match="no"):
        bad.wait()
    with pytest.raises(Cancelled):
        Reply[int]().wait(unless=lambda: True)


def test_nobody_lingers_over_the_last_one_on_its_way() -> None:
    out: list[Any] = []
    stage = Stage("double", (double,))
    pipeline = Pipeline([stage], out.extend, sink_batch=8, linger_s=60.0, reject=rejected, in_flight_max=8)
    pipeline.start()

    pipeline.submit(1)
    wait_until(lambda: out == [2])
    pipeline.post("alone")
    wait_until(lambda: out == [2, "alone"])

    pipeline.close()
