"""Works off what truth wants on disk: first placement, moves after a re-clustering and crash recovery are one loop.

Room:    pipeline (moves)
Imports: types, ports
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Event

from face_organizer.pipeline.book import wanted_folders
from face_organizer.pipeline.messages import RecordPlaced
from face_organizer.pipeline.pulse import beat, wait
from face_organizer.ports import Clock, Library, Log, Store, Transaction
from face_organizer.types import FileId, FileToPlace, Placed

BATCH = 128
RETRY_S = 5.0


class Placer:
    """Reads pending files from the truth, lets the library bring disk in line, and reports back to the gallery.

    wake() after a commit that left something pending. A file that could not be placed (a full disk, a folder without
    permission) is tried again after RETRY_S, and the log says so when its problem is new.
    """

    def __init__(
        self, store: Store, library: Library, post: Callable[[RecordPlaced], None], log: Log, clock: Clock
    ) -> None:
        self._store, self._library, self._post = store, library, post
        self._log, self._clock = log, clock
        self._work = Event()
        self._problems: dict[int, str] = {}
        self._retry_at = 0.0

    @property
    def problems(self) -> dict[int, str]:
        """file id -> why it could not be placed yet."""
        return dict(self._problems)

    def wake(self) -> None:
        self._work.set()

    def run(self, stop: Event) -> None:
        """The service: until stop, place whatever is pending."""
        while not stop.is_set():
            wait(self._work, 0.2)
            self._work.clear()
            began = self._clock()
            if began >= self._retry_at:
                self.place_all(stop, skip=frozenset())
                # Thousands of files that cannot be placed must not become the daemon's main occupation.
                self._retry_at = self._clock() + max(RETRY_S, 10 * (self._clock() - began))
            else:
                self.place_all(stop, skip=frozenset(self._problems))

    def place_all(self, stop: Event, skip: frozenset[int]) -> None:
        """One pass over the pending files, in id order, in batches."""
        start = 0
        while not stop.is_set():
            with self._store.read() as txn:
                file_ids = txn.pending(BATCH, start)
                files = [file for file_id in file_ids if file_id not in skip and (file := file_to_place(txn, file_id))]
            if not file_ids:
                return
            start = file_ids[-1] + 1
            if files:
                outcomes = [self._place(file) for file in files]
                command = RecordPlaced(outcomes)
                self._post(command)
                command.reply.wait(unless=stop.is_set)
                for file, (placed, _) in zip(files, outcomes, strict=True):
                    self._tell(file, placed)

    def _place(self, file: FileToPlace) -> tuple[Placed, tuple[str, ...]]:
        beat()
        return self._library.reconcile(file), file.folders

    def _tell(self, file: FileToPlace, placed: Placed) -> None:
        known = self._problems.pop(file.file_id, "")
        if placed.problem:
            self._problems[file.file_id] = placed.problem
            if placed.problem != known:
                self._log.warning("placement_failed", image=file.name, file_id=file.file_id, problem=placed.problem)
        elif placed.missing:
            self._log.warning("image_missing", image=file.name, file_id=file.file_id)
        elif placed.places != file.places:
            self._log.info("image_placed", image=file.name, file_id=file.file_id, places=list(placed.places))


def file_to_place(txn: Transaction, file_id: int) -> FileToPlace | None:
    """What truth wants of one file; None if there is no such file."""
    file = txn.files.get(file_id)
    if file is None:
        return None
    image = txn.images.get(file.image_id) if file.image_id else None
    return FileToPlace(
        file_id=FileId(file_id),
        name=os.fsdecode(file.name),
        source=Path(os.fsdecode(file.source)),
        signature=file.signature,
        digest=image.digest if image else b"",
        places=tuple(os.fsdecode(place) for place in file.places),
        folders=wanted_folders(txn, file),
        reason=file.reason,
        wished=tuple(os.fsdecode(place) for place in file.wished),
    )
