"""Faces that every device is tried on before it is trusted, and what counts as the same answer.

Room:    vision
Imports: types, numpy
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from face_organizer.types import Float32, UInt8

PROOF_VERSION = 1
"""Raise it whenever the faces change: answers to others are no measure."""

SIMILARITY_MIN = 0.999
"""Between a device's answer and the processor's: room for half precision, none for a wrong kernel, or BGR for RGB."""

_SIDE_PX = 112


def proof_faces() -> list[UInt8]:
    """Four aligned faces, uint8 (112, 112, 3) RGB each: drawn, so that nobody's picture need be kept."""
    return [
        _drawn(skin, width, tilt)
        for skin, width, tilt in ((150, 38, 0.0), (205, 46, 0.3), (95, 34, -0.2), (230, 42, 0.6))
    ]


def _drawn(skin: float, width: float, tilt: float) -> UInt8:
    """An oval with eyes, nose and mouth where the template has them, lit from one side."""
    y, x = np.mgrid[0:_SIDE_PX, 0:_SIDE_PX].astype(np.float64)

    def spot(at_x: float, at_y: float, wide: float, high: float) -> NDArray[np.float64]:
        around: NDArray[np.float64] = np.exp(-(((x - at_x) / wide) ** 2) - ((y - at_y) / high) ** 2)
        return around

    oval = 1 / (1 + np.exp(((x - 56) / width) ** 2 * 6 + ((y - 60) / (width * 1.3)) ** 2 * 6 - 6))
    light = 1 + tilt * (x - 56) / 112
    dark = spot(38, 52, 6, 3.5) + spot(74, 52, 6, 3.5) + 0.5 * spot(56, 72, 4, 9) + 0.8 * spot(56, 92, 12, 3)
    grey = (40 + (skin - 40) * oval) * light - 0.5 * skin * dark
    colours = np.stack([grey * 1.08, grey * 0.92, grey * (0.78 + tilt / 4)], axis=-1)
    drawn: UInt8 = np.clip(colours, 0, 255).astype(np.uint8)
    return drawn


def similarity_of(answer: Float32, expected: Float32) -> float:
    """The least cosine between two answers to the proof, float32 (n, d) each; -1 where one is no answer at all."""
    if answer.shape != expected.shape or not np.isfinite(answer).all():
        return -1.0
    norms = np.linalg.norm(answer, axis=1) * np.linalg.norm(expected, axis=1)
    return float(((answer * expected).sum(axis=1) / np.maximum(norms, 1e-12)).min())
