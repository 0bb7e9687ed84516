"""SCRFD: pixels to network input, network output to candidates.

Room:    vision
Imports: types, numpy

SCRFD (Guo, Deng, Lattas, Zafeiriou: "Sample and Computation Redistribution for Efficient Face Detection", 2021) gives,
for each anchor of each grid, a score, the distances from the anchor's cell to the four sides of the box, and those to
five landmarks, all in strides. Two anchors a cell on three grids, or one on five. It wants RGB, (x - 127.5) / 128.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from face_organizer.types import Candidates, Float32, UInt8

MEAN, STD = 127.5, 128.0
GRIDS = {9: ((8, 16, 32), 2), 15: ((8, 16, 32, 64, 128), 1)}
"""{number of outputs: (strides in px, anchors a cell)}."""


def network_input(pictures: Sequence[UInt8]) -> Float32:
    """Pictures of one shape, uint8 (h, w, 3) RGB, as float32 (n, 3, h, w), RGB, (x - 127.5) / 128."""
    batch = np.empty((len(pictures), 3, *pictures[0].shape[:2]), np.float32)
    for row, picture in zip(batch, pictures, strict=True):
        row[:] = picture.transpose(2, 0, 1)
    batch -= np.float32(MEAN)
    batch *= np.float32(1 / STD)
    return batch


def candidates(outputs: Sequence[Float32], height: int, width: int, detection_score_min: float) -> Candidates:
    """What scores, in px of the input. outputs: nine or fifteen arrays, float32 (n, anchors, 1 | 4 | 10), as scores,
    boxes, landmarks for each stride; an anchor is row by row, cell by cell."""
    strides, anchors = GRIDS[len(outputs)]
    grids = len(strides)
    found = []
    for level, stride in enumerate(strides):
        scores, distances, points = (outputs[level + grids * head] for head in range(3))
        columns, lines = -(-width // stride), -(-height // stride)
        assert scores.shape[1] == columns * lines * anchors, (scores.shape, height, width)
        rows, places = np.nonzero(scores[..., 0] >= detection_score_min)
        cells = places // anchors
        centre = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32) * stride
        sides = distances[rows, places] * stride
        boxes = np.concatenate([centre - sides[:, :2], centre + sides[:, 2:]], axis=1)
        landmarks = points[rows, places].reshape(-1, 5, 2) * stride + centre[:, None]
        found.append((rows, scores[rows, places, 0], boxes, landmarks))
    return Candidates(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
