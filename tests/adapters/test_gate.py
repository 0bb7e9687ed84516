"""Many pass, and one is alone; nobody waits for ever, and nobody for himself."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from support import wait_until

from face_organizer.adapters.gate import Gate


@pytest.fixture
def others() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_many_pass_side_by_side(others: ThreadPoolExecutor) -> None:
    gate, inside, leave = Gate(), [], Event()

    def passing(number: int) -> None:
        with gate.passing():
            inside.append(number)
            assert leave.wait(10)

    done = [others.submit(passing, number) for number in range(3)]
    wait_until(lambda: len(inside) == 3)
    leave.set()
    for each in done:
        each.result()


def test_whoever_wants_to_be_alone_waits_for_those_inside_and_new_ones_for_him(others: ThreadPoolExecutor) -> None:
    gate, told = Gate(), []

    def alone() -> None:
        with gate.alone() as is_alone:
            told.append(("alone", is_alone))

    def passing() -> None:
        with gate.passing():
            told.append(("passed", True))

    with gate.passing():
        first = others.submit(alone)
        wait_until(lambda: gate._is_shut)
        second = others.submit(passing)
        with gate.passing():  # who is inside never waits
            assert told == []
    first.result()
    second.result()

    assert told == [("alone", True), ("passed", True)]


def test_it_is_told_where_somebody_stayed_and_the_gate_opens_again(others: ThreadPoolExecutor) -> None:
    gate = Gate()

    def alone() -> bool:
        with gate.alone(within_s=0.01) as is_alone:
            return is_alone

    with gate.passing():
        assert others.submit(alone).result() is False
    with gate.passing():
        pass
    assert others.submit(alone).result() is True
