"""Quality: what may found a person."""

from __future__ import annotations

import pytest

from face_organizer.vision.quality import quality

GOOD = {"detection_score": 0.93, "width_px": 60.0, "plausibility": 1.0}


def test_a_sure_large_regular_face_has_full_quality() -> None:
    assert quality(**GOOD) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("factor", "falling"),
    [
        ("detection_score", (0.93, 0.8, 0.7, 0.5)),
        ("width_px", (60.0, 40.0, 20.0, 10.0)),
        ("plausibility", (1.0, 0.6, 0.2, 0.0)),
    ],
)
def test_quality_falls_with_each_of_its_factors(factor: str, falling: tuple[float, ...]) -> None:
    qualities = [quality(**(GOOD | {factor: value})) for value in falling]

    assert qualities == sorted(qualities, reverse=True)
    assert len(set(qualities)) == len(qualities)


@pytest.mark.parametrize("nothing", [{"detection_score": 0.6}, {"plausibility": 0.0}, {"width_px": 0.0}])
def test_one_bad_factor_is_enough_to_be_worth_nothing(nothing: dict[str, float]) -> None:
    assert quality(**(GOOD | nothing)) == 0
