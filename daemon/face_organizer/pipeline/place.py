"""Works off what truth wants on disk: first placement, moves after a re-clustering and crash recovery are one loop.

Room:    pipeline (moves)
Imports: types, errors, ports, book, channel, messages, pulse, space, timing
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from math import inf
from pathlib import Path
from threading import Event

from face_organizer.errors import NoRoomError
from face_organizer.pipeline.book import content_of, wanted_folders
from face_organizer.pipeline.channel import Cancelled
from face_organizer.pipeline.messages import RecordPlaced
from face_organizer.pipeline.pulse import beat, pause, wait
from face_organizer.pipeline.space import LIBRARY, RETRY_S, STATE, Space, boundless
from face_organizer.pipeline.timing import Observe, unobserved
from face_organizer.ports import Clock, Library, Log, Store, Transaction
from face_organizer.types import FileId, FileToPlace, Placed

BATCH = 128
REFUSED_MAX = 3
"""So many files, at most, run into a full disk in one pass: each may have been copied half before it shows."""

LOOK_S = 0.02
"""Whoever waits for files looks this often."""

PLACE, RECORD = "place", "record"


class Placer:
    """Reads pending files from the truth, lets the library bring disk in line, and reports back to the gallery.

    wake() after a commit that left something pending. A file that could not be placed (a folder without permission) is
    tried again after RETRY_S, and the log says so when its problem is new. On a full disk, of which `space` hears, a
    few are tried, others each time, until there is room for all. moved(places, stands, folders): what lay at `places`
    lies at `stands` now, by our doing; folders: see Placed.
    """

    def __init__(
        self,
        store: Store,
        library: Library,
        post: Callable[[RecordPlaced], None],
        log: Log,
        clock: Clock,
        space: Space | None = None,
        observe: Observe = unobserved,
        moved: Callable[[Iterable[str], Iterable[str], Iterable[tuple[str, int]]], None] = lambda *_: None,
    ) -> None:
        self._store, self._library, self._post, self._moved = store, library, post, moved
        self._log, self._clock, self._observe = log, clock, observe
        self._space = space or boundless(log, clock)
        self._work = Event()
        self._problems: dict[int, str] = {}
        self._without_room: dict[int, str] = {}
        self._retry_at = self._not_before = -inf
        self._start = 0
        self.blocked = False

    @property
    def problems(self) -> dict[int, str]:
        """file id -> why it could not be placed yet."""
        return {**self._problems, **self._without_room}

    def wake(self) -> None:
        self._work.set()

    def is_done(self) -> bool:
        """Has everything pending been placed, but for what cannot be placed for now?"""
        if self.blocked:
            return True
        with self._store.read() as txn:
            return txn.pending_count() <= len(self.problems)

    def wait_done(self, unless: Callable[[], bool]) -> bool:
        """Wait until is_done(); False where unless() is true first. Any thread."""
        while not unless():
            if self.is_done():
                return True
            pause(LOOK_S)
        return False

    def wait_placed(self, file_ids: Sequence[int], unless: Callable[[], bool]) -> None:
        """Wait until disk shows what truth wants of these files, or cannot. Any thread.

        Raises NoRoomError where a disk is too full for it, Cancelled where unless() is true first.
        """
        self.wake()
        for file_id in file_ids:
            while self._is_pending(file_id):
                if self.blocked and (lack := self._space.lack):
                    raise NoRoomError(lack.problem)
                if unless():
                    raise Cancelled
                pause(LOOK_S)

    def _is_pending(self, file_id: int) -> bool:
        with self._store.read() as txn:
            return txn.pending(1, file_id) == [file_id] and file_id not in self.problems

    def run(self, stop: Event) -> None:
        """The service: until stop, place whatever is pending."""
        while not stop.is_set():
            wait(self._work, 0.2)
            self._work.clear()
            began = self._clock()
            if began < self._not_before:
                continue
            if began >= self._retry_at:
                self.place_all(stop, skip=frozenset())
                # Thousands of files that cannot be placed must not become the daemon's main occupation.
                self._retry_at = self._clock() + max(RETRY_S, 10 * (self._clock() - began))
            else:
                self.place_all(stop, skip=frozenset(self._problems))

    def place_all(self, stop: Event, skip: frozenset[int]) -> None:
        """One pass over the pending files, in id order, in batches; it ends early where a disk is full."""
        start, first, refused = self._start, self._start, 0
        while not stop.is_set():
            with self._store.read() as txn:
                file_ids = txn.pending(BATCH, start)
                files = [file for file_id in file_ids if file_id not in skip and (file := file_to_place(txn, file_id))]
            if not file_ids:
                self._end_pass(is_clean=first == 0 and not refused)
                return
            start = file_ids[-1] + 1
            done: list[tuple[FileToPlace, Placed]] = []
            for file in files:
                beat()
                began = self._clock()
                placed = self._unless_edited(file, self._library.reconcile(file))
                self._observe("place", self._clock() - began, 1)
                self._moved(file.places, placed.places, placed.folders)
                done.append((file, placed))
                refused += placed.no_room
                if refused >= REFUSED_MAX:
                    break
            if done and not self._report(done, stop):
                return
            if refused >= REFUSED_MAX:
                self._wait_for_room(done[-1][0].file_id + 1)
                return

    def _unless_edited(self, file: FileToPlace, placed: Placed) -> Placed:
        """One that is gone, with something unknown where it was, was edited: whoever follows the folders finds out."""
        with self._store.read() as txn:
            if all(txn.image_of_content(digest) for digest in placed.instead):
                return placed
        problem = f"{', '.join(file.places)}: its content has changed, and is yet to be looked at"
        return Placed(file.file_id, file.places, problem=problem)

    def _report(self, done: list[tuple[FileToPlace, Placed]], stop: Event) -> bool:
        """Let the gallery record what was done. False where there is no room for that: it will be found done."""
        command = RecordPlaced([(placed, file.folders) for file, placed in done])
        self._post(command)
        try:
            command.reply.wait(unless=stop.is_set)
        except NoRoomError as error:
            self._space.refused(RECORD, STATE, str(error))
            self._wait_for_room(self._start)
            return False
        self._space.accepted(RECORD)
        for file, placed in done:
            self._tell(file, placed)
        return True

    def _end_pass(self, *, is_clean: bool) -> None:
        """Everything pending was looked at. is_clean: and there was room for all of it."""
        self._start = 0
        if is_clean:
            self.blocked = False
            self._without_room.clear()
            self._space.accepted(PLACE)
        elif self.blocked or self._without_room:
            self._wait_for_room(0)

    def _wait_for_room(self, start: int) -> None:
        """Go on after RETRY_S, with the files from `start` on."""
        self.blocked, self._start = True, start
        self._not_before = self._clock() + RETRY_S

    def _tell(self, file: FileToPlace, placed: Placed) -> None:
        known = self._problems.pop(file.file_id, "")
        self._without_room.pop(file.file_id, None)
        if placed.no_room:
            self._without_room[file.file_id] = placed.problem
            self._space.refused(PLACE, LIBRARY, placed.problem)
            return
        self._space.placed(file.source)
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
        digest=content_of(image, file) if image else b"",
        places=tuple(os.fsdecode(place) for place in file.places),
        folders=wanted_folders(txn, file),
        reason=file.reason,
        wished=tuple(os.fsdecode(place) for place in file.wished),
        former=file.former,
    )
