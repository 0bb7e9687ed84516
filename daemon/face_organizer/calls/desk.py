"""What the calls work with.

Room:    app (wires)
Imports: pipeline, names
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from face_organizer.pipeline.book import Book
from face_organizer.pipeline.crowd import Crowd
from face_organizer.pipeline.decide import Decide
from face_organizer.pipeline.edits import Edits
from face_organizer.pipeline.forget import Forget
from face_organizer.pipeline.keep_index import IndexKeeper
from face_organizer.pipeline.recluster import Recluster
from face_organizer.pipeline.reembed import Reembed
from face_organizer.pipeline.rejected import RejectedFiles
from face_organizer.pipeline.roster import Roster
from face_organizer.pipeline.runs import Runs
from face_organizer.ports import Index, Library, Log, NeighbourFinder, Store
from face_organizer.records import FileRecord
from face_organizer.types import Float32, Int64, SeenImage

Answer = dict[str, Any]


@dataclass(frozen=True)
class Desk:
    """in_gallery runs something in the gallery's thread; failed(): is that dead? place(): all that is pending,
    and wait for it. embed(photos, face), see(photos): see intake.Intake. attributes_lack(): why nothing is known of
    gender and age, "" where it is. hear_out(), is_undecided(file_id, file): see hands.Hands."""

    store: Store
    index: Index
    roster: Roster
    book: Book
    decide: Decide
    forget: Forget
    runs: Runs
    recluster: Recluster
    reembed: Reembed
    keeper: IndexKeeper
    folders: Library
    library: Path
    in_gallery: Callable[[Callable[[], Any]], Any]
    failed: Callable[[], bool]
    place: Callable[[], None]
    embed: Callable[[list[tuple[str, str]], int | None], Float32]
    see: Callable[[list[tuple[str, str]]], list[SeenImage]]
    find_neighbours: NeighbourFinder
    crowd: Crowd
    rejected: RejectedFiles
    log: Log
    attributes_lack: Callable[[], str]
    edits: Edits
    hear_out: Callable[[], None]
    is_undecided: Callable[[int, FileRecord], bool]

    def similarities(self, vector: Float32) -> tuple[Int64, Float32]:
        """Every person's id and how similar its centroid is."""
        centroids = self.roster.centroids
        found = self.in_gallery(lambda: (centroids.ids.copy(), centroids.matrix @ vector))
        return cast("tuple[Int64, Float32]", found)
