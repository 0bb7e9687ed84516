"""What is said to the gallery, and the rules it decides by.

Room:    pipeline (moves)
Imports: types, flow
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from face_organizer.identity.calibrate import Calibration
from face_organizer.pipeline.flow import Reply
from face_organizer.types import (
    ImageRef,
    Impostors,
    Int64,
    People,
    Placed,
    PlacementMode,
    Rejected,
    RunRecord,
    SeenImage,
)


@dataclass(frozen=True, slots=True)
class Rules:
    """The bounds of identity. similarity_join_min: to a person's centroid, and between two faces that found a person,
    for there one pair decides. similarity_link_min: of clusters, which many pairs decide. similarity_member_min: to a
    centroid when the number of people is fixed. impostors: how alike two people look to the model pack; None: the
    bounds are the user's own, and the library does not move them. false_merge_max: the share of persons that may hold
    another's faces."""

    people: People
    placement: PlacementMode
    faces_min: int
    similarity_join_min: float
    similarity_link_min: float
    similarity_member_min: float
    neighbours: int
    impostors: Impostors | None = None
    false_merge_max: float = 0.01

    @property
    def similarity_min(self) -> float:
        return self.similarity_join_min if self.people == "auto" else self.similarity_member_min

    def moved(self, similarity_shift: float) -> Rules:
        """With the bounds for a number of people nobody said moved by what a library found (identity/calibrate.py)."""
        return replace(
            self,
            similarity_join_min=self.similarity_join_min + similarity_shift,
            similarity_link_min=self.similarity_link_min + similarity_shift,
        )


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing to record: the file is gone, or will be looked at again."""

    ref: ImageRef


@dataclass(frozen=True, slots=True, eq=False)
class ApplyRun:
    """What a re-clustering found. before, after: int64 (n,) person of each face then and now; an id in `born` stands
    for a person that has none yet. merged: old person -> the one that took over. calibration: the bounds that
    the library gave itself; None: it went by the rules."""

    face_ids: Int64
    before: Int64
    after: Int64
    born: tuple[int, ...]
    merged: dict[int, int]
    run: RunRecord
    calibration: Calibration | None = None
    reply: Reply[tuple[int, RunRecord]] = field(default_factory=Reply)


@dataclass(frozen=True, slots=True)
class RecordPlaced:
    """What `place` did: (the outcome, the folders it was asked for)."""

    placed: list[tuple[Placed, tuple[str, ...]]]
    reply: Reply[None] = field(default_factory=Reply)


@dataclass(frozen=True, slots=True)
class Call:
    """Run something in the gallery's thread, between two transactions."""

    work: Callable[[], Any]
    reply: Reply[Any] = field(default_factory=Reply)


Message = SeenImage | Rejected | Skipped | ApplyRun | RecordPlaced | Call
