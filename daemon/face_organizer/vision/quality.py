"""How far a face can be trusted to say who somebody is.

Room:    vision
Imports: stdlib
"""

from __future__ import annotations

SCORE_NONE, SCORE_FULL = 0.6, 0.9
"""Upright faces of LFW score .91 and more, turned by 30 degrees .75 to .91, false boxes on turned faces .6 to .75."""

SIDE_FULL_PX = 48.0
"""Below this width of the face the recogniser loses: pairwise F .99 at 60 px, .83 at 24, .44 at 16."""


def quality(detection_score: float, width_px: float, plausibility: float) -> float:
    """0..1: what the detector says of the face, times its size, times how much its landmarks look like a face.

    width_px: in the image that was decoded. One bad factor is enough to make a face untrustworthy, hence the
    product. The bounds were read off LFW, upright and turned (docs/models.md).
    """
    score = _ramp(detection_score, SCORE_NONE, SCORE_FULL)
    return score * _ramp(width_px, 0.0, SIDE_FULL_PX) * plausibility


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to low, 1 from high on, straight between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
