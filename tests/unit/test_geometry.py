"""What says that a face is one, and which way up it lies."""

from __future__ import annotations

import numpy as np
import pytest
from packs import YUNET

from face_organizer.types import Detection, Float32
from face_organizer.vision import geometry
from face_organizer.vision.align import TEMPLATE_PX

BOX = np.array([22, 20, 90, 112], np.float32)


def face(landmarks: Float32 = TEMPLATE_PX, score: float = 0.93, box: Float32 = BOX) -> Detection:
    return Detection(box, landmarks.astype(np.float32), score)


def turned(degrees: float) -> Float32:
    """The template turned clockwise, as one sees it, about the middle of BOX."""
    angle, middle = np.radians(degrees), np.float32([56, 66])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((TEMPLATE_PX - middle) @ turn.T + middle).astype(np.float32)


def moved(point: int, x: float, y: float) -> Float32:
    landmarks = TEMPLATE_PX.copy()
    landmarks[point] += (x, y)
    return landmarks


def test_landmarks_like_the_template_are_plausible_and_sure() -> None:
    assert geometry.plausibility(face()) == 1
    assert geometry.is_sure(face(), YUNET)


@pytest.mark.parametrize(
    "landmarks",
    [
        TEMPLATE_PX[[1, 0, 2, 3, 4]],
        TEMPLATE_PX[[0, 1, 2, 4, 3]],
        TEMPLATE_PX[[3, 4, 2, 0, 1]],
        moved(2, 0, -25),
        moved(2, 0, 25),
        turned(180),
        turned(120),
    ],
    ids=["eyes swapped", "mouth swapped", "mouth above eyes", "nose above eyes", "nose below mouth", "180", "120"],
)
def test_landmarks_out_of_order_are_no_face(landmarks: Float32) -> None:
    assert geometry.plausibility(face(landmarks)) == 0
    assert not geometry.is_sure(face(landmarks), YUNET)


def test_landmarks_outside_their_box_are_no_face() -> None:
    assert geometry.plausibility(face(TEMPLATE_PX + np.float32([0, 40]))) == 0
    assert geometry.plausibility(face(TEMPLATE_PX + np.float32([0, 10]))) == 1


def test_plausibility_falls_as_a_landmark_strays() -> None:
    strayed = [geometry.plausibility(face(moved(4, x, 0))) for x in (0, 12, 18, 24)]

    assert strayed == sorted(strayed, reverse=True)
    assert strayed[0] == 1
    assert 0 < strayed[-1] < 1


def test_a_doubt_is_raised_by_the_score_by_the_misfit_and_by_the_tilt() -> None:
    assert not geometry.is_sure(face(score=0.905), YUNET)
    assert geometry.is_sure(face(score=0.905), YUNET, detection_score_min=0.9)
    assert not geometry.is_sure(face(moved(4, 20, 0)), YUNET)
    assert geometry.is_sure(face(turned(5)), YUNET)
    assert not geometry.is_sure(face(turned(7)), YUNET)
    assert not geometry.is_sure(face(turned(-7)), YUNET)


@pytest.mark.parametrize("degrees", [-170, -90, -20, 0, 20, 90, 170])
def test_the_tilt_is_what_would_turn_the_face_upright(degrees: float) -> None:
    assert geometry.tilt_degrees(turned(degrees)) == pytest.approx(degrees, abs=1e-3)


def test_turning_and_scaling_a_face_is_no_misfit() -> None:
    assert geometry.misfit_px(turned(90) * 3) == pytest.approx(0, abs=1e-3)
    assert geometry.misfit_px(moved(2, 20, -15)) > 4


@pytest.mark.parametrize("upright_at", range(-180, 180, 15))
def test_the_peak_lies_where_scores_that_fall_evenly_on_both_sides_meet(upright_at: int) -> None:
    off = [(turn - upright_at + 180) % 360 - 180 for turn in geometry.TURNS_DEGREES]
    scores = [max(0.0, 0.93 - (degrees / 100) ** 2) for degrees in off]

    assert abs((geometry.peak_degrees(scores) - upright_at + 180) % 360 - 180) < 1


def test_without_any_score_a_face_stays_as_it_is() -> None:
    assert geometry.peak_degrees([0.0] * 8) == 0


def test_a_peak_is_never_further_than_half_a_step_from_the_best() -> None:
    assert geometry.peak_degrees([0.9, 0.9, 0, 0, 0, 0, 0, 0]) == pytest.approx(22.5)
    assert geometry.peak_degrees([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]) == 0
