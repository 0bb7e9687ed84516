"""What is said to the gallery, and the rules it decides by.

Room:    pipeline (moves)
Imports: types, flow
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from face_organizer.pipeline.flow import Reply
from face_organizer.types import ImageRef, People, Placed, PlacementMode, Rejected, SeenImage


@dataclass(frozen=True, slots=True)
class Rules:
    """The bounds of identity. similarity_join_min: to a person's centroid; similarity_link_min: between two faces;
    similarity_member_min: to a centroid when the number of people is fixed. one_face_per_image: two faces of one image
    are two people."""

    people: People
    placement: PlacementMode
    faces_min: int
    similarity_join_min: float
    similarity_link_min: float
    similarity_member_min: float
    neighbours: int
    one_face_per_image: bool = True

    @property
    def similarity_min(self) -> float:
        return self.similarity_join_min if self.people == "auto" else self.similarity_member_min


@dataclass(frozen=True, slots=True)
class Skipped:
    """Nothing to record: the file is gone, or will be looked at again."""

    ref: ImageRef


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


Message = SeenImage | Rejected | Skipped | RecordPlaced | Call
