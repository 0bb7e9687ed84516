"""YuNet: pixels to network input, network output to candidates.

Room:    vision
Imports: types, numpy

YuNet (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", 2023) is anchor-free: each cell of three grids
(strides 8, 16, 32 px) gives a class and an objectness score, a box and five landmarks relative to the cell. It was
trained on BGR, 0-255, without normalisation; we hold RGB, and flip at its door.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from face_organizer.types import Candidates, Float32, UInt8

STRIDES_PX = (8, 16, 32)


def network_input(pictures: Sequence[UInt8]) -> Float32:
    """Pictures of one shape, uint8 (h, w, 3) RGB, as float32 (n, 3, h, w), BGR, 0-255."""
    batch = np.empty((len(pictures), 3, *pictures[0].shape[:2]), np.float32)
    for row, picture in zip(batch, pictures, strict=True):
        row[:] = picture.transpose(2, 0, 1)[::-1]
    return batch


def candidates(outputs: Sequence[Float32], height: int, width: int, detection_score_min: float) -> Candidates:
    """What scores, in px of the input. outputs: twelve arrays, float32 (n, cells, 1 | 1 | 4 | 10), as cls, obj, bbox,
    kps for each of the strides."""
    assert len(outputs) == 4 * len(STRIDES_PX), len(outputs)
    assert outputs[0].shape[1] == (height // STRIDES_PX[0]) * (width // STRIDES_PX[0]), outputs[0].shape
    found = [
        _of_grid(stride, width // stride, outputs[level::3], detection_score_min)
        for level, stride in enumerate(STRIDES_PX)
    ]
    return Candidates(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _of_grid(
    stride: int, columns: int, heads: Sequence[Float32], detection_score_min: float
) -> tuple[np.ndarray, Float32, Float32, Float32]:
    classes, objectness, bbox, kps = heads
    squared = np.clip(classes[..., 0], 0, 1) * np.clip(objectness[..., 0], 0, 1)
    rows, cells = np.nonzero(squared >= detection_score_min**2)
    corner = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
    offset, size = bbox[rows, cells, :2], np.exp(bbox[rows, cells, 2:])
    centre = (corner + offset) * stride
    half = size * (stride / 2)
    landmarks = (kps[rows, cells].reshape(-1, 5, 2) + corner[:, None]) * stride
    boxes = np.concatenate([centre - half, centre + half], axis=1)
    return rows, np.sqrt(squared[rows, cells]), boxes, landmarks
