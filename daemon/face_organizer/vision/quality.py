"""How far a face can be trusted to say who somebody is.

Room:    vision
Imports: types, traits, numpy, cv2
"""

from __future__ import annotations

import cv2
import numpy as np
from cv2.typing import MatLike

from face_organizer.traits import Traits
from face_organizer.types import UInt8

WIDTH_FULL_PX = 48.0
"""Below this width of the face in its image the recogniser loses."""

SHARPNESS_FULL, SHARPNESS_LEAST = 0.10, 0.5
"""Nine of ten photos of LFW are sharper than .12; blurred by sigma 3 they are at .03 to .09. What is not sharp at all
keeps half its quality: the norm has counted most of that loss already."""


def quality(
    traits: Traits, detection_score: float, width_px: float, plausibility: float, sharpness: float, norm: float
) -> float:
    """0..1: a product of factors, for one bad one is enough to make a face untrustworthy.

    width_px: in the image that was decoded. plausibility: of the landmarks, 0..1. sharpness: of the aligned face. norm:
    of the raw embedding; it counts where the pack says how. SFace's alone explains two thirds of how alike two photos
    of one person are, over sharp, blurred, small, dark and half covered faces; the others guard against what is no face
    at all (docs/models.md).
    """
    detector, recogniser = traits.detector, traits.recogniser
    score = _ramp(detection_score, detector.quality_score_none, detector.quality_score_full)
    sharp = SHARPNESS_LEAST + (1 - SHARPNESS_LEAST) * _ramp(sharpness, 0.0, SHARPNESS_FULL)
    low, high = recogniser.norm_none, recogniser.norm_full
    seen = 1.0 if low is None or high is None else _ramp(norm, low, high)
    return score * _ramp(width_px, 0.0, WIDTH_FULL_PX) * plausibility * sharp * seen


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
