"""Gender and age: what the network is shown, and how its answer is read."""

from __future__ import annotations

import numpy as np
import pytest

from face_organizer.types import Detection, FaceAttributes, Float32
from face_organizer.vision import attributes


def face(x1: float, y1: float, x2: float, y2: float) -> Detection:
    return Detection(np.array([x1, y1, x2, y2], np.float32), np.zeros((5, 2), np.float32), 0.9)


def test_the_larger_number_is_the_gender_and_the_third_a_share_of_a_hundred_years() -> None:
    raw = np.array([[2, -1, 0.314], [0.1, 0.2, 0.7], [1, 0, -0.2], [0, 1, 9], [np.nan, 0, 0.3]], np.float32)

    assert attributes.told(raw) == [
        FaceAttributes("female", 31),
        FaceAttributes("male", 70),
        FaceAttributes("female", 0),
        FaceAttributes("male", 120),
        None,
    ]


def test_the_network_is_shown_one_and_a_half_times_the_box_black_beyond_the_image() -> None:
    picture = np.full((100, 100, 3), 200, np.uint8)

    shown = attributes.portrait(picture, face(0, 0, 40, 40), 0.0, 96)

    assert shown.shape == (96, 96, 3)
    assert shown[:15, :15].max() == 0
    assert shown[18:, 18:].min() == 200


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_a_turned_face_is_shown_upright(degrees: float) -> None:
    upright = np.zeros((96, 96, 3), np.uint8)
    upright[:48] = 250  # light above
    turned = np.rot90(upright, k=-round(degrees / 90)).copy()  # clockwise by as much

    shown = attributes.portrait(turned, face(16, 16, 80, 80), degrees, 96)

    assert shown[4:40, 10:86].min() > 240
    assert shown[56:92, 10:86].max() < 10


def test_a_face_without_size_is_no_fault() -> None:
    empty: Float32 = attributes.portrait(np.zeros((9, 9, 3), np.uint8), face(3, 3, 3, 3), 0.0, 96)  # type: ignore[assignment]

    assert empty.shape == (96, 96, 3)
