"""Quality: what may found a person."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from packs import PLAIN

from face_organizer.types import UInt8
from face_organizer.vision.quality import quality, sharpness

GOOD = {"detection_score": 0.93, "width_px": 60.0, "plausibility": 1.0, "sharpness": 0.15, "norm": 14.0}


def test_a_sure_large_regular_face_has_full_quality() -> None:
    assert quality(PLAIN, **GOOD) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("factor", "falling"),
    [
        ("detection_score", (0.93, 0.8, 0.7, 0.5)),
        ("width_px", (60.0, 40.0, 20.0, 10.0)),
        ("plausibility", (1.0, 0.6, 0.2, 0.0)),
        ("sharpness", (0.15, 0.08, 0.04, 0.0)),
        ("norm", (14.0, 11.0, 8.0, 3.0)),
    ],
)
def test_quality_falls_with_each_of_its_factors(factor: str, falling: tuple[float, ...]) -> None:
    qualities = [quality(PLAIN, **(GOOD | {factor: value})) for value in falling]

    assert qualities == sorted(qualities, reverse=True)
    assert len(set(qualities)) == len(qualities)


@pytest.mark.parametrize("nothing", [{"detection_score": 0.6}, {"plausibility": 0.0}, {"width_px": 0.0}, {"norm": 4.0}])
def test_one_bad_factor_is_enough_to_be_worth_nothing(nothing: dict[str, float]) -> None:
    assert quality(PLAIN, **(GOOD | nothing)) == 0


def textured() -> UInt8:
    return cv2.GaussianBlur(np.random.default_rng(5).integers(0, 256, (112, 112, 3), np.uint8), (0, 0), 1.0)  # type: ignore[return-value]


def test_sharpness_falls_with_blur_and_with_enlarging() -> None:
    face = textured()
    blurred = [sharpness(cv2.GaussianBlur(face, (0, 0), sigma)) for sigma in (1, 2, 4)]  # type: ignore[arg-type]
    enlarged = cv2.resize(cv2.resize(face, (28, 28), interpolation=cv2.INTER_AREA), (112, 112))

    assert sharpness(face) > blurred[0] > blurred[1] > blurred[2] > 0
    assert sharpness(enlarged) < sharpness(face) / 2  # type: ignore[arg-type]


def test_neither_light_nor_contrast_makes_a_face_sharper() -> None:
    face = textured()

    assert sharpness(face // 2 + 20) == pytest.approx(sharpness(face), rel=0.05)


def test_a_plain_surface_has_no_sharpness() -> None:
    assert sharpness(np.full((112, 112, 3), 90, np.uint8)) == 0
