"""How far a face can be trusted to say who somebody is.

Room:    vision
Imports: types, numpy, cv2
"""

from __future__ import annotations

import cv2
import numpy as np
from cv2.typing import MatLike

from face_organizer.types import UInt8

SCORE_NONE, SCORE_FULL = 0.6, 0.9
"""Upright faces of LFW score .91 and more, false boxes .6 to .75."""

WIDTH_FULL_PX = 48.0
"""Below this width of the face in its image the recogniser loses."""

SHARPNESS_FULL, SHARPNESS_LEAST = 0.10, 0.5
"""Nine of ten photos of LFW are sharper than .12; blurred by sigma 3 they are at .03 to .09. What is not sharp at all
keeps half its quality: the norm has counted most of that loss already."""

NORM_NONE, NORM_FULL = 4.0, 13.0
"""Of SFace's embedding before it is put on the unit sphere. The similarity to other photos of the same person rises
evenly with it, from .08 below 6 to .70 above 13."""


def quality(
    detection_score: float, width_px: float, plausibility: float, sharpness: float, norm: float = NORM_FULL
) -> float:
    """0..1: a product of factors, for one bad one is enough to make a face untrustworthy.

    width_px: in the image that was decoded. plausibility: of the landmarks, 0..1. sharpness: of the aligned face. norm:
    of the raw embedding. It alone explains two thirds of how alike two photos of one person are, over sharp, blurred,
    small, dark and half covered faces; the others guard against what is no face at all (docs/models.md).
    """
    score = _ramp(detection_score, SCORE_NONE, SCORE_FULL)
    sharp = SHARPNESS_LEAST + (1 - SHARPNESS_LEAST) * _ramp(sharpness, 0.0, SHARPNESS_FULL)
    return score * _ramp(width_px, 0.0, WIDTH_FULL_PX) * plausibility * sharp * _ramp(norm, NORM_NONE, NORM_FULL)


def sharpness(aligned: UInt8) -> float:
    """How much of the contrast of an aligned face, uint8 (112, 112, 3) RGB, lies in its finest detail: 0 and up.

    The spread of the Laplacian over the spread of the grey levels, a little smoothed against noise, in the part that
    faces fill; so neither light nor contrast counts. What was enlarged or blurred has none.
    """
    grey = cv2.cvtColor(aligned, cv2.COLOR_RGB2GRAY).astype(np.float32)
    face = cv2.GaussianBlur(grey, (0, 0), 0.8)[16:104, 16:96]
    return _spread(cv2.Laplacian(face, cv2.CV_32F)) / max(_spread(face), 1.0)


def _spread(values: MatLike) -> float:
    """The standard deviation; NumPy's takes three times as long on so few."""
    return float(cv2.meanStdDev(values)[1][0, 0])


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to low, 1 from high on, straight between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
