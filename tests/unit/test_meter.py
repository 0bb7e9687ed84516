"""How fast a device gets on, by a clock that is turned by hand."""

from __future__ import annotations

import pytest

from face_organizer.pipeline.meter import SAMPLE_S, WINDOW, Meter


class ManualClock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rates_are_those_of_the_last_minute_and_sums_those_since_the_start() -> None:
    clock = ManualClock()
    meter = Meter(workers=2, batch_max=16, clock=clock)
    for _ in range(30):
        clock.now += SAMPLE_S
        meter.add(images=8, faces=12, busy_s=5.0)
        meter.sample()
    clock.now += SAMPLE_S
    meter.add(images=8, faces=12, busy_s=5.0)

    figures = meter.figures()

    assert figures["faces_per_s"] == pytest.approx(1.2)
    assert figures["images_per_s"] == pytest.approx(0.8)
    assert (figures["batch_fill"], figures["busy_share"]) == (0.5, 0.25)
    assert (figures["images"], figures["faces"]) == (31 * 8, 31 * 12)


def test_after_an_idle_minute_the_rates_are_none() -> None:
    clock = ManualClock()
    meter = Meter(workers=1, batch_max=16, clock=clock)
    meter.add(images=8, faces=12, busy_s=5.0)
    for _ in range(WINDOW):
        clock.now += SAMPLE_S
        meter.sample()

    figures = meter.figures()

    assert (figures["faces_per_s"], figures["batch_fill"], figures["images"]) == (0, 0, 8)
