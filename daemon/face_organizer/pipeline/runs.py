"""What becomes of a re-clustering: kept as a proposal, applied, rolled back.

Room:    pipeline (moves)
Imports: records, errors, ports, applying, book, change, changes
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from face_organizer.errors import NoRoomError, RequestError
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.book import wanted_folders
from face_organizer.pipeline.change import laying_back, put_laying_back, write_down
from face_organizer.pipeline.changes import CHUNK_FACES, Changes
from face_organizer.ports import Store, Transaction
from face_organizer.records import ChangeRecord, RunRecord

HELD = "held_by"
"""The note that says which rolled-back run keeps runs from applying themselves."""


class Runs:
    """Any thread but the gallery's. wait_placed(file_ids): returns when disk shows what truth wants of them.

    behind: a full disk kept files from their names, and resume is to be tried again.
    """

    def __init__(
        self, store: Store, changes: Changes, applier: Applier, wait_placed: Callable[[Sequence[int]], None]
    ) -> None:
        self._store, self._changes, self._applier, self._wait_placed = store, changes, applier, wait_placed
        self.behind = False

    def keep(self, run: RunRecord, change: ChangeRecord, *, asked: bool) -> tuple[int, RunRecord]:
        """Write a run down, and apply it unless it waits (run.waits). asked: by a human, who may go on after a
        rollback. Older proposals are out of date from here on."""

        def begin() -> int:
            with self._changes.book.write() as txn:
                for older_id, older in list(txn.runs.items()):
                    if older.state == "proposed":
                        txn.runs.put(older_id, replace(older, state="replaced"))
                waits = run.waits
                if asked and not waits:
                    txn.put_note(HELD, b"")
                elif not waits and (held := txn.note(HELD)) and change.face_ids:
                    waits = f"run {held.decode()} was rolled back: apply one or ask for a re-clustering to go on"
                run_id = txn.new_id("runs")
                change_id = write_down(txn, replace(change, run_id=run_id))
                state = "proposed" if waits else "applying"
                txn.runs.put(run_id, replace(run, change_id=change_id, state=state, waits=waits))
                if not waits:
                    self._changes.begin(txn, change_id)
            return run_id

        return self._told(self._applier.run(begin))

    def apply(self, run_id: int | None) -> tuple[int, RunRecord]:
        """Apply a proposal, the waiting one if run_id is None. Raises RequestError."""

        def begin() -> int:
            with self._changes.book.write() as txn:
                chosen, run = _waiting(txn, run_id)
                txn.put_note(HELD, b"")
                txn.runs.put(chosen, replace(run, state="applying", waits=""))
                self._changes.begin(txn, run.change_id)
            return chosen

        return self._told(self._applier.run(begin))

    def dismiss(self, run_id: int | None) -> tuple[int, RunRecord]:
        """Let a proposal wait no more, the waiting one if run_id is None; nothing changes. Raises RequestError."""

        def begin() -> int:
            with self._changes.book.write() as txn:
                chosen, run = _waiting(txn, run_id)
                txn.runs.put(chosen, replace(run, state="dismissed", waits=""))
            return chosen

        return self._told(self._applier.run(begin))

    def rollback(self, run_id: int | None = None) -> list[int]:
        """Take a run back, and first those that were applied after it; returns which. What humans decided since stays.

        None: the latest that is applied and changed anything.
        Afterwards runs wait as proposals until a human applies one or asks for one. Raises RequestError.
        """
        with self._store.read() as txn:
            run_id = newest_change(txn) if run_id is None else run_id
            run = txn.runs.get(run_id)
            if run is None or run.state != "applied" or not run.change_id:
                raise RequestError(_not_applied(run_id, run))
            later = [
                id_ for id_, each in txn.runs.items() if id_ >= run_id and each.state == "applied" and each.change_id
            ]
        for each in reversed(later):
            self._rollback_one(each)
        return later

    def _rollback_one(self, run_id: int) -> None:
        def begin() -> int:
            with self._changes.book.write() as txn:
                run = txn.runs.get(run_id)
                assert run is not None, run_id
                back = self._changes.take_back(txn, run.change_id, run_id)
                txn.runs.put(run_id, replace(run, rollback_id=back))
                txn.put_note(HELD, str(run_id).encode())
                self._changes.begin(txn, back)
            return run.change_id

        change_id = self._applier.run(begin)
        self.lay_back(change_id)

    def lay_back(self, change_id: int) -> None:
        """After a change was taken back: wait until its files lie under just the names they had before.

        Raises NoRoomError where a full disk keeps them from it for now.
        """
        try:
            self._lay_back(change_id)
        except NoRoomError as error:
            self.behind = True
            raise NoRoomError(
                f"{error}; it is taken back, and files get their names as soon as there is room"
            ) from error

    def _lay_back(self, change_id: int) -> None:
        """A name may only become free when the file that has it has moved on, so look again while that gets further."""
        with self._store.read() as txn:
            change = txn.changes.get(change_id)
            files = sorted(set(_files(txn, change_id, change))) if change else []
        self._wait_placed(files)
        before, again = -1, self._look_again(files, last=False)
        while again and again != before:
            self._wait_placed(files)
            before, again = again, self._look_again(files, last=False)
        self._look_again(files, last=True)
        self._applier.run(partial(self._laid_back, change_id))

    def resume(self) -> None:
        """Lay back what a crash, a stop, or a full disk left under other names."""
        with self._store.read() as txn:
            change_ids = laying_back(txn)
        for change_id in change_ids:
            self.lay_back(change_id)
        self.behind = False

    def _laid_back(self, change_id: int) -> None:
        with self._changes.book.write() as txn:
            put_laying_back(txn, [each for each in laying_back(txn) if each != change_id])

    def _look_again(self, files: list[int], *, last: bool) -> int:
        """Renew the placing of files that do not lie where they wished; returns how many. last: drop the wish."""
        parts = (files[start : start + CHUNK_FACES] for start in range(0, len(files), CHUNK_FACES))
        return sum(self._applier.run(partial(self._renew, part, last)) for part in parts)

    def _renew(self, file_ids: list[int], last: bool) -> int:
        again = 0
        with self._changes.book.write() as txn:
            for file_id in file_ids:
                file = txn.files.get(file_id)
                if file is None or not file.wished:
                    continue
                folders = {os.fsencode(folder) for folder in wanted_folders(txn, file)}
                wished = {place for place in file.wished if place.partition(b"/")[0] in folders}
                if last or wished <= set(file.places):
                    txn.files.put(file_id, replace(file, wished=()))
                else:
                    txn.set_pending(file_id, True)
                    again += 1
        return again

    def _told(self, run_id: int) -> tuple[int, RunRecord]:
        with self._store.read() as txn:
            run = txn.runs.get(run_id)
        assert run is not None, run_id
        return run_id, run


def newest(txn: Transaction, state: str) -> int:
    """The newest run in a state, 0 if there is none."""
    return max((run_id for run_id, run in txn.runs.items() if run.state == state), default=0)


def newest_change(txn: Transaction) -> int:
    """The newest run that is applied and changed whose face is whose. Raises RequestError if there is none."""
    applied = sorted((id_ for id_, run in txn.runs.items() if run.state == "applied" and run.change_id), reverse=True)
    for run_id in applied:
        run = txn.runs.get(run_id)
        change = txn.changes.get(run.change_id) if run else None
        if change is not None and change.face_ids:
            return run_id
    raise RequestError("no re-clustering that is applied has changed anything: there is nothing to roll back")


def _files(txn: Transaction, change_id: int, change: ChangeRecord) -> Iterator[int]:
    for start in range(0, len(change.face_ids), 8):
        face_id = int.from_bytes(change.face_ids[start : start + 8], "little")
        former = txn.former(change_id, face_id)
        yield from (file_id for file_id, _ in former.places) if former else ()


def _waiting(txn: Transaction, run_id: int | None) -> tuple[int, RunRecord]:
    """This proposal, or the newest. Raises RequestError where it does not wait."""
    chosen = run_id or newest(txn, "proposed")
    run = txn.runs.get(chosen)
    if run is None or run.state != "proposed":
        raise RequestError(_not_waiting(txn, run_id, run))
    return chosen, run


def _not_waiting(txn: Transaction, run_id: int | None, run: RunRecord | None) -> str:
    anew = "make one with `face-organizer recluster --propose`"
    last = txn.last_id("runs")
    if run_id is None:
        outdated = newest(txn, "replaced")
        why = f": run {outdated} was one, but is out of date, for run {last} has looked again" if outdated else ""
        return f"no proposal waits{why}; {anew}"
    if run is None:
        return f"there is no run {run_id}: `face-organizer runs` lists them"
    if run.state == "replaced":
        return f"proposal {run_id} is out of date, for run {last} has looked again; {anew}"
    return f"run {run_id} is {run.state.replace('_', ' ')}, not a waiting proposal"


def _not_applied(run_id: int, run: RunRecord | None) -> str:
    if run is None:
        return f"there is no run {run_id}: `face-organizer runs` lists them"
    if run.state == "applied":
        return f"run {run_id} was made by an older version, which did not keep what it changed"
    return f"run {run_id} is {run.state.replace('_', ' ')}: there is nothing to roll back"
