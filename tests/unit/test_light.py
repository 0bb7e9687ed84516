"""Dark pictures are lit, others are left alone."""

from __future__ import annotations

import numpy as np

from face_organizer.types import UInt8
from face_organizer.vision.light import lit


def gradient(brightest: int) -> UInt8:
    levels = np.linspace(0, brightest, 100).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels[None, :, None], (80, 100, 3)))


def test_a_dark_picture_is_brightened_by_one_factor() -> None:
    dark = gradient(30)
    dark[..., 2] //= 2

    bright = lit(dark)

    assert 235 <= np.percentile(bright[..., 0], 99) <= 250
    visible = dark[..., 2] > 4
    ratios = bright[..., 0][visible] / bright[..., 2][visible]
    np.testing.assert_allclose(ratios, (dark[..., 0] / np.maximum(dark[..., 2], 1))[visible], rtol=0.1)


def test_a_picture_in_daylight_is_left_alone() -> None:
    day = gradient(200)

    assert lit(day) is day


def test_black_stays_black() -> None:
    assert lit(np.zeros((10, 10, 3), np.uint8)).max() == 0


def test_a_few_lamps_in_the_night_do_not_count() -> None:
    night = gradient(30)
    night[:2, :2] = 255

    assert lit(night).mean() > 4 * night.mean()
