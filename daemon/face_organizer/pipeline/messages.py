"""What is said to the gallery, and the rules it decides by.

Room:    pipeline (moves)
Imports: types, service
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from face_organizer.pipeline.service import Reply
from face_organizer.types import ImageRef, Impostors, People, Placed, PlacementMode, Rejected, SeenImage


@dataclass(frozen=True, slots=True)
class Rules:
    """The bounds of identity. similarity_join_min: to a person's centroid, and between two faces that found a person,
    for there one pair decides. similarity_link_min: of clusters, which many pairs decide. similarity_member_min: to a
    centroid when the number of people is fixed. one_face_per_image: two faces of one image are two people. impostors:
    how alike two people look to the model pack; None: the bounds are the user's own, and the library does not move
    them. false_merge_max: the share of persons that may hold another's faces. learn_member_min: similarity_member_min
    is only where a re-clustering begins to learn it. elbow_min, elbow_max: between them people = "elbow" chooses. seed:
    of what a re-clustering draws by lot."""

    people: People
    placement: PlacementMode
    faces_min: int
    similarity_join_min: float
    similarity_link_min: float
    similarity_member_min: float
    neighbours: int
    one_face_per_image: bool = True
    impostors: Impostors | None = None
    false_merge_max: float = 0.01
    learn_member_min: bool = True
    elbow_min: int = 1
    elbow_max: int = 20
    seed: int = 0

    @property
    def similarity_min(self) -> float:
        return self.similarity_join_min if self.people == "auto" else self.similarity_member_min

    def as_found(self, found: Mapping[str, Any]) -> Rules:
        """With the bounds that a run found out (RunRecord.found), as far as they are not the user's own."""
        if self.people != "auto":
            member_min = found.get("similarity_member_min", self.similarity_member_min)
            return replace(self, similarity_member_min=member_min) if self.learn_member_min else self
        if self.impostors is None or "calibration" not in found:
            return self
        shift = found["calibration"]["similarity_shift"]
        return replace(
            self,
            similarity_join_min=self.similarity_join_min + shift,
            similarity_link_min=self.similarity_link_min + shift,
        )


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
