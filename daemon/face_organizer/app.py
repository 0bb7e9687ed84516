"""Wires the rooms together: the only place that names concrete classes, and the order of start and stop.

Room:    app (wires)
Imports: everything but cli
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from math import inf
from pathlib import Path
from threading import Event
from time import monotonic, time
from typing import Any, cast

import numpy as np

from face_organizer.adapters.chart import write_elbow
from face_organizer.adapters.control import ControlServer
from face_organizer.adapters.disk import free_bytes, same_disk
from face_organizer.adapters.inbox import FolderInbox
from face_organizer.adapters.index import FaceIndex
from face_organizer.adapters.library import Folders
from face_organizer.adapters.lock import LibraryLock
from face_organizer.adapters.neighbours import neighbours_of_all
from face_organizer.adapters.store import LmdbStore
from face_organizer.calls import calls_by_name
from face_organizer.calls.ask import proposal
from face_organizer.calls.desk import Desk
from face_organizer.config import Config, check_folders
from face_organizer.errors import DeniedError, GoneError, ItemError, NoRoomError
from face_organizer.parts import (
    decode_photo,
    make_folder,
    open_eyes,
    pack_named,
    patience_of,
    rules_of,
    state_folder,
    when_of,
)
from face_organizer.pipeline import answers
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.book import Book
from face_organizer.pipeline.changes import Changes
from face_organizer.pipeline.decide import Decide
from face_organizer.pipeline.flow import Cancelled, Pipeline, Service, Stage
from face_organizer.pipeline.forget import Forget
from face_organizer.pipeline.gallery import Gallery
from face_organizer.pipeline.ingest import Ingest
from face_organizer.pipeline.keep_index import IndexKeeper
from face_organizer.pipeline.messages import Call, Skipped
from face_organizer.pipeline.place import Placer
from face_organizer.pipeline.pulse import AT_LENGTH, Pulses, beat, wait
from face_organizer.pipeline.read import Decode
from face_organizer.pipeline.recluster import Recluster
from face_organizer.pipeline.roster import load_roster
from face_organizer.pipeline.runs import Runs
from face_organizer.pipeline.see import See
from face_organizer.pipeline.space import LIBRARY, RETRY_S, STATE, Lack, Space
from face_organizer.ports import Log
from face_organizer.types import DecodedImage, Float32, ImageRef, InboxState, Rejected, Signature

READERS_EVERY_S = 3600.0
"""A reader of the store that was killed (a backup program) keeps old pages alive for no longer."""

PROBLEMS_SHOWN = 50
ATTENTION = {"watched": "watching", "polling": "polling", "lost": "waiting for"}


class Organizer:
    """One library, open: the truth, its views and the threads that serve them. One process at a time.

    start(): with an inbox it is the daemon; without, it serves one command. stop() always.
    """

    def __init__(
        self, config: Config, log: Log, lock: LibraryLock, store: LmdbStore, pulses: Pulses | None = None
    ) -> None:
        """Opens the views; see open_organizer and open_existing. Raises StoreError, ConfigError."""
        self.config, self._log, self._lock, self.store = config, log, lock, store
        self.pulses = pulses or Pulses()
        self._library_path = config.library_path
        self._index = FaceIndex(
            store.dimension,
            flat_max_faces=config.index.flat_max_faces,
            retrain_factor=config.index.retrain_factor,
            nprobe=config.index.nprobe,
        )
        self._keeper = IndexKeeper(
            store,
            self._index,
            state_folder(config) / "index" / "faces.faiss",
            self._in_gallery,
            log,
            monotonic,
            save_every_s=config.index.save_every_s,
        )
        self._keeper.open()
        with store.read() as txn:
            self._roster = load_roster(txn, store.dimension)
            last_run = txn.runs.get(txn.last_id("runs"))
        self._eyes: See | None = None
        self._device = "none"
        self._inbox: FolderInbox | None = None
        self._ingest: Ingest | None = None
        self._folders = Folders(config.library_path, config.inbox_path, config.placement, self._inbox_away)
        self._space = Space(
            {LIBRARY: config.library_path, STATE: config.state_path},
            free_bytes,
            config.watch.disk_free_min_bytes,
            log,
            monotonic,
            copies=self._placing_copies,
        )
        self._placer = Placer(store, self._folders, self._post, log, monotonic, self._space)
        pack = pack_named(config.faces.pack)
        rules = rules_of(config, pack)
        self._book = Book(store, self._roster, rules, self._folders.holds)
        changes = Changes(self._roster, self._book)
        self._gallery = Gallery(
            store,
            self._index,
            self._roster,
            self._book,
            log,
            monotonic,
            self._placer.wake,
            self._left_pipeline,
            self._space,
        )
        self._applier = applier = Applier(changes, self._in_gallery, lambda: monotonic() >= self._give_up_at)
        self._runs = Runs(store, changes, applier, self._wait_placed)
        self._forget = Forget(
            store,
            self._roster,
            self._book,
            self._keeper,
            applier,
            self._in_gallery,
            self._wait_placed,
            self._folders.erase,
            log,
            time,
        )
        self._recluster = Recluster(
            store,
            self._runs,
            rules,
            when_of(config),
            config.recluster.seed,
            log,
            monotonic,
            time,
            lambda: self._in_gallery(self._roster.picture),
            self._chores,
            self._go_by,
            partial(write_elbow, state_folder(config)),
            lambda: self._space.lack is None,
        )
        self._end_interrupted(changes)
        self._calls = calls_by_name(
            Desk(
                store=store,
                index=self._index,
                roster=self._roster,
                book=self._book,
                decide=Decide(self._roster, changes, applier, self._runs, time),
                forget=self._forget,
                runs=self._runs,
                recluster=self._recluster,
                keeper=self._keeper,
                folders=self._folders,
                library=self._library_path,
                place=self._placer.wake,
                embed=self.embed,
                find_neighbours=neighbours_of_all,
                in_gallery=self._in_gallery,
                failed=lambda: self.failure() is not None,
            )
        )
        self._readers_at = monotonic() + READERS_EVERY_S
        self._recluster.remember(last_run)
        self._go_by(self._recluster.found)
        self._pipeline = self._new_pipeline([])
        self._services: dict[str, Service] = {}
        watched = {name: self.pulses.watched(f"call {name}", call, AT_LENGTH) for name, call in self.calls().items()}
        self._control = ControlServer(state_folder(config), watched)
        self._started = monotonic()
        self._give_up_at = inf

    # start and stop

    def start(self, *, watching: bool = False, once: bool = False) -> None:
        """Start the threads. watching: networks and inbox too. once: nothing runs by itself, no second looks."""
        jobs = {"place": self._placer.run, "recluster": self._recluster.run, "catch_up": self._catch_up}
        self._recluster.by_itself = watching and not once
        if watching:
            self._ingest = self._open_inbox(once)
            jobs["ingest"] = self._ingest.run
        self._services = {
            name: Service(name, job, self.pulses, AT_LENGTH if name == "recluster" else 1.0)
            for name, job in jobs.items()
        }
        self._pipeline.start()
        for service in self._services.values():
            service.start()
        self._placer.wake()
        self._control.start(self.pulses.begin("control").beat)

    def stop(self, within_s: float = 20.0) -> None:
        """Drain from the front, cancel at the deadline, join every thread, save the index, let go of the lock.

        Raises what killed a thread, if anything did.
        """
        deadline = self._give_up_at = monotonic() + within_s
        try:
            self._control.stop()
            if self._services:
                self._stop_threads(deadline)
            self._keeper.save()
        finally:
            self.store.close()
            self._lock.release()

    def _stop_threads(self, deadline: float) -> None:
        def stop(name: str) -> None:
            if name in self._services:
                self._services[name].stop()

        try:
            stop("ingest")
            stop("catch_up")
            drained = self._pipeline.wait_empty(max(0.0, deadline - monotonic())) and self.wait_settled(deadline)
        except BaseException:
            drained = False
            raise
        finally:
            if self._inbox is not None:
                self._inbox.stop()
            stop("recluster")
            stop("place")
            (self._pipeline.close if drained else self._pipeline.abort)()

    def wait_settled(self, deadline: float) -> bool:
        """Wait until what truth wants has been placed; False at the deadline (monotonic), or when a thread has died."""
        never = Event()
        while self.failure() is None and monotonic() < deadline:
            if self._is_placed():
                return True
            wait(never, 0.02)
        return False

    def failure(self) -> BaseException | None:
        """What killed a thread, if anything did: the process must stop."""
        causes = [self._pipeline.failure, *(service.failure for service in self._services.values())]
        return next((cause for cause in causes if cause is not None), None)

    def settled(self) -> bool:
        """Everything in the inbox has been taken in and put in its place (or cannot be placed for now)."""
        if self._ingest is not None and not self._ingest.idle():
            return False
        return not self._pipeline.in_flight and self._is_placed()

    def out_of_room(self) -> str:
        """Why nothing moves any more: a disk has been full for a while, and all that can be done is done. "" if not."""
        lack = self._space.lack
        if lack is None or self._pipeline.in_flight or not self._is_placed() or not self._space.is_lasting():
            return ""
        return str(lack)

    @property
    def taken_in(self) -> int:
        """Images submitted since the start that have left the pipeline."""
        return self._pipeline.submitted - self._pipeline.in_flight

    def waiting_in_inbox(self) -> int:
        """How many files the inbox holds now. Walks it."""
        return sum(1 for _ in self._inbox.walk()) if self._inbox is not None else 0

    def prune_inbox(self) -> None:
        """Remove the folders that moving has emptied."""
        if self._inbox is not None and self.config.placement == "move":
            self._inbox.prune(older_than_s=0.0)

    # what commands ask for

    def calls(self) -> dict[str, Callable[..., Any]]:
        """The functions that a command may call by name, here or over the control socket."""
        return {**self._calls, "status": self.status}

    def status(self) -> dict[str, Any]:
        """How it stands: counts, queues, index, last run."""

        def read() -> dict[str, Any]:
            with self.store.read() as txn:
                last_id = txn.last_id("runs")
                last = txn.runs.get(last_id)
                return answers.counts(txn, self._roster) | {
                    "last_run": answers.run_summary(last_id, last) if last else None,
                    "proposal": proposal(txn),
                    "decisions": txn.decisions.count(),
                }

        return {
            "running": self._ingest is not None,
            "pid": os.getpid() if self._ingest is not None else None,
            "inbox": answers.printable(str(self.config.inbox_path)),
            "inbox_state": self._inbox_state(),
            "library": answers.printable(str(self._library_path)),
            "people": self.config.people,
            **self._in_gallery(read),
            "in_flight": self._pipeline.in_flight + self._gallery.held,
            "paused": self._told_of(self._space.lack),
            "queues": self._pipeline.queues(),
            "threads": self.pulses.states(),
            "device": self._device,
            "reclustering": self._recluster.running,
            "problems": self._problems(),
            "index": {"faces": self._index.count, "trained_on": self._index.trained_on},
            "store_bytes": self.store.size_bytes(),
            "up_s": round(monotonic() - self._started, 1),
        }

    def _problems(self) -> list[str]:
        """What cannot be done for now, in sentences for people."""
        problems = set(self._placer.problems.values())
        if self._inbox is not None and self._ingest is not None:
            problems.update(self._inbox.problems, self._ingest.problems())
        shown = sorted(map(answers.printable, problems))
        return shown[:PROBLEMS_SHOWN] + [f"and {len(shown) - PROBLEMS_SHOWN} more"] * (len(shown) > PROBLEMS_SHOWN)

    def _inbox_away(self) -> bool:
        return self._inbox is not None and self._inbox.state.kind == "lost"

    def _inbox_state(self) -> dict[str, str | None] | None:
        """watched, polling or lost, and why it is not watched; None where nobody looks at the inbox."""
        if self._inbox is None:
            return None
        state = self._inbox.state
        return {"state": state.kind, "reason": answers.printable(state.reason) or None}

    def recluster(self, reason: str = "asked") -> dict[str, Any]:
        """Re-cluster now, apply it, and wait for it."""
        return cast("dict[str, Any]", self._calls["recluster"](reason))

    def request_recluster(self, reason: str) -> None:
        """Re-cluster as soon as possible; do not wait."""
        self._recluster.request(reason)

    def summary(self) -> str:
        """One line for people."""
        state = self._inbox.state if self._inbox is not None else InboxState("lost", "nobody looks at it")
        doing = f"{ATTENTION[state.kind]} {ascii(str(self.config.inbox_path))[1:-1]}"
        doing += f" ({state.reason})" if state.reason else ""
        if self._recluster.running:
            doing = "re-clustering"
        if lack := self._space.lack:
            doing = f"paused, no room in {ascii(lack.folder)[1:-1]}"
        counted = f"{len(self._roster.faces_of)} persons, {self._index.count} faces"
        return f"{doing}: {counted}, {self._pipeline.in_flight + self._gallery.held} in flight"

    def embed(self, photos: list[tuple[str, str]]) -> Float32:
        """The faces in pictures (name, content in base64) as unit rows, float32 (n, d). Raises ItemError."""
        images = [decode_photo(name, base64.b64decode(content), self.config) for name, content in photos]
        found = [face.embedding for image in self._open_eyes()(images) for face in image.faces]
        if not found:
            raise ItemError("no face was found in the photo; try one where the face is larger or sharper")
        return np.stack(found)

    def reload(self, config: Config) -> None:
        """Take over what can change while running; gallery and re-clustering see it at their next step."""
        self.config = config
        rules = rules_of(config, pack_named(config.faces.pack))
        self._space.free_min_bytes = config.watch.disk_free_min_bytes
        self._recluster.rules = rules
        self._go_by(self._recluster.found)
        self._recluster.when = when_of(config)
        if self._ingest is not None:
            self._ingest.patience = patience_of(config, once=False)

    def _go_by(self, found: Mapping[str, Any]) -> None:
        """Let streaming go by the bounds that the last run found."""
        self._book.rules = self._recluster.rules.as_found(found)

    # the parts

    @staticmethod
    def _told_of(lack: Lack | None) -> dict[str, Any] | None:
        return asdict(lack) | {"folder": answers.printable(lack.folder)} if lack else None

    def _wait_placed(self, file_ids: Sequence[int]) -> None:
        """Wait until disk shows what truth wants of these files, or cannot. Raises Cancelled when we stop first."""
        self._placer.wake()
        never = Event()
        for file_id in file_ids:
            while self._is_pending(file_id):
                if self._placer.blocked and (lack := self._space.lack):
                    raise NoRoomError(lack.problem)
                if self.failure() is not None or monotonic() >= self._give_up_at:
                    raise Cancelled
                wait(never, 0.02)

    def _is_pending(self, file_id: int) -> bool:
        with self.store.read() as txn:
            return txn.pending(1, file_id) == [file_id] and file_id not in self._placer.problems

    def _end_interrupted(self, changes: Changes) -> None:
        """A change that a crash cut short is ended before anything else; on a full disk, later."""
        try:
            while changes.step():
                beat()
        except NoRoomError:
            self._applier.behind = True

    def _catch_up(self, stop: Event) -> None:
        """The service that does what a crash or a full disk cut short; what a stop cuts short, the next start does."""
        self._runs.behind = True
        while True:
            if self._ingest is not None:
                self._space.look()
            if self._gallery.held:
                self._post(Call(self._gallery.enrol_held))
            try:
                if self._applier.behind:
                    self._applier.catch_up()
                if self._runs.behind:
                    self._runs.resume()
                if self._forget.behind:
                    self._forget.resume(stop)
                pause_s = 1.0
            except NoRoomError:
                pause_s = RETRY_S
            if wait(stop, pause_s):
                return

    def _placing_copies(self) -> bool:
        """Does an image that is placed take its room once more?"""
        mode, paths = self.config.placement, (self.config.inbox_path, self._library_path)
        return mode == "copy" or (mode != "symlink" and not same_disk(*paths))

    def _chores(self, stop: Event) -> None:
        """What has to be done now and then, in the re-clustering's thread while it has nothing better to do."""
        self._keeper.tend(stop)
        if monotonic() >= self._readers_at:
            self._readers_at = monotonic() + READERS_EVERY_S
            if dead := self.store.clear_dead_readers():
                self._log.warning("dead_readers_cleared", readers=dead)

    def _is_placed(self) -> bool:
        if self._placer.blocked:
            return True
        with self.store.read() as txn:
            return txn.pending_count() <= len(self._placer.problems)

    def _in_gallery(self, work: Callable[[], Any]) -> Any:
        call = Call(work)
        self._pipeline.post(call)
        return call.reply.wait(unless=lambda: self.failure() is not None)

    def _new_pipeline(self, stages: list[Stage]) -> Pipeline:
        flow = self.config.flow
        return Pipeline(
            stages,
            self._gallery.handle,
            flow.commit_batch_max,
            flow.linger_s,
            self._reject,
            flow.in_flight_max,
            self.pulses,
        )

    def _post(self, message: Any) -> None:
        self._pipeline.post(message)

    def _open_eyes(self) -> See:
        """The networks for questions; opened at the first one, unless the daemon has them anyway."""
        if self._eyes is None:
            self._device, (self._eyes, *_) = open_eyes(self.config, self._log, workers=0)
        return self._eyes

    def _open_inbox(self, once: bool) -> Ingest:
        """The inbox, the networks and the stages between them."""
        check_folders(self.config)
        config, flow = self.config, self.config.flow
        make_folder(config.inbox_path, "inbox")
        self._inbox = inbox = FolderInbox(config.inbox_path, self._log, size_max_bytes=config.watch.size_max_bytes)
        inbox.start()
        self._device, (self._eyes, *workers) = open_eyes(
            config, self._log, workers=config.faces.threads or len(os.sched_getaffinity(0))
        )
        decoders = [
            Decode(inbox, pixels_max=config.watch.pixels_max, side_max_px=config.faces.decode_side_max_px)
            for _ in range(flow.decoders)
        ]
        self._pipeline = self._new_pipeline(
            [
                Stage("decode", tuple(decoders), capacity=8),
                Stage("see", tuple(workers), batch=flow.batch_max, linger_s=flow.linger_s, capacity=2 * flow.batch_max),
            ]
        )
        patience = patience_of(config, once=once)
        return Ingest(inbox, self._known, self._pipeline.submit, self._log, monotonic, patience, self._space)

    def _known(self, path: Path, signature: Signature) -> bool:
        """Truth has exactly this file already. Any thread."""
        with self.store.read() as txn:
            if txn.is_forgotten(os.fsencode(path), signature):
                return True
            file = txn.files.get(txn.file_of_source(os.fsencode(path)))
        return file is not None and file.signature == signature and not file.missing

    def _reject(self, item: ImageRef | DecodedImage, error: ItemError) -> Rejected | Skipped:
        """What becomes of an input that a stage refused."""
        ref = item if isinstance(item, ImageRef) else item.ref
        if isinstance(error, GoneError):
            return Skipped(ref)
        if self._ingest is not None:
            if isinstance(error, DeniedError):
                self._ingest.put_off(ref, str(error))
                return Skipped(ref)
            if error.unfinished and self._ingest.postpone(ref, str(error)):
                return Skipped(ref)
        return Rejected(ref, str(error))

    def _left_pipeline(self, refs: list[ImageRef]) -> None:
        if self._ingest is not None:
            self._ingest.done(refs)
