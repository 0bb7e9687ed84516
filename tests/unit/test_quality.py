"""Quality: what may found a person."""

from __future__ import annotations

import numpy as np
import pytest

from face_organizer.types import Detection, Float32
from face_organizer.vision.align import TEMPLATE_PX
from face_organizer.vision.quality import misfit_px, quality


def detection(width_px: float = 60, score: float = 0.92, landmarks: Float32 = TEMPLATE_PX) -> Detection:
    return Detection(np.array([0, 0, width_px, width_px * 1.3], np.float32), landmarks, score)


def test_a_sure_large_regular_face_has_full_quality() -> None:
    assert quality(detection()) == pytest.approx(1.0)


def test_quality_falls_with_the_score_the_size_and_the_misfit() -> None:
    crooked = TEMPLATE_PX.copy()
    crooked[2] += (20, -15)

    assert quality(detection(score=0.7)) < quality(detection(score=0.8)) < 1
    assert quality(detection(width_px=16)) < quality(detection(width_px=30)) < 1
    assert quality(detection(landmarks=crooked)) < 0.9


def test_one_bad_factor_is_enough_to_be_worth_nothing() -> None:
    assert quality(detection(score=0.6)) == 0
    assert quality(detection(landmarks=TEMPLATE_PX[[0, 2, 4, 1, 3]])) == 0


def test_turning_and_scaling_a_face_is_no_misfit() -> None:
    turned = (TEMPLATE_PX @ np.array([[0, 3], [-3, 0]])).astype(np.float32)

    assert misfit_px(turned) == pytest.approx(0, abs=1e-3)
