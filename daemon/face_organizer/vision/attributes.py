"""What a network says of the gender and the age of a face. It guesses from looks; who somebody is it cannot know.

Room:    vision
Imports: types, numpy, cv2
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from face_organizer.types import Detection, FaceAttributes, Float32, UInt8

SURROUNDINGS = 1.5
"""The square that is shown, in sides of the box: as InsightFace's networks learned it."""

AGE_MAX = 120


def portrait(pixels: UInt8, detection: Detection, turn_degrees: float, side_px: int) -> UInt8:
    """The surroundings of a face, uint8 (side_px, side_px, 3); black outside the image.

    detection: in px of the image's pixels, uint8 (h, w, 3). turn_degrees: what makes it upright, anticlockwise as one
    sees it; where it is 0 this is InsightFace's own cut.
    """
    x1, y1, x2, y2 = detection.box.tolist()
    scale = side_px / (SURROUNDINGS * max(x2 - x1, y2 - y1, 1e-6))
    angle = math.radians(turn_degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]) * scale
    shift = side_px / 2 - turn @ np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    transform = np.concatenate([turn, shift[:, None]], axis=1)
    shown: UInt8 = cv2.warpAffine(pixels, transform, (side_px, side_px), flags=cv2.INTER_LINEAR)  # type: ignore[assignment]
    return shown


def told(raw: Float32) -> list[FaceAttributes | None]:
    """What the network's answers (n, 3) say: two numbers, for female and male, of which the larger counts, and the age
    as a share of a hundred years. None for one that is not finite."""
    assert raw.ndim == 2, raw.shape
    assert raw.shape[1] == 3, raw.shape
    return [
        FaceAttributes("male" if male > female else "female", min(AGE_MAX, max(0, round(100 * age))))
        if math.isfinite(female + male + age)
        else None
        for female, male, age in raw.tolist()
    ]
