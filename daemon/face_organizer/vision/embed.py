"""What goes into the recogniser and what comes out.

Room:    vision
Imports: types, traits, errors, numpy, cv2

All take RGB. SFace has the scaling in its graph; fed BGR it still scores 99.3 % on LFW, so accuracy does not catch that
mistake: the tests compare it with cv2.FaceRecognizerSF.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from face_organizer.errors import ModelError
from face_organizer.traits import Scaling
from face_organizer.types import Float32, UInt8, Whitening


def network_input(faces: Sequence[UInt8], scaling: Scaling) -> Float32:
    """Pictures of one shape, uint8 (h, w, 3) RGB each, as float32 (n, 3, h, w), RGB, scaled as the network wants it."""
    mean = (scaling.mean,) * 3
    blob: Float32 = cv2.dnn.blobFromImages(list(faces), 1 / scaling.std, mean=mean)  # type: ignore[assignment]
    return blob


def unit_rows(raw: Float32, whitening: Whitening | None = None) -> Float32:
    """The network's output (n, d) on the unit sphere, whitened if the pack says how: float32 (n, d), read-only.

    Whitening is within-class covariance normalisation (Hatch, Kajarekar and Stolcke 2006): the mean goes, and with it
    what all faces share; then the directions in which pictures of one person differ most (blur, bars, darkness) count
    less. A good and a poor face are then compared at the same bound as two good ones (docs/models.md).

    Raises ModelError where the network gave no direction (not finite, or all zero): broken weights or a broken device,
    and nothing it says may reach the store.
    """
    assert raw.ndim == 2, raw.shape
    norms = np.linalg.norm(raw, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms <= 0).any():
        raise ModelError(
            "the recogniser returned an embedding that is not finite: the device or the weights are broken"
        )
    unit: Float32 = (raw / norms).astype(np.float32, copy=False)
    if whitening is not None:
        turned = (unit - whitening.mean) @ whitening.matrix
        unit = (turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    unit.flags.writeable = False
    return unit


def norms(raw: Float32) -> list[float]:
    """How long each of the network's outputs (n, d) is. SFace says by it how well it sees the face."""
    lengths: list[float] = np.linalg.norm(raw, axis=1).tolist()
    return lengths
