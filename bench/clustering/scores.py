"""How right a clustering is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Scores(NamedTuple):
    """Pairwise and BCubed (b_) precision, recall and F; clusters of any size, and of two faces or more."""

    precision: float
    recall: float
    f: float
    b_precision: float
    b_recall: float
    b_f: float
    clusters: int
    persons: int

    @property
    def mean_f(self) -> float:
        """What a bound is chosen by, and methods are ranked by: pairwise F belongs to the people of many photos,
        BCubed F to the many people of few."""
        return (self.f + self.b_f) / 2


def scores(who: np.ndarray, label: np.ndarray) -> Scores:
    """who: (n,), the truth; label: (n,), what was found, -1 for a face that is alone."""
    alone = label < 0
    label = np.where(alone, label.max(initial=0) + 1 + np.arange(len(label)), label)
    _, who, sizes = np.unique(who, return_inverse=True, return_counts=True)
    _, label, found = np.unique(label, return_inverse=True, return_counts=True)
    cells, shared = np.unique(np.stack([who, label], axis=1), axis=0, return_counts=True)
    both, claimed, true = (float((c.astype(np.float64) * (c - 1)).sum()) for c in (shared, found, sizes))
    precision, recall = (both / claimed if claimed else 1.0), (both / true if true else 1.0)
    squares = shared.astype(np.float64) ** 2
    b_precision = float((squares / found[cells[:, 1]]).sum() / len(who))
    b_recall = float((squares / sizes[cells[:, 0]]).sum() / len(who))
    f, b_f = _f(precision, recall), _f(b_precision, b_recall)
    return Scores(precision, recall, f, b_precision, b_recall, b_f, len(found), int((found > 1).sum()))


def _f(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
