"""How far a face can be trusted to say who somebody is.

Room:    vision
Imports: types, numpy, vision.align
"""

from __future__ import annotations

import numpy as np

from face_organizer.types import Detection, Float32
from face_organizer.vision.align import TEMPLATE_PX, similarity_transform

SCORE_NONE, SCORE_FULL = 0.6, 0.9
"""Upright faces of LFW score .91 and more, turned by 30 degrees .75 to .91, false boxes on turned faces .6 to .75."""

SIDE_FULL_PX = 48.0
"""Below this width of the face the recogniser loses: pairwise F .99 at 60 px, .83 at 24, .44 at 16."""

MISFIT_NONE_PX, MISFIT_FULL_PX = 4.0, 12.0
"""Landmarks of upright faces miss the template by 2.7 px (median; 1 in 100 by 5.7), false ones often by 8 or more."""


def quality(detection: Detection) -> float:
    """0..1: what the detector says of the face, times its size, times how much its landmarks look like a face.

    detection: in px of the image that was decoded. One bad factor is enough to make a face untrustworthy, hence the
    product. The bounds were read off LFW, upright and turned (docs/models.md).
    """
    width_px = float(detection.box[2] - detection.box[0])
    score = _ramp(detection.detection_score, SCORE_NONE, SCORE_FULL)
    size = _ramp(width_px, 0.0, SIDE_FULL_PX)
    fit = 1.0 - _ramp(misfit_px(detection.landmarks), MISFIT_NONE_PX, MISFIT_FULL_PX)
    return score * size * fit


def misfit_px(landmarks: Float32) -> float:
    """How far five points are from any turned, scaled, shifted template: root mean square, in px of the aligned face.

    landmarks: float32 (5, 2), finite.
    """
    transform = similarity_transform(landmarks)
    missed = landmarks @ transform[:, :2].T + transform[:, 2] - TEMPLATE_PX
    return float(np.sqrt((missed**2).sum(axis=1).mean()))


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to low, 1 from high on, straight between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
