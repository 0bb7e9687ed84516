"""Turn a face so that its landmarks lie where the recogniser learned to expect them.

Room:    vision
Imports: types, numpy, cv2
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from face_organizer.types import Float32, UInt8

SIDE_PX = 112

TEMPLATE_PX: Float32 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""The landmarks of an aligned face: ArcFace's template (Deng et al., 2019), the viewer's left first."""

_TEMPLATE = [complex(x, y) for x, y in TEMPLATE_PX.tolist()]
_TEMPLATE_MEAN = sum(_TEMPLATE) / 5
_TEMPLATE_FROM_MEAN = [point - _TEMPLATE_MEAN for point in _TEMPLATE]


def similarity_transform(landmarks: Float32) -> Float32:
    """The rotation, scale and shift that bring five points nearest to the template, in the least-squares sense.

    landmarks: float32 (5, 2) px. Returns float32 (2, 3), source px to aligned px.
    Umeyama (1991) in the plane: with points as complex numbers about their means, the best factor is
    sum(conj(source) * target) / sum(|source|^2); being a factor, it can turn and scale but never mirror.
    """
    factor, shift, _ = template_fit(landmarks)
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]], np.float32)


def template_fit(landmarks: Float32) -> tuple[complex, complex, float]:
    """The same with points as complex numbers: the factor, the shift, and what is missed, root mean square, aligned px.

    In plain Python: on five points NumPy takes five times as long.
    """
    assert landmarks.shape == (5, 2), landmarks.shape
    source = [complex(x, y) for x, y in landmarks.tolist()]
    mean = sum(source) / 5
    from_mean = [point - mean for point in source]
    spread = sum(point.real**2 + point.imag**2 for point in from_mean)
    pairs = list(zip(from_mean, _TEMPLATE_FROM_MEAN, strict=True))
    factor = sum(point.conjugate() * goal for point, goal in pairs) / max(spread, 1e-12)
    missed = [factor * point - goal for point, goal in pairs]
    missed_px = math.sqrt(sum(point.real**2 + point.imag**2 for point in missed) / 5)
    return factor, _TEMPLATE_MEAN - factor * mean, missed_px


def aligned(pixels: UInt8, landmarks: Float32) -> UInt8:
    """The face with these landmarks as uint8 (112, 112, 3). pixels: (h, w, 3); what lies outside them is black."""
    transform = similarity_transform(landmarks)
    face: UInt8 = cv2.warpAffine(pixels, transform, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR)  # type: ignore[assignment]
    return face


def centred(pixels: UInt8) -> UInt8:
    """The middle square of an image as uint8 (112, 112, 3): the last resort for a crop in which no face was found.

    Without alignment verification on LFW falls from 99.4 to 92.9 %, so such a face must never found a person.
    """
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > SIDE_PX else cv2.INTER_LINEAR
    face: UInt8 = cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=method)  # type: ignore[assignment]
    return face
