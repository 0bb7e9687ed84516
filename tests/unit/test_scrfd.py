"""SCRFD's door: what it is fed, and how its answers are read."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from packs import YUNET

from face_organizer.types import Float32
from face_organizer.vision import detect
from face_organizer.vision.scrfd import GRIDS

SCRFD = msgspec.structs.replace(YUNET, kind="scrfd", detection_score_min=0.5, overlap_max=0.4)


def heads(outputs: int, n: int, height: int, width: int) -> list[Float32]:
    """What it answers where nothing is found: scores, boxes, landmarks for each stride."""
    strides, anchors = GRIDS[outputs]
    cells = [-(-height // stride) * -(-width // stride) * anchors for stride in strides]
    return [np.zeros((n, count, wide), np.float32) for wide in (1, 4, 10) for count in cells]


def test_it_is_fed_rgb_around_zero() -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255

    batch = detect.network_input([detect.letterbox(red, 64)] * 2, "scrfd")

    assert batch.shape == (2, 3, 64, 64)
    np.testing.assert_allclose(batch[0, :, 5, 5], [127.5 / 128, -127.5 / 128, -127.5 / 128])


@pytest.mark.parametrize("second_anchor", [False, True])
def test_distances_in_strides_around_a_cell_become_a_box_and_landmarks(second_anchor: bool) -> None:
    outputs = heads(9, 2, 64, 128)
    place = 2 * (1 * 8 + 5) + second_anchor  # stride 16, a grid of 8 x 4: row 1, column 5, two anchors
    outputs[1][1, place] = 0.9
    outputs[4][1, place] = [1, 0.5, 2, 1.5]
    outputs[7][1, place] = [-1, -1, 1, -1, 0, 0, -1, 1, 1, 1]

    nothing, (found,) = detect.decode(outputs, 64, 128, SCRFD)

    assert nothing == []
    assert found.detection_score == pytest.approx(0.9)
    np.testing.assert_allclose(found.box, [80 - 16, 16 - 8, 80 + 32, 16 + 24])
    np.testing.assert_allclose(found.landmarks, [[64, 0], [96, 0], [80, 16], [64, 32], [96, 32]])


def test_five_grids_with_one_anchor_are_read_too_also_where_the_canvas_ends_within_a_cell() -> None:
    outputs = heads(15, 1, 192, 320)  # stride 128: a grid of 3 x 2
    outputs[4][0, 1 * 3 + 2] = 0.8
    outputs[9][0, 5] = [1, 1, 1, 1]

    ((found,),) = detect.decode(outputs, 192, 320, SCRFD)

    np.testing.assert_allclose(found.box, [256 - 128, 128 - 128, 256 + 128, 128 + 128])


def test_two_anchors_on_one_face_are_one_face() -> None:
    outputs = heads(9, 1, 64, 64)
    outputs[0][0, 2 * 27 : 2 * 27 + 2, 0] = 0.7, 0.8
    outputs[3][0, 2 * 27 : 2 * 27 + 2] = 2

    ((found,),) = detect.decode(outputs, 64, 64, SCRFD)

    assert found.detection_score == pytest.approx(0.8)
