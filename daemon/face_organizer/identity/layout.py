"""Persons on a plane, for looking: who looks alike lies close together.

Room:    identity (thinks)
Imports: types, numpy

The principal plane is a first guess; then every person is drawn to the few that it resembles most, and pushed away from
some others, as UMAP does (arxiv.org/abs/1802.03426), all at once and with the same chances each time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from face_organizer.types import Float32, Int64

NEAREST = 6
ROUNDS = 150
FEW_ROUNDS = 20
"""When most have a place already: the picture only gives way to what is new."""

PUSHED = 6
_ROWS_AT_ONCE = 1024
_STEP_MAX = 4.0
_WIDE = np.float32(10)
"""The forces are made for a plane so wide."""


def layout(matrix: Float32, start: Float32 | None = None, *, seed: int = 0) -> Float32:
    """A place in [-1, 1] x [-1, 1] for each row; the same rows, start and seed give the same places.

    matrix: float32 (p, d), unit rows; start: float32 (p, 2), where each was before, NaN for a new one. Returns
    float32 (p, 2). 10,000 rows of 128 take some seconds of one core.
    """
    p = len(matrix)
    if p < 3:
        return np.array([[0, 0]], np.float32)[:p] if p < 2 else np.array([[-0.5, 0], [0.5, 0]], np.float32)
    neighbours, weights = _nearest(matrix, min(NEAREST, p - 1))
    known: NDArray[np.bool_] = np.asarray(np.zeros(p) if start is None else ~np.isnan(start).any(axis=1), np.bool_)
    if start is not None and known.all():
        return start
    if start is None or np.count_nonzero(known) < p / 2:
        places, rounds = _plane(matrix), ROUNDS
    else:
        places, rounds = _beside(start, known, neighbours, weights), FEW_ROUNDS
    return _fitted(_settled(places * _WIDE, neighbours, weights, rounds, np.random.default_rng(seed)))


def _nearest(matrix: Float32, k: int) -> tuple[Int64, Float32]:
    """The k most similar rows of each, int64 (p, k), and how strongly they draw, float32 (p, k), 0..1."""
    neighbours, weights = np.empty((len(matrix), k), np.int64), np.empty((len(matrix), k), np.float32)
    for first in range(0, len(matrix), _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        cosines = matrix[part] @ matrix.T
        cosines[np.arange(len(cosines)), first + np.arange(len(cosines))] = -np.inf
        top = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        top.sort(axis=1)  # the order of equals must not depend on how they were found
        neighbours[part], weights[part] = top, np.take_along_axis(cosines, top, axis=1)
    strongest = weights.max(axis=1, keepdims=True)
    return neighbours, np.exp((weights - strongest) / 0.1).astype(np.float32)


def _plane(matrix: Float32) -> Float32:
    """The two principal components, scaled to [-1, 1]; a sign is an accident, so the larger side is the positive."""
    centred = matrix - matrix.mean(axis=0)
    _, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    places = (centred @ axes[:, [-1, -2]].astype(np.float32)).astype(np.float32)
    places *= np.where((places**3).sum(axis=0) < 0, -1, 1).astype(np.float32)
    return np.asarray(places / np.maximum(np.abs(places).max(axis=0), 1e-6), np.float32)


def _beside(start: Float32, known: NDArray[np.bool_], neighbours: Int64, weights: Float32) -> Float32:
    """Where each was; a new one in the middle of its neighbours that have a place."""
    places = np.where(known[:, None], start, 0).astype(np.float32)
    drawn = weights * known[neighbours]
    total = drawn.sum(axis=1)
    middle = np.einsum("pk,pkx->px", drawn, places[neighbours]) / np.maximum(total, 1e-6)[:, None]
    places[~known] = middle[~known]
    return places


def _settled(places: Float32, neighbours: Int64, weights: Float32, rounds: int, rng: np.random.Generator) -> Float32:
    p, k = neighbours.shape
    one, other, weight = np.repeat(np.arange(p), k), neighbours.ravel(), weights.ravel()
    for number in range(rounds):
        rate = np.float32(1 - number / rounds)
        away = places[one] - places[other]
        squared = (away**2).sum(axis=1)
        draw = np.clip(away * (weight / (1 + squared) * rate)[:, None], -_STEP_MAX, _STEP_MAX)
        moved = _summed(other, draw, p) - _summed(one, draw, p)
        strangers = rng.integers(p, size=(PUSHED, p))
        for stranger in strangers:
            apart = places - places[stranger]
            squared = (apart**2).sum(axis=1)
            moved += np.clip(apart * (rate / ((0.05 + squared) * (1 + squared)))[:, None], -_STEP_MAX, _STEP_MAX)
        places = places + np.clip(moved, -_STEP_MAX, _STEP_MAX) * np.float32(0.3)
    return places


def _summed(rows: Int64, values: Float32, p: int) -> Float32:
    columns = [np.bincount(rows, values[:, axis], p) for axis in range(2)]
    return np.stack(columns, axis=1).astype(np.float32)


def _fitted(places: Float32) -> Float32:
    """Moved and scaled into [-1, 1], the proportions kept."""
    low, high = places.min(axis=0), places.max(axis=0)
    half = max(float((high - low).max()) / 2, 1e-6)
    return np.asarray((places - (low + high) / 2) / np.float32(half), np.float32)
