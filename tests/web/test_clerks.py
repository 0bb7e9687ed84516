"""Calls run in a few threads, and while images stream by they get no more than their share."""

from __future__ import annotations

import asyncio
from threading import Event, current_thread

import pytest

from face_organizer.web.clerks import CLERKS, WAITING_MAX, Budget, BusyError, Clerks


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_budget_is_spent_at_once_and_refilled_by_its_share() -> None:
    clock = Clock()
    budget = Budget(share=0.1, at_once_s=1.0, clock=clock)

    budget.spend(0.9)
    assert budget.wait_s() == 0
    budget.spend(0.6)
    assert budget.wait_s() == pytest.approx(5.0)
    clock.now += 5.0
    assert budget.wait_s() == 0
    clock.now += 1000.0
    budget.spend(1.5)  # no more than a second was saved
    assert budget.wait_s() == pytest.approx(5.0)


def test_calls_run_elsewhere_and_too_many_are_refused_at_once() -> None:
    clerks, hold = Clerks(Budget(1.0, 1.0, lambda: 0.0)), Event()

    async def crowd() -> list[object]:
        held = [asyncio.ensure_future(clerks.ask("look", hold.wait, 30)) for _ in range(WAITING_MAX)]
        await asyncio.sleep(0)
        elsewhere = await clerks.ask("pictures", lambda: current_thread().name)
        with pytest.raises(BusyError):
            await clerks.ask("look", hold.wait, 30)
        hold.set()
        return [elsewhere, *await asyncio.gather(*held)]

    try:
        thread, *answers = asyncio.run(crowd())
    finally:
        clerks.close()

    assert str(thread).startswith("web-pictures")
    assert answers == [True] * WAITING_MAX
    assert sum(CLERKS.values()) <= 16
