from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from support import wait_until

from face_organizer.errors import ItemError
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.flow import Pipeline, Stage
from face_organizer.pipeline.pulse import AT_LENGTH, Pulses, at_length, beat, wait
from face_organizer.pipeline.service import Reply, Service

HUNG_AFTER_S = 10.0


class ManualClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def pulses(clock: ManualClock) -> Pulses:
    return Pulses(clock)


@contextmanager
def running(service: Service) -> Iterator[Service]:
    service.start()
    try:
        yield service
    finally:
        service.stop()


def hung(pulses: Pulses) -> list[str]:
    return [each.thread for each in pulses.hung(HUNG_AFTER_S)]


def state(pulses: Pulses, thread: str) -> Any:
    return pulses.states().get(thread, {}).get("state")


def test_a_thread_at_work_without_a_beat_is_hung_and_its_stack_says_where(clock: ManualClock, pulses: Pulses) -> None:
    def stuck_in_here(stop: Event) -> None:
        stop.wait()

    with running(Service("worker", stuck_in_here, pulses)):
        wait_until(lambda: state(pulses, "worker") == "working", within_s=20)
        assert hung(pulses) == []
        clock.now = HUNG_AFTER_S + 1

        (found,) = pulses.hung(HUNG_AFTER_S)

    assert (found.thread, found.seconds) == ("worker", 11.0)
    assert "stuck_in_here" in found.stack
    assert pulses.states() == {}


def test_a_thread_that_beats_is_not_hung(clock: ManualClock, pulses: Pulses) -> None:
    beaten, go_on = Event(), Event()

    def work(stop: Event) -> None:
        go_on.wait()
        beat()
        beaten.set()
        stop.wait()

    with running(Service("worker", work, pulses)):
        wait_until(lambda: state(pulses, "worker") == "working", within_s=20)
        clock.now = HUNG_AFTER_S + 1
        assert hung(pulses) == ["worker"]
        go_on.set()
        assert beaten.wait(20)

        assert hung(pulses) == []


def test_a_step_that_takes_long_by_nature_has_the_patience_for_it_and_the_next_one_has_not(
    clock: ManualClock, pulses: Pulses
) -> None:
    begun, go_on, over = Event(), Event(), Event()

    def work(stop: Event) -> None:
        with at_length():
            begun.set()
            go_on.wait()
        over.set()
        stop.wait()

    with running(Service("worker", work, pulses)):
        assert begun.wait(20)
        clock.now = AT_LENGTH * HUNG_AFTER_S - 1
        assert hung(pulses) == []
        clock.now += 2
        assert hung(pulses) == ["worker"]

        go_on.set()
        assert over.wait(20)
        assert hung(pulses) == []
        clock.now += HUNG_AFTER_S + 1
        assert hung(pulses) == ["worker"]


def test_a_thread_may_wait_for_ever(clock: ManualClock, pulses: Pulses) -> None:
    with running(Service("worker", lambda stop: bool(wait(stop)) and None, pulses)):
        wait_until(lambda: state(pulses, "worker") == "waiting", within_s=20)
        clock.now = 1e6

        assert hung(pulses) == []
        assert pulses.states() == {"worker": {"state": "waiting", "seconds": 1e6}}


def test_work_after_a_long_wait_begins_anew(clock: ManualClock, pulses: Pulses) -> None:
    woken, waited = Event(), Event()

    def work(stop: Event) -> None:
        wait(woken)
        waited.set()
        stop.wait()

    with running(Service("worker", work, pulses)):
        wait_until(lambda: state(pulses, "worker") == "waiting", within_s=20)
        clock.now = 1e6
        woken.set()
        assert waited.wait(20)

        assert hung(pulses) == []
        clock.now += HUNG_AFTER_S + 1
        assert hung(pulses) == ["worker"]


def test_patience_is_for_whom_it_was_given(clock: ManualClock, pulses: Pulses) -> None:
    def stuck(stop: Event) -> None:
        stop.wait()

    with running(Service("thinker", stuck, pulses, patience=12)), running(Service("worker", stuck, pulses)):
        wait_until(lambda: len(pulses.states()) == 2, within_s=20)
        clock.now = 12 * HUNG_AFTER_S - 1
        assert hung(pulses) == ["worker"]
        clock.now = 12 * HUNG_AFTER_S + 1
        assert set(hung(pulses)) == {"worker", "thinker"}


@pytest.mark.parametrize("culprit", ["early-0", "late-0", "sink"])
def test_only_the_stage_that_hangs_is_hung_though_all_the_others_wait_for_it(
    culprit: str, clock: ManualClock, pulses: Pulses
) -> None:
    let_go = Event()

    def work(name: str) -> Any:
        def step(items: list[int]) -> list[int]:
            if name == culprit:
                let_go.wait()
            return items

        return step

    def reject(item: int, error: ItemError) -> int:
        return item

    stages = [Stage(name, (work(f"{name}-0"), work(f"{name}-1")), capacity=1) for name in ("early", "late")]
    pipeline = Pipeline(stages, work("sink"), 1, 0.0, reject, in_flight_max=64, pulses=pulses)
    pipeline.start()
    feeding = Service("ingest", lambda stop: [pipeline.submit(n) for n in range(64)] and None, pulses)
    feeding.start()
    try:
        others = {"early-0", "early-1", "late-0", "late-1", "sink"} - {culprit}
        wait_until(
            lambda: state(pulses, culprit) == "working" and all(state(pulses, name) == "waiting" for name in others),
            within_s=20,
        )
        clock.now = HUNG_AFTER_S + 1

        assert hung(pulses) == [culprit]
    finally:
        let_go.set()
        feeding.stop()
        pipeline.close()
    assert pulses.states() == {}


def test_who_waits_for_an_answer_or_for_another_change_is_not_hung(clock: ManualClock, pulses: Pulses) -> None:
    reply: Reply[bool] = Reply()
    changes: Any = SimpleNamespace(step=lambda: False)
    applier = Applier(changes, lambda work: reply.wait())
    services = [Service(name, lambda stop: applier.run(lambda: None), pulses) for name in ("first", "second")]
    for service in services:
        service.start()
    try:
        wait_until(lambda: [each["state"] for each in pulses.states().values()] == ["waiting"] * 2, within_s=20)
        clock.now = 1e6

        # Who waits for the answer looks around now and then, and so begins to wait anew.
        assert hung(pulses) == []
    finally:
        reply.give(False)
        for service in services:
            service.stop()
    assert [service.failure for service in services] == [None, None]


def test_a_watched_call_has_a_pulse_of_its_own_wherever_it_runs(clock: ManualClock, pulses: Pulses) -> None:
    let_go, entered = Event(), Event()

    def asked(number: int) -> int:
        entered.set()
        let_go.wait()
        return number

    call = pulses.watched("call asked", asked)
    thread = Thread(target=call, args=(3,))
    thread.start()
    try:
        assert entered.wait(20)
        clock.now = HUNG_AFTER_S + 1
        assert hung(pulses) == ["call asked"]
    finally:
        let_go.set()
        thread.join()
    assert pulses.states() == {}
    assert call(number=4) == 4


def test_without_a_pulse_beating_and_waiting_do_nothing() -> None:
    beat()
    assert not wait(Event(), 0.0)
