"""Find faces: pictures to canvases, canvases to network input, network output to boxes and landmarks.

Room:    vision
Imports: types, traits, vision, numpy, cv2

What is peculiar to a kind of detector is in a file of its own; nobody else needs to know which kind it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from face_organizer.traits import DetectorTraits
from face_organizer.types import Candidates, Detection, Float32, UInt8
from face_organizer.vision import scrfd, yunet

_KINDS = {"yunet": yunet, "scrfd": scrfd}
_CANVAS_STEP_PX = 64
_CANDIDATES_MAX = 5000


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """An image, or a part of it, scaled, turned and padded for the detector.

    pixels: uint8 (h, w, 3) RGB, h and w multiples of 32. transform: float32 (2, 3), image px to canvas px; it scales,
    turns and shifts, and never mirrors.
    """

    pixels: UInt8
    transform: Float32

    @property
    def scale(self) -> float:
        """Canvas px per image px."""
        return math.hypot(*self.transform[:, 0].tolist())


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A square part of an image, upright, to be looked at from several angles.

    pixels: uint8 (s, s, 3), at the scale of the looks; black where the square leaves the image. scale: patch px per
    image px. left_px, top_px: its corner in the image.
    """

    pixels: UInt8
    scale: float
    left_px: int
    top_px: int


def letterbox(pixels: UInt8, side_px: int, fill: float = 1.0) -> Canvas:
    """Scale an image so that its longest side is fill * side_px, on a canvas of black.

    It lies at the corner where it fills the canvas, as InsightFace puts it, else in the middle. The longest side of the
    canvas is side_px; the other is as short as the picture allows, in steps of 64 px, so that few shapes occur and
    batches form. pixels: uint8 (h, w, 3); side_px: a multiple of 32; fill: 0..1.
    """
    assert side_px % 32 == 0, side_px
    height, width = pixels.shape[:2]
    scale = side_px * fill / max(height, width)
    inner_h, inner_w = max(1, round(height * scale)), max(1, round(width * scale))
    canvas_h, canvas_w = (min(side_px, _step_up(inner / fill)) for inner in (inner_h, inner_w))
    if (height, width) != (inner_h, inner_w):
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, (inner_w, inner_h), interpolation=method)  # type: ignore[assignment]
    left, top = ((canvas_w - inner_w) // 2, (canvas_h - inner_h) // 2) if fill < 1 else (0, 0)
    if (canvas_h, canvas_w) != (inner_h, inner_w):
        pixels = cv2.copyMakeBorder(  # type: ignore[assignment]
            pixels, top, canvas_h - inner_h - top, left, canvas_w - inner_w - left, cv2.BORDER_CONSTANT
        )
    return Canvas(pixels, np.array([[scale, 0, left], [0, scale, top]], np.float32))


def cut(pixels: UInt8, centre: tuple[float, float], reach_px: float, side_px: int) -> Patch:
    """The square that reaches so far around a point (x, y px) inside an image, as a patch of side_px."""
    left, top = round(centre[0] - reach_px), round(centre[1] - reach_px)
    side = max(1, round(2 * reach_px))
    inside = pixels[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    if inside.shape[:2] != (side, side):
        before = max(0, -top), max(0, -left)
        after = side - inside.shape[0] - before[0], side - inside.shape[1] - before[1]
        inside = cv2.copyMakeBorder(inside, before[0], after[0], before[1], after[1], cv2.BORDER_CONSTANT)  # type: ignore[assignment]
    method = cv2.INTER_AREA if side_px < side else cv2.INTER_LINEAR
    square: UInt8 = cv2.resize(inside, (side_px, side_px), interpolation=method)  # type: ignore[assignment]
    return Patch(square, side_px / side, left, top)


def turned(patch: Patch, side_px: int, degrees: float) -> Canvas:
    """A patch turned anticlockwise, as one sees it, about the middle of a canvas of side_px; black around it."""
    assert side_px % 32 == 0, side_px
    angle, middle = math.radians(degrees), patch.pixels.shape[0] / 2
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    shift = side_px / 2 - turn @ np.array([middle, middle])
    centres = np.concatenate([turn, (shift + turn @ [0.5, 0.5] - 0.5)[:, None]], axis=1)  # OpenCV counts from them
    shown: UInt8 = cv2.warpAffine(patch.pixels, centres, (side_px, side_px), flags=cv2.INTER_LINEAR)  # type: ignore[assignment]
    shift = shift - turn @ np.array([patch.left_px, patch.top_px]) * patch.scale
    return Canvas(shown, np.concatenate([turn * patch.scale, shift[:, None]], axis=1).astype(np.float32))


def network_input(canvases: Sequence[Canvas], kind: str) -> Float32:
    """Canvases of one shape as a detector of this kind wants them: float32 (n, 3, h, w)."""
    batch: Float32 = _KINDS[kind].network_input([canvas.pixels for canvas in canvases])
    return batch


def decode(
    outputs: Sequence[Float32],
    canvas_h: int,
    canvas_w: int,
    traits: DetectorTraits,
    detection_score_min: float | None = None,
) -> list[list[Detection]]:
    """What the network says of each canvas of a batch, in canvas px, overlaps resolved, best score first: n lists.

    outputs: its arrays, first axis n. detection_score_min: the pack's, unless another is given.
    """
    least = traits.detection_score_min if detection_score_min is None else detection_score_min
    found = _KINDS[traits.kind].candidates(outputs, canvas_h, canvas_w, least)
    detections: list[list[Detection]] = [[] for _ in range(len(outputs[0]))]
    for kept in _best_of_overlapping(found, traits.overlap_max):
        detection = Detection(
            _read_only(found.boxes[kept]), _read_only(found.landmarks[kept]), float(found.scores[kept])
        )
        detections[found.rows[kept]].append(detection)
    return detections


def to_image(detection: Detection, canvas: Canvas) -> Detection:
    """A detection in canvas px as one in px of the image that lies on it.

    Where the canvas is turned, the box becomes the upright one around the ellipse that the turned box holds: exact for
    quarter turns, and it does not grow for those between.
    """
    (cos, _, left), (sin, _, top) = canvas.transform.tolist()
    back, shift = 1 / complex(cos, sin), complex(left, top)  # points as complex numbers: a scaled turn is a factor
    x1, y1, x2, y2 = detection.box.tolist()
    centre = (complex(x1 + x2, y1 + y2) / 2 - shift) * back
    half_w = math.hypot(back.real * (x2 - x1), back.imag * (y2 - y1)) / 2
    half_h = math.hypot(back.imag * (x2 - x1), back.real * (y2 - y1)) / 2
    box = [centre.real - half_w, centre.imag - half_h, centre.real + half_w, centre.imag + half_h]
    points = [(complex(x, y) - shift) * back for x, y in detection.landmarks.tolist()]
    landmarks = [(point.real, point.imag) for point in points]
    return Detection(
        _read_only(np.array(box, np.float32)), _read_only(np.array(landmarks, np.float32)), detection.detection_score
    )


def scaled(detection: Detection, factor: float) -> Detection:
    """The same detection in an image factor times as large."""
    by = np.float32(factor)
    return Detection(_read_only(detection.box * by), _read_only(detection.landmarks * by), detection.detection_score)


def overlap(one: Detection, other: Detection) -> float:
    """Intersection over union of two boxes, 0..1."""
    corner, opposite = np.maximum(one.box[:2], other.box[:2]), np.minimum(one.box[2:], other.box[2:])
    shared = float(np.prod(np.maximum(opposite - corner, 0)))
    both = sum(float(np.prod(detection.box[2:] - detection.box[:2])) for detection in (one, other))
    return shared / max(both - shared, 1e-9)


def main_face(detections: Sequence[Detection], height_px: int, width_px: int) -> Detection:
    """The face that a picture of one person is about: large, sure and near the middle.

    Nearness alone would fall for the small false boxes that appear inside a large face: on LFW at a canvas of 256 px it
    takes verification from 99.0 to 91.7 %.
    """

    def weight(detection: Detection) -> float:
        x1, y1, x2, y2 = detection.box.tolist()
        side_px = math.sqrt((x2 - x1) * (y2 - y1))
        off_middle_px = math.hypot((x1 + x2 - width_px) / 2, (y1 + y2 - height_px) / 2)
        return detection.detection_score * side_px - off_middle_px

    return max(detections, key=weight)


def _step_up(size_px: float) -> int:
    return int(-(-size_px // _CANVAS_STEP_PX)) * _CANVAS_STEP_PX


def _best_of_overlapping(found: Candidates, overlap_max: float) -> Sequence[int]:
    """Greedy non-maximum suppression within each image; indices, best score first."""
    if len(found.rows) == 0:
        return ()
    boxes = found.boxes
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(
        corner_and_size.tolist(), found.scores.tolist(), found.rows.tolist(), 0.0, overlap_max, 1.0, _CANDIDATES_MAX
    )
    order = np.asarray(kept, np.intp).ravel()
    return order[np.argsort(-found.scores[order], kind="stable")].tolist()  # type: ignore[no-any-return]


def _read_only(array: Float32) -> Float32:
    array = np.ascontiguousarray(array, np.float32)
    array.flags.writeable = False
    return array
