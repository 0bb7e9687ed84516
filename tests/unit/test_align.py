"""Alignment: closed form against geometry and against OpenCV's own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from face_organizer.types import Float32
from face_organizer.vision import align


def moved(turn_degrees: float, scale: float, shift: tuple[float, float]) -> Float32:
    """The template turned, scaled and shifted."""
    angle = np.radians(turn_degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (align.TEMPLATE_PX @ turn.T * scale + shift).astype(np.float32)


@pytest.mark.parametrize("turn_degrees", [0, 30, 90, 180, 271])
def test_a_moved_template_comes_back_to_its_place(turn_degrees: float) -> None:
    landmarks = moved(turn_degrees, 2.5, (300, -40))

    transform = align.similarity_transform(landmarks)

    np.testing.assert_allclose(landmarks @ transform[:, :2].T + transform[:, 2], align.TEMPLATE_PX, atol=1e-3)


def test_a_mirrored_face_is_not_mirrored_back() -> None:
    mirrored = align.TEMPLATE_PX * np.float32([-1, 1])

    transform = align.similarity_transform(mirrored)

    assert np.linalg.det(transform[:, :2]) > 0


def test_no_other_similarity_brings_the_landmarks_nearer() -> None:
    rng = np.random.default_rng(7)
    landmarks = moved(20, 1.7, (40, 60)) + rng.normal(0, 3, (5, 2)).astype(np.float32)
    transform = align.similarity_transform(landmarks)

    def missed(m: Float32) -> float:
        return float(((landmarks @ m[:, :2].T + m[:, 2] - align.TEMPLATE_PX) ** 2).sum())

    best = missed(transform)
    for _ in range(200):
        a, b, x, y = rng.normal(0, 0.01, 4)
        other = transform + np.array([[a, -b, x], [b, a, y]], np.float32)
        assert missed(other) >= best - 1e-3


def test_five_equal_points_do_not_divide_by_zero() -> None:
    assert np.isfinite(align.similarity_transform(np.full((5, 2), 9, np.float32))).all()


def test_it_cuts_out_what_opencv_cuts_out(tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = np.random.default_rng(3)
    pixels = cv2.GaussianBlur(rng.integers(0, 256, (200, 240, 3), np.uint8), (0, 0), 2)
    opencv = _opencv_recogniser(tmp_path_factory)

    for _ in range(20):
        landmarks = moved(rng.uniform(-60, 60), rng.uniform(0.4, 1.5), tuple(rng.uniform(20, 90, 2)))
        landmarks += rng.normal(0, 2, (5, 2)).astype(np.float32)
        theirs = opencv.alignCrop(pixels, np.concatenate([np.zeros(4), landmarks.ravel(), [1]]).astype(np.float32))
        ours = align.aligned(pixels, landmarks)

        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


def test_the_middle_square_of_a_crop_is_its_last_resort() -> None:
    pixels = np.zeros((300, 500, 3), np.uint8)
    pixels[:, 100:400] = 255

    face = align.centred(pixels)

    assert face.shape == (112, 112, 3)
    assert face.min() == 255


def _opencv_recogniser(tmp_path_factory: pytest.TempPathFactory) -> cv2.FaceRecognizerSF:
    """OpenCV's recogniser around a network of one operator: only its alignment is wanted."""
    import onnx
    from onnx import TensorProto, helper

    picture = helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 112, 112])
    result = helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [1, 3, 112, 112])
    graph = helper.make_graph([helper.make_node("Relu", ["data"], ["fc1"])], "nothing", [picture], [result])
    path = tmp_path_factory.mktemp("opencv") / "nothing.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return cv2.FaceRecognizerSF.create(str(path), "")
