"""Where strangers begin: a bound learned from how similar the faces are to the nearest centroid.

Room:    identity (thinks)
Imports: types, numpy
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from face_organizer.types import Float32

LEARNED_BELOW, LEARNED_ABOVE = 0.12, 0.06
"""How far a learned bound may lie below and above the pack's own."""

_LEARN_FACES_MIN = 10
_STRANGERS_BELOW, _STRANGERS_SD, _STRANGERS_KNOWN = 0.265, 0.085, 100
"""What is known of strangers beforehand: how far below the pack's bound they lie in the middle, how much they vary (to
the nearest of a few persons), and how many faces that knowledge counts for."""
_TAIL_SHARE = 0.2
"""Of members, so many may lie anywhere: photos that look like nobody."""
_SHARE_MIN = 0.05
"""At least so large a share is taken for strangers: one or two are easily overlooked."""
_CLEAR_BELOW, _CLEAR_SD = 0.08, 5.0
"""Where members lie so many deviations above it, the bound need not sink farther than this below the pack's."""
_FIT_ROUNDS = 60


def learned_bound(similarities: Float32, similarity_min: float) -> float:
    """Where a face is as likely a stranger as a member: two components fitted to the similarities (EM, Dempster 1977).

    Strangers are a normal distribution that begins as what is known of them beforehand; members are another one, with a
    thin tail anywhere. Without strangers in sight the bound sinks, with many it rises, never farther off than
    LEARNED_BELOW and LEARNED_ABOVE from the pack's. With few faces the pack's bound stays.

    similarities: float32 (n,), of each face to its nearest centroid; similarity_min: the pack's bound
    """
    if len(similarities) < _LEARN_FACES_MIN:
        return similarity_min
    edges = np.linspace(-1, 1, 401)
    counts, _ = np.histogram(similarities, edges)
    at = (edges[:-1] + edges[1:]) / 2
    share, known_at = 0.05, similarity_min - _STRANGERS_BELOW
    stranger_at, stranger_sd = known_at, _STRANGERS_SD
    upper = similarities[similarities >= np.median(similarities)]
    member_at, member_sd = float(upper.mean()), 0.1
    for _ in range(_FIT_ROUNDS):
        stranger, member = (
            share * _normal(at, stranger_at, stranger_sd),
            (1 - share) * _normal(at, member_at, member_sd),
        )
        tail = (1 - share) * _TAIL_SHARE / 2
        total = stranger + (1 - _TAIL_SHARE) * member + tail
        strangers, members_ = counts * stranger / total, counts * (1 - _TAIL_SHARE) * member / total
        share = max(float(strangers.sum() / len(similarities)), _SHARE_MIN)
        weight = strangers.sum() + _STRANGERS_KNOWN
        stranger_at = float((strangers @ at + _STRANGERS_KNOWN * known_at) / weight)
        squares = strangers @ (at - stranger_at) ** 2 + _STRANGERS_KNOWN * _STRANGERS_SD**2
        stranger_sd = float(np.sqrt(squares / weight))
        weight = max(float(members_.sum()), 1e-9)
        member_at = float(members_ @ at / weight)
        member_sd = max(float(np.sqrt(members_ @ (at - member_at) ** 2 / weight)), 0.03)
    places = np.arange(-LEARNED_BELOW, LEARNED_ABOVE + 0.0025, 0.005) + similarity_min
    stranger = share * _normal(places, stranger_at, stranger_sd)
    member = (1 - share) * ((1 - _TAIL_SHARE) * _normal(places, member_at, member_sd) + _TAIL_SHARE / 2)
    last = min(int((stranger > member).sum()), len(places) - 1)
    clear = min(similarity_min - _CLEAR_BELOW, member_at - _CLEAR_SD * member_sd)
    return round(max(float(places[last]), clear), 4)


def _normal(x: NDArray[np.float64], middle: float, sd: float) -> NDArray[np.float64]:
    density: NDArray[np.float64] = np.exp(-0.5 * ((x - middle) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    return density
