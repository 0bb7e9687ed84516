"""YuNet's door: letterbox, decoding of the heads, overlaps."""

from __future__ import annotations

import numpy as np
import pytest

from face_organizer.types import Detection, Float32, UInt8
from face_organizer.vision import detect


def heads(n: int, canvas: int) -> list[Float32]:
    """YuNet's twelve outputs where nothing is found: cls, obj, bbox, kps for strides 8, 16, 32."""
    cells = [(canvas // stride) ** 2 for stride in detect.STRIDES_PX]
    return [np.zeros((n, count, width), np.float32) for width in (1, 1, 4, 10) for count in cells]


def put(outputs: list[Float32], row: int, level: int, cell: int, score: float, side_px: float = 32.0) -> None:
    """A face whose box is centred on the corner of a cell, all landmarks there too."""
    outputs[level][row, cell] = outputs[3 + level][row, cell] = score
    outputs[6 + level][row, cell] = [0, 0, *[np.log(side_px / detect.STRIDES_PX[level])] * 2]


def picture(height: int, width: int) -> UInt8:
    return np.full((height, width, 3), 200, np.uint8)


@pytest.mark.parametrize(
    ("size", "side", "fill", "shape"),
    [
        ((150, 150), 160, 1.0, (160, 160)),
        ((150, 150), 320, 0.5, (320, 320)),
        ((480, 640), 640, 1.0, (512, 640)),
        ((4000, 3000), 640, 1.0, (640, 512)),
        ((50, 5000), 640, 1.0, (64, 640)),
    ],
)
def test_a_canvas_is_as_short_as_the_picture_allows(
    size: tuple[int, int], side: int, fill: float, shape: tuple[int, int]
) -> None:
    canvas = detect.letterbox(picture(*size), side, fill)

    assert canvas.pixels.shape == (*shape, 3)
    assert canvas.scale == pytest.approx(side * fill / max(size))
    assert not canvas.pixels.shape[0] % 32
    assert not canvas.pixels.shape[1] % 32


def test_a_padded_picture_lies_in_the_middle_of_black() -> None:
    canvas = detect.letterbox(picture(100, 50), 320, 0.5)

    assert canvas.pixels.shape == (320, 192, 3)
    assert (canvas.left_px, canvas.top_px) == ((192 - 80) // 2, 80)
    assert canvas.pixels[80:240, canvas.left_px : canvas.left_px + 80].min() == 200
    assert canvas.pixels[:80].max() == 0
    assert canvas.pixels[:, : canvas.left_px].max() == 0


def test_the_detector_is_fed_bgr_from_0_to_255() -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255

    batch = detect.network_input([detect.letterbox(red, 64), detect.letterbox(picture(64, 64), 64)])

    assert batch.shape == (2, 3, 64, 64)
    assert batch.dtype == np.float32
    assert [channel.max() for channel in batch[0]] == [0, 0, 255]


def test_a_cell_that_scores_becomes_a_box_and_landmarks_around_its_corner() -> None:
    outputs = heads(2, 160)
    put(outputs, row=1, level=1, cell=3 * 10 + 4, score=0.81, side_px=40)
    outputs[9 + 1][1, 34] = [-1, -1, 1, -1, 0, 0, -1, 1, 1, 1]

    nothing, (found,) = detect.decode(outputs, 160, 160)

    assert nothing == []
    assert found.detection_score == pytest.approx(0.81)
    np.testing.assert_allclose(found.box, [64 - 20, 48 - 20, 64 + 20, 48 + 20], atol=1e-4)
    np.testing.assert_allclose(found.landmarks, [[48, 32], [80, 32], [64, 48], [48, 64], [80, 64]], atol=1e-4)
    assert not found.box.flags.writeable


def test_a_canvas_that_is_not_square_is_read_row_by_row() -> None:
    wide = [np.zeros((1, (64 // s) * (128 // s), c), np.float32) for c in (1, 1, 4, 10) for s in detect.STRIDES_PX]
    put(wide, row=0, level=0, cell=2 * 16 + 5, score=0.9)

    ((found,),) = detect.decode(wide, 64, 128)

    np.testing.assert_allclose(found.box, [40 - 16, 16 - 16, 40 + 16, 16 + 16], atol=1e-4)


def test_scores_below_the_bound_are_no_faces() -> None:
    outputs = heads(1, 160)
    put(outputs, 0, level=0, cell=0, score=0.59)
    put(outputs, 0, level=2, cell=24, score=0.61)

    (found,) = detect.decode(outputs, 160, 160)

    assert [round(face.detection_score, 2) for face in found] == [0.61]


def test_of_overlapping_boxes_the_best_stays_and_only_within_its_own_image() -> None:
    outputs = heads(2, 160)
    put(outputs, 0, level=0, cell=5 * 20 + 5, score=0.7)
    put(outputs, 0, level=0, cell=5 * 20 + 6, score=0.9)
    put(outputs, 0, level=0, cell=15 * 20 + 15, score=0.8)
    put(outputs, 1, level=0, cell=5 * 20 + 5, score=0.75)

    first, second = detect.decode(outputs, 160, 160)

    assert [round(face.detection_score, 2) for face in first] == [0.9, 0.8]
    assert [round(face.detection_score, 2) for face in second] == [0.75]


def test_a_detection_is_carried_back_to_the_picture_it_came_from() -> None:
    canvas = detect.letterbox(picture(100, 50), 320, 0.5)
    outputs = [np.zeros((1, (320 // s) * (192 // s), c), np.float32) for c in (1, 1, 4, 10) for s in detect.STRIDES_PX]
    put(outputs, 0, level=2, cell=5 * 6 + 3, score=0.9, side_px=64)
    ((found,),) = detect.decode(outputs, 320, 192)

    in_picture = detect.to_image(found, canvas)
    twice = detect.scaled(in_picture, 2)

    np.testing.assert_allclose(
        in_picture.box, [5, 30, 45, 70], atol=1e-4
    )  # canvas (96, 160) +- 32, less (56, 80), / 1.6
    np.testing.assert_allclose(in_picture.landmarks[0], [25, 50], atol=1e-4)
    np.testing.assert_allclose(twice.box, in_picture.box * 2)


def test_the_main_face_is_large_and_near_the_middle_and_a_small_box_inside_it_does_not_win() -> None:
    def face(x1: float, y1: float, x2: float, y2: float, score: float = 0.9) -> Detection:
        return Detection(np.array([x1, y1, x2, y2], np.float32), np.zeros((5, 2), np.float32), score)

    middle, in_corner, inside = face(50, 45, 110, 125), face(0, 0, 60, 80), face(70, 70, 85, 85, 0.95)

    assert detect.main_face([inside, in_corner, middle], 150, 160) is middle
    assert detect.main_face([face(60, 60, 80, 80), face(20, 10, 120, 140, 0.7)], 150, 160).box[0] == 20
