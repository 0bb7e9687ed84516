"""What a re-clustering would change, told so that a human can judge it, and whether it may go ahead unasked.

Room:    identity (thinks)
Imports: types, records, numpy
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np

from face_organizer.records import Move
from face_organizer.types import NOBODY, Int64

EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Margin:
    """How much a run may change unasked. moved_share_max: of the faces that had a person, so many may lose it, or
    moved_faces_min if that is more. named_loss_share_max: so many of the faces of a person whom a human named."""

    moved_share_max: float
    moved_faces_min: int
    named_loss_share_max: float


def moves(face_ids: Int64, before: Int64, after: Int64) -> tuple[Move, ...]:
    """Which faces leave their person and where they go, the largest first.

    face_ids, before, after: int64 (n,), of all faces: what a person had is counted here.
    """
    persons, counts = np.unique(before, return_counts=True)
    had = dict(zip(persons.tolist(), counts.tolist(), strict=True))
    changed = np.flatnonzero((before != NOBODY) & (before != after))
    pairs, first, sizes = np.unique(
        np.stack([before[changed], after[changed]], axis=1), axis=0, return_inverse=True, return_counts=True
    )[0:3]
    order = np.argsort(first.ravel(), kind="stable")
    starts = np.cumsum(sizes) - sizes
    found = [
        Move(
            before=int(old),
            after=int(new),
            faces=int(size),
            of=had[int(old)],
            examples=tuple(face_ids[changed[order[start : start + min(size, EXAMPLES)]]].tolist()),
        )
        for (old, new), start, size in zip(pairs.tolist(), starts.tolist(), sizes.tolist(), strict=True)
    ]
    return tuple(sorted(found, key=lambda move: (-move.faces, move.before, move.after)))


def at_risk(found: tuple[Move, ...], named: AbstractSet[int], margin: Margin) -> tuple[int, ...]:
    """The named persons that would lose more of their faces than the margin allows."""
    lost: dict[int, int] = {}
    had: dict[int, int] = {}
    for move in found:
        lost[move.before] = lost.get(move.before, 0) + move.faces
        had[move.before] = move.of
    return tuple(
        person
        for person in sorted(lost)
        if person in named and lost[person] > 1 and lost[person] > margin.named_loss_share_max * had[person]
    )


def why_wait(found: tuple[Move, ...], placed: int, named: AbstractSet[int], margin: Margin) -> str:
    """Why a run must not apply itself, or "". placed: faces that had a person."""
    moved = sum(move.faces for move in found)
    if moved > max(margin.moved_faces_min, margin.moved_share_max * placed):
        return f"it would move {moved} of {placed} placed faces, more than recluster.moved_share_max allows"
    losing = at_risk(found, named, margin)
    if losing:
        return f"persons whom you named, hid or confirmed would lose too many faces: {', '.join(map(str, losing))}"
    return ""


def agreement(before: Int64, after: Int64) -> tuple[float, float, float]:
    """How much two ways to tell people apart agree, pair by pair of faces: the share of the pairs that the second puts
    together which the first does too, the share of the first's that the second does too, and their harmonic mean.

    before, after: int64 (n,), the person of each face, 0 for nobody, who is alone
    """

    def pairs(*columns: Int64) -> float:
        theirs = np.all(np.stack(columns) != NOBODY, axis=0)
        counts = np.unique(np.stack([column[theirs] for column in columns]), axis=1, return_counts=True)[1]
        return float((counts * (counts - 1) // 2).sum())

    both, first, second = pairs(before, after), pairs(before), pairs(after)
    precision, recall = both / second if second else 1.0, both / first if first else 1.0
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0
