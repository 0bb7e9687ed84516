"""Whoever looks, and however slowly, images get on. bench/web.py measures how little they are slowed down."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from threading import Event, Thread
from time import perf_counter

import httpx
import pytest
from browsing import CHANGES, Web
from support import wait_until

IMAGES, ASKERS = 100, 8
PATHS = ("/api/people", "/api/status", "/api/faces/1/thumbnail", "/api/outliers", "/metrics", "/openapi.json")


def seconds_to_sort(web: Web, first: int) -> float:
    """Of so many images more, with the log as the witness, which costs nothing."""
    before = len(web.daemon.events("image_placed"))
    began = perf_counter()
    for number in range(first, first + IMAGES):
        web.drop(3 + number % 40, number=number)
    wait_until(lambda: len(web.daemon.events("image_placed")) >= before + IMAGES, within_s=90)
    return perf_counter() - began


@pytest.mark.parametrize("rounds", [2, pytest.param(6, marks=pytest.mark.long)])
def test_a_thousand_requests_hardly_slow_down_the_sorting(open_web: Callable[..., Web], rounds: int) -> None:
    """By turns, on a machine that may be busy: the bound is generous."""
    web = open_web()
    seconds_to_sort(web, 10_000)  # what is slow only once
    alone, asked, answered = [], [], 0
    for number in range(rounds):
        alone.append(seconds_to_sort(web, 20_000 + 2 * number * IMAGES))
        stop, counted = Event(), itertools.count()
        askers = [Thread(target=ask, args=(web.address, stop, counted)) for _ in range(ASKERS)]
        for asker in askers:
            asker.start()
        try:
            asked.append(seconds_to_sort(web, 20_000 + (2 * number + 1) * IMAGES))
        finally:
            stop.set()
            for asker in askers:
                asker.join()
        answered += next(counted)

    assert answered > ASKERS
    assert min(asked) < 2 * min(alone) + 1


def ask(address: str, stop: Event, counted: itertools.count[int]) -> None:
    with httpx.Client(base_url=address, headers=CHANGES, timeout=60) as client:
        for path in itertools.cycle(PATHS):
            if stop.is_set():
                return
            client.get(path)
            next(counted)
