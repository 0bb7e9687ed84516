"""Does a detection look like a face, and which way up is it? Scores and landmarks in, angles and doubts out.

Room:    vision
Imports: types, traits, numpy, vision.align

YuNet was trained on upright faces and answers a turned one as if it were upright: at 30 degrees its eyes lie 4 degrees
off level, and at 90 it draws a false face. So the landmarks say that something is wrong, but not by how much. The
detection score does: it falls evenly with the angle on both sides, so three looks 45 degrees apart give its peak.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence

from face_organizer.traits import DetectorTraits
from face_organizer.types import Detection, Float32
from face_organizer.vision.align import template_fit

STEP_DEGREES = 45
TURNS_DEGREES = tuple(range(0, 360, STEP_DEGREES))
"""The angles that a doubtful face is tried at. Steps of 60 miss some; steps of 30 gain nothing (docs/models.md)."""

MISFIT_NONE_PX, MISFIT_FULL_PX = 4.0, 12.0
"""Landmarks of upright faces miss the template by 2.7 px (median; 1 in 100 by 5.7), false ones often by 8 or more."""

MARGIN_SHARE = 0.15
"""Landmarks may lie so far outside the box, as a share of its side: a hand or a profile pushes them out a little."""


def misfit_px(landmarks: Float32) -> float:
    """How far five points are from any turned, scaled, shifted template: root mean square, in px of the aligned face.

    landmarks: float32 (5, 2), finite.
    """
    return template_fit(landmarks)[2]


def tilt_degrees(landmarks: Float32) -> float:
    """How far to turn the face, anticlockwise as one sees it, until it stands upright, if its landmarks are true."""
    factor, _, _ = template_fit(landmarks)
    return _upright_degrees(factor)


def _upright_degrees(factor: complex) -> float:
    return -math.degrees(cmath.phase(factor))


def plausibility(detection: Detection) -> float:
    """0..1: how much the landmarks look like a face, in the frame of the canvas they were found on.

    0 unless they are in order (eyes above mouth, left of right, nose between eyes and mouth) and inside their box; else
    their regularity.
    """
    if not _in_order(detection) or not _inside(detection):
        return 0.0
    return regularity(detection.landmarks)


def regularity(landmarks: Float32) -> float:
    """0..1: how much five points are those of a face, at whatever angle: 1 up to a misfit of MISFIT_NONE_PX,
    falling to 0 at MISFIT_FULL_PX."""
    beyond = (misfit_px(landmarks) - MISFIT_NONE_PX) / (MISFIT_FULL_PX - MISFIT_NONE_PX)
    return min(1.0, max(0.0, 1.0 - beyond))


def is_sure(detection: Detection, traits: DetectorTraits, detection_score_min: float | None = None) -> bool:
    """Is this, beyond doubt, a face that stands upright on its canvas? detection: in canvas px; detection_score_min:
    the pack's sure_score, unless another is given."""
    least = traits.sure_score if detection_score_min is None else detection_score_min
    if detection.detection_score < least or not _in_order(detection) or not _inside(detection):
        return False
    factor, _, misfit = template_fit(detection.landmarks)
    return misfit <= traits.sure_misfit_px and abs(_upright_degrees(factor)) <= traits.sure_tilt_degrees


def peak_degrees(scores: Sequence[float]) -> float:
    """The angle at which a face would score best, -180..180, from its scores at each of TURNS_DEGREES.

    At most half a step from the best of them. It is 8 degrees off (root mean square) on faces of LFW.
    """
    assert len(scores) == len(TURNS_DEGREES), len(scores)
    best = max(range(len(scores)), key=lambda turn: scores[turn])
    around = scores[best - 1], scores[best], scores[(best + 1) % len(scores)]
    return wrapped_degrees(TURNS_DEGREES[best] + STEP_DEGREES * vertex(*around))


def vertex(before: float, top: float, after: float) -> float:
    """Where the parabola through three values one step apart peaks: steps from the middle one, -.5..+.5."""
    curve = before - 2 * top + after
    off = 0.5 * (before - after) / curve if curve < 0 else 0.0
    return min(0.5, max(-0.5, off))


def wrapped_degrees(angle: float) -> float:
    """The same angle as -180..180."""
    return (angle + 180) % 360 - 180


def _in_order(detection: Detection) -> bool:
    """Eyes above mouth, left of right, nose between eyes and mouth."""
    (left_eye, right_eye, nose, left_mouth, right_mouth) = detection.landmarks.tolist()
    eyes_y, mouth_y = (left_eye[1] + right_eye[1]) / 2, (left_mouth[1] + right_mouth[1]) / 2
    return bool(left_eye[0] < right_eye[0] and left_mouth[0] < right_mouth[0] and eyes_y < nose[1] < mouth_y)


def _inside(detection: Detection) -> bool:
    x1, y1, x2, y2 = detection.box.tolist()
    margin_x, margin_y = MARGIN_SHARE * (x2 - x1), MARGIN_SHARE * (y2 - y1)
    return all(
        x1 - margin_x <= x <= x2 + margin_x and y1 - margin_y <= y <= y2 + margin_y
        for x, y in detection.landmarks.tolist()
    )
