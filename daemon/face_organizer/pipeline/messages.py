"""What is said to the gallery, and the rules it decides by.

Room:    pipeline (moves)
Imports: types, flow
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from face_organizer.pipeline.flow import Reply
from face_organizer.types import ImageRef, Int64, People, Placed, PlacementMode, Rejected, RunRecord, SeenImage


@dataclass(frozen=True, slots=True)
class Rules:
    """The bounds of identity. similarity_join_min: to a person's centroid; similarity_link_min: between two faces;
    similarity_member_min: to a centroid when the number of people is fixed; learn_member_min: it is only where a
    re-clustering begins to learn it. elbow_min, elbow_max: between them people = "elbow" chooses."""

    people: People
    placement: PlacementMode
    faces_min: int
    similarity_join_min: float
    similarity_link_min: float
    similarity_member_min: float
    neighbours: int
    learn_member_min: bool = True
    elbow_min: int = 1
    elbow_max: int = 20

    @property
    def similarity_min(self) -> float:
        return self.similarity_join_min if self.people == "auto" else self.similarity_member_min


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing to record: the file is gone, or will be looked at again."""

    ref: ImageRef


@dataclass(frozen=True, slots=True, eq=False)
class ApplyRun:
    """What a re-clustering found. before, after: int64 (n,) person of each face then and now; an id in `born` stands
    for a person that has none yet. merged: old person -> the one that took over."""

    face_ids: Int64
    before: Int64
    after: Int64
    born: tuple[int, ...]
    merged: dict[int, int]
    run: RunRecord
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
