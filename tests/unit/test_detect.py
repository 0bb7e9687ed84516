"""The detectors' doors: letterbox, decoding of the heads, overlaps."""

from __future__ import annotations

import numpy as np
import pytest
from packs import YUNET

from face_organizer.types import Detection, Float32, UInt8
from face_organizer.vision import detect
from face_organizer.vision.yunet import STRIDES_PX


def heads(n: int, canvas: int) -> list[Float32]:
    """YuNet's twelve outputs where nothing is found: cls, obj, bbox, kps for strides 8, 16, 32."""
    cells = [(canvas // stride) ** 2 for stride in STRIDES_PX]
    return [np.zeros((n, count, width), np.float32) for width in (1, 1, 4, 10) for count in cells]


def put(outputs: list[Float32], row: int, level: int, cell: int, score: float, side_px: float = 32.0) -> None:
    """A face whose box is centred on the corner of a cell, all landmarks there too."""
    outputs[level][row, cell] = outputs[3 + level][row, cell] = score
    outputs[6 + level][row, cell] = [0, 0, *[np.log(side_px / STRIDES_PX[level])] * 2]


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
    assert canvas.transform.tolist() == [[np.float32(1.6), 0, 56], [0, np.float32(1.6), 80]]
    assert canvas.pixels[80:240, 56:136].min() == 200
    assert canvas.pixels[:80].max() == 0
    assert canvas.pixels[:, :56].max() == 0


def test_the_detector_is_fed_bgr_from_0_to_255() -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255

    batch = detect.network_input([detect.letterbox(red, 64), detect.letterbox(picture(64, 64), 64)], "yunet")

    assert batch.shape == (2, 3, 64, 64)
    assert batch.dtype == np.float32
    assert [channel.max() for channel in batch[0]] == [0, 0, 255]


def test_a_cell_that_scores_becomes_a_box_and_landmarks_around_its_corner() -> None:
    outputs = heads(2, 160)
    put(outputs, row=1, level=1, cell=3 * 10 + 4, score=0.81, side_px=40)
    outputs[9 + 1][1, 34] = [-1, -1, 1, -1, 0, 0, -1, 1, 1, 1]

    nothing, (found,) = detect.decode(outputs, 160, 160, YUNET)

    assert nothing == []
    assert found.detection_score == pytest.approx(0.81)
    np.testing.assert_allclose(found.box, [64 - 20, 48 - 20, 64 + 20, 48 + 20], atol=1e-4)
    np.testing.assert_allclose(found.landmarks, [[48, 32], [80, 32], [64, 48], [48, 64], [80, 64]], atol=1e-4)
    assert not found.box.flags.writeable


def test_a_canvas_that_is_not_square_is_read_row_by_row() -> None:
    wide = [np.zeros((1, (64 // s) * (128 // s), c), np.float32) for c in (1, 1, 4, 10) for s in STRIDES_PX]
    put(wide, row=0, level=0, cell=2 * 16 + 5, score=0.9)

    ((found,),) = detect.decode(wide, 64, 128, YUNET)

    np.testing.assert_allclose(found.box, [40 - 16, 16 - 16, 40 + 16, 16 + 16], atol=1e-4)


def test_scores_below_the_bound_are_no_faces() -> None:
    outputs = heads(1, 160)
    put(outputs, 0, level=0, cell=0, score=0.59)
    put(outputs, 0, level=2, cell=24, score=0.61)

    (found,) = detect.decode(outputs, 160, 160, YUNET)

    assert [round(face.detection_score, 2) for face in found] == [0.61]


def test_of_overlapping_boxes_the_best_stays_and_only_within_its_own_image() -> None:
    outputs = heads(2, 160)
    put(outputs, 0, level=0, cell=5 * 20 + 5, score=0.7)
    put(outputs, 0, level=0, cell=5 * 20 + 6, score=0.9)
    put(outputs, 0, level=0, cell=15 * 20 + 15, score=0.8)
    put(outputs, 1, level=0, cell=5 * 20 + 5, score=0.75)

    first, second = detect.decode(outputs, 160, 160, YUNET)

    assert [round(face.detection_score, 2) for face in first] == [0.9, 0.8]
    assert [round(face.detection_score, 2) for face in second] == [0.75]


def test_a_detection_is_carried_back_to_the_picture_it_came_from() -> None:
    canvas = detect.letterbox(picture(100, 50), 320, 0.5)
    outputs = [np.zeros((1, (320 // s) * (192 // s), c), np.float32) for c in (1, 1, 4, 10) for s in STRIDES_PX]
    put(outputs, 0, level=2, cell=5 * 6 + 3, score=0.9, side_px=64)
    ((found,),) = detect.decode(outputs, 320, 192, YUNET)

    in_picture = detect.to_image(found, canvas)
    twice = detect.scaled(in_picture, 2)

    np.testing.assert_allclose(
        in_picture.box, [5, 30, 45, 70], atol=1e-4
    )  # canvas (96, 160) +- 32, less (56, 80), / 1.6
    np.testing.assert_allclose(in_picture.landmarks[0], [25, 50], atol=1e-4)
    np.testing.assert_allclose(twice.box, in_picture.box * 2)


def marked(height: int, width: int, x: int, y: int) -> UInt8:
    """Black but for a white square of 9 px around the pixel x, y."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y - 4 : y + 5, x - 4 : x + 5] = 255
    return pixels


def white_middle(pixels: UInt8) -> tuple[float, float]:
    """Where the white lies, in px from the corner of the first pixel."""
    weight = pixels[..., 0].astype(float)
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]] + 0.5
    return float((columns * weight).sum() / weight.sum()), float((rows * weight).sum() / weight.sum())


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 180, 250])
@pytest.mark.parametrize("centre", [(100.0, 60.0), (140.0, 70.0), (190.0, 10.0)], ids=["middle", "beside", "corner"])
def test_a_turned_canvas_shows_what_its_transform_says(degrees: float, centre: tuple[float, float]) -> None:
    pixels = marked(120, 200, 150, 50)

    canvas = detect.turned(detect.cut(pixels, centre, 75, 68), 96, degrees)

    expected = canvas.transform[:, :2] @ np.float32([150.5, 50.5]) + canvas.transform[:, 2]
    np.testing.assert_allclose(white_middle(canvas.pixels), expected, atol=0.3)
    assert canvas.scale == pytest.approx(68 / 150)


def test_turning_a_picture_anticlockwise_takes_its_right_to_the_top() -> None:
    canvas = detect.turned(detect.cut(marked(96, 96, 80, 48), (48, 48), 48, 96), 96, 90)

    x, y = white_middle(canvas.pixels)
    assert (round(x), round(y)) == (48, 16)


def test_a_detection_on_a_turned_canvas_lies_where_its_face_does() -> None:
    canvas = detect.turned(detect.cut(picture(100, 200), (150, 50), 50, 100), 96, 90)
    upright = Detection(np.array([28, 18, 68, 78], np.float32), np.float32([[48, 28]] * 5), 0.9)

    in_picture = detect.to_image(upright, canvas)

    np.testing.assert_allclose(in_picture.box, [120, 30, 180, 70], atol=1e-3)
    np.testing.assert_allclose(in_picture.landmarks, [[170, 50]] * 5, atol=1e-3)


def test_boxes_overlap_by_what_they_share_of_both() -> None:
    def box(*corners: float) -> Detection:
        return Detection(np.array(corners, np.float32), np.zeros((5, 2), np.float32), 0.9)

    assert detect.overlap(box(0, 0, 10, 10), box(0, 0, 10, 10)) == pytest.approx(1)
    assert detect.overlap(box(0, 0, 10, 10), box(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert detect.overlap(box(0, 0, 10, 10), box(20, 20, 30, 30)) == 0


def test_the_main_face_is_large_and_near_the_middle_and_a_small_box_inside_it_does_not_win() -> None:
    def face(x1: float, y1: float, x2: float, y2: float, score: float = 0.9) -> Detection:
        return Detection(np.array([x1, y1, x2, y2], np.float32), np.zeros((5, 2), np.float32), score)

    middle, in_corner, inside = face(50, 45, 110, 125), face(0, 0, 60, 80), face(70, 70, 85, 85, 0.95)

    assert detect.main_face([inside, in_corner, middle], 150, 160) is middle
    assert detect.main_face([face(60, 60, 80, 80), face(20, 10, 120, 140, 0.7)], 150, 160).box[0] == 20
