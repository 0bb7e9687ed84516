"""Wires the rooms together: the only place that names concrete classes, and the order of start and stop.

Room:    app (wires)
Imports: everything but cli
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import inf
from secrets import randbits
from time import monotonic, time
from typing import Any, cast

from face_organizer.adapters.chart import write_elbow
from face_organizer.adapters.control import ControlServer
from face_organizer.adapters.disk import free_bytes
from face_organizer.adapters.index import FaceIndex
from face_organizer.adapters.library import Folders
from face_organizer.adapters.lock import LibraryLock
from face_organizer.adapters.neighbours import neighbours_of_all
from face_organizer.adapters.originals import Originals
from face_organizer.adapters.reading import read_settled
from face_organizer.adapters.readme import renew_readme
from face_organizer.adapters.store import LmdbStore
from face_organizer.adapters.thumbnails import ThumbnailFolder
from face_organizer.adapters.tree import FolderTree
from face_organizer.calls import calls_by_name
from face_organizer.calls.desk import Desk
from face_organizer.config import Config
from face_organizer.devices import make_engine
from face_organizer.enrol import Enrol
from face_organizer.errors import NoRoomError
from face_organizer.figures import figures_of
from face_organizer.intake import Intake
from face_organizer.moving import make_reembed
from face_organizer.parts import (
    attentive_of,
    attributes_lack,
    library_pack,
    pack_of,
    placing_copies,
    rules_of,
    state_folder,
    when_of,
    with_pack,
)
from face_organizer.pictures import Pictures
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.book import Book
from face_organizer.pipeline.by_hand import ByHand
from face_organizer.pipeline.catch_up import CatchUp
from face_organizer.pipeline.changes import Changes
from face_organizer.pipeline.crowd import Crowd
from face_organizer.pipeline.decide import Decide
from face_organizer.pipeline.edits import Edits
from face_organizer.pipeline.engine import Engine
from face_organizer.pipeline.flow import Job, Pipeline, Service, Stage
from face_organizer.pipeline.forget import Forget
from face_organizer.pipeline.gallery import Gallery
from face_organizer.pipeline.hands import Hands
from face_organizer.pipeline.keep_index import IndexKeeper
from face_organizer.pipeline.messages import Call, Rules
from face_organizer.pipeline.place import Placer
from face_organizer.pipeline.pulse import AT_LENGTH, Hung, Pulses
from face_organizer.pipeline.recluster import Recluster
from face_organizer.pipeline.rejected import RejectedFiles
from face_organizer.pipeline.roster import Picture, load_roster
from face_organizer.pipeline.runs import Runs
from face_organizer.pipeline.space import LIBRARY, STATE, Space
from face_organizer.pipeline.stir import Stir
from face_organizer.pipeline.timing import Timings
from face_organizer.pipeline.told import Telling
from face_organizer.pipeline.walked import Walker
from face_organizer.ports import Log
from face_organizer.status import Status
from face_organizer.types import ImageRef, Lying

README = "readme"
"""The note that says which text the library's README.txt had when it was written."""

READERS_EVERY_S = 3600.0
"""A reader of the store that was killed (a backup program) keeps old pages alive for no longer."""


class Organizer:
    """One library, open: the truth, its views and the threads that serve them. One process at a time.

    start(): with an inbox it is the daemon; without, it serves one command. stop() always.
    """

    def __init__(
        self,
        config: Config,
        log: Log,
        lock: LibraryLock,
        store: LmdbStore,
        pulses: Pulses | None = None,
        neighbours: Callable[[], Sequence[str]] = tuple,
        engine_of: Callable[[Config], Engine] | None = None,
    ) -> None:
        """Opens the views; see open_organizer and open_existing. neighbours: what is wrong with other libraries of the
        process, in sentences. engine_of(config): one that runs its faces.pack, shared, which whoever made it stops;
        without, it has its own. Raises StoreError, ConfigError."""
        self.told = Telling(log, begin_at=randbits(48))
        self.config, self._log, self._lock, self._store = config, self.told, lock, store
        self._neighbours = neighbours
        self.pulses = pulses or Pulses()
        self._timings = Timings(monotonic)
        self.pack = library_pack(config, store)
        self._owns_engine = engine_of is None
        self._engine = engine_of(self._eyed(config)) if engine_of else make_engine(self._eyed(config), log)
        self._services: dict[str, Service] = {}
        self._give_up_at = inf
        self._readers_at = monotonic() + READERS_EVERY_S
        self._open_views()
        self._make_ends()
        self._make_gallery()
        self._make_tasks()
        self._make_hands()
        self._make_calls()

    def _open_views(self) -> None:
        """The index and the roster: the truth in memory."""
        values = self.config.index
        self._index = FaceIndex(
            self._store.dimension,
            flat_max_faces=values.flat_max_faces,
            retrain_factor=values.retrain_factor,
            nprobe=None if values.nprobe == "auto" else values.nprobe,
        )
        self._keeper = IndexKeeper(
            self._store,
            self._index,
            state_folder(self.config) / "index" / "faces.faiss",
            self._in_gallery,
            self._log,
            monotonic,
            save_every_s=values.save_every_s,
        )
        self._keeper.open()
        with self._store.read() as txn:
            self._roster = load_roster(txn, self._store.dimension)

    def _make_ends(self) -> None:
        """Where images come in, and where they lie in the end."""
        config, store, log = self.config, self._store, self._log
        self._space = Space(
            {LIBRARY: config.library_path, STATE: config.state_path},
            free_bytes,
            config.watch.disk_free_min_bytes,
            log,
            monotonic,
            copies=partial(placing_copies, config),
        )
        self._intake = Intake(
            self._eyed(config), store, lambda ref: self._pipeline.submit(ref), self._space, self._engine, log
        )
        self._folders = Folders(config.library_path, config.inbox_path, config.placement, self._intake.is_away)
        thumbnails = ThumbnailFolder(state_folder(config) / "thumbnails", config.web.thumbnails_max_bytes)
        self.pictures = Pictures(
            store,
            Originals(config.library_path, config.inbox_path),
            thumbnails,
            size_max_bytes=config.watch.size_max_bytes,
            pixels_max=config.watch.pixels_max,
        )
        self._erase_thumbnails = thumbnails.erase
        self._stir = Stir(monotonic)
        self._placer = Placer(
            store, self._folders, self._post, log, monotonic, self._space, self._timings.observe, self._stir.ours
        )
        self.enrol = Enrol(self._intake, store, self._placer, config.library_path, self._is_giving_up).enrol
        self._wait_placed = partial(self._placer.wait_placed, unless=self._is_giving_up)

    def _make_gallery(self) -> None:
        """Who is whose, and the only thread that changes it."""
        rules = self._rules(self.config)
        self._book = Book(self._store, self._roster, rules, self._folders.holds)
        self._gallery = Gallery(
            self._store,
            self._index,
            self._roster,
            self._book,
            self._log,
            monotonic,
            self._placer.wake,
            self._images_left,
            self._space,
            self._timings.observe,
        )
        self._pipeline = self._new_pipeline([])
        self._changes = Changes(self._roster, self._book)
        self._applier = Applier(self._changes, self._in_gallery, lambda: monotonic() >= self._give_up_at)

    def _make_tasks(self) -> None:
        """What changes whose faces are whose, and what ends that after a crash; a change that one cut short at once."""
        config, store, log = self.config, self._store, self._log
        self._runs = Runs(store, self._changes, self._applier, self._wait_placed)
        self._forget = Forget(
            store,
            self._roster,
            self._book,
            self._keeper,
            self._applier,
            self._in_gallery,
            self._wait_placed,
            self._folders.erase,
            log,
            time,
            self._erase_thumbnails,
        )
        self._recluster = Recluster(
            store,
            self._runs,
            self._book.rules,
            when_of(config),
            config.recluster.seed,
            log,
            monotonic,
            time,
            self._picture,
            self._chores,
            self._go_by,
            partial(write_elbow, state_folder(config)),
            lambda: self._space.lack is None,
        )
        self.reembed = make_reembed(
            lambda: self.config,
            store,
            self._in_gallery,
            self.pack,
            lambda: self._intake.is_open,
            log,
            self.pulses,
        )
        self._catch_up = CatchUp(
            self._gallery,
            self._applier,
            self._runs,
            self._forget,
            self._space,
            lambda: self._intake.is_open,
            self._post,
            store.must_be_there,
        )
        with store.read() as txn:
            last_run = txn.runs.get(last_id := txn.last_id("runs"))
            model = txn.models.get(txn.slot)
        self._applier.end_interrupted()
        if model is None or last_id > model.since_run:
            self._recluster.remember(last_run)
        else:  # what runs found before was about another model
            self._recluster.remember_model(model)
        self._go_by(self._recluster.found)

    def _make_hands(self) -> None:
        """Who follows what people do in the folders."""
        self._decide = Decide(self._roster, self._changes, self._applier, self._runs, time)
        self._tree = FolderTree(self.config.library_path, self._log, monotonic)
        config = self.config
        self._edits = Edits(
            self._store,
            self._tree,
            lambda ref: read_settled(config.library_path, ref, config.watch.size_max_bytes),
            config.library_path,
            self._in_gallery,
            self.pictures.drop,
            self._log,
            pixels_max=config.watch.pixels_max,
            side_max_px=config.faces.decode_side_max_px,
        )
        self._hands = Hands(
            self._tree,
            Walker(self._store, self._tree, self._intake.contents),
            ByHand(self._decide, self._roster, self._book, self._tree),
            self._stir,
            self._log,
            monotonic,
            attentive_of(self.config, once=False),
            self._take_in,
            self._edits.follow,
        )

    def _take_in(self, lying: Lying) -> None:
        path = self.config.library_path / lying.place
        self._pipeline.submit(ImageRef(path, lying.signature, lying.place))

    def _images_left(self, refs: list[ImageRef]) -> None:
        """The pipeline."""
        self._intake.done([ref for ref in refs if not ref.laid_in])
        self._hands.taken_in(refs)

    def _make_calls(self) -> None:
        """What commands may ask for, and the door that they come through."""
        rejected = RejectedFiles()
        self.status = Status(
            config=self.config,
            store=self._store,
            index=self._index,
            roster=self._roster,
            intake=self._intake,
            pipeline=lambda: self._pipeline,
            gallery=self._gallery,
            placer=self._placer,
            space=self._space,
            recluster=self._recluster,
            reembed=self.reembed,
            hands=self._hands,
            rejected=rejected,
            pulses=self.pulses,
            told=self.told,
            in_gallery=self._in_gallery,
            neighbours=self._neighbours,
        )
        desk = Desk(
            store=self._store,
            index=self._index,
            roster=self._roster,
            book=self._book,
            decide=self._decide,
            forget=self._forget,
            runs=self._runs,
            recluster=self._recluster,
            reembed=self.reembed,
            keeper=self._keeper,
            folders=self._folders,
            library=self.config.library_path,
            place=self._place_all,
            embed=self._intake.embed,
            see=self._intake.see,
            find_neighbours=neighbours_of_all,
            in_gallery=self._in_gallery,
            failed=lambda: self.failure() is not None,
            crowd=Crowd(self._store, self._picture, monotonic),
            rejected=rejected,
            log=self._log,
            attributes_lack=lambda: attributes_lack(self._eyed(self.config).faces),
            edits=self._edits,
        )
        self._calls: dict[str, Callable[..., Any]] = {
            **calls_by_name(desk),
            "status": self.status.answer,
            "events": self.status.events,
        }
        watched = {name: self.pulses.watched(f"call {name}", call, AT_LENGTH) for name, call in self._calls.items()}
        self._control = ControlServer(state_folder(self.config), watched)

    # start and stop

    def start(self, *, watching: bool = False, once: bool = False) -> None:
        """Start the threads. watching: networks and inbox too. once: nothing runs by itself, no second looks."""
        jobs: dict[str, Job] = {
            "place": self._placer.run,
            "recluster": self._recluster.run,
            "catch_up": self._catch_up.run,
            "reembed": self.reembed.run,
        }
        self._recluster.by_itself = self.reembed.by_itself = watching and not once
        if watching:
            self._explain_folders()
            self._pipeline = self._new_pipeline(self._timings.timed(self._intake.open(once=once)))
            self._hands.patience = attentive_of(self.config, once=once)
            jobs["hands"] = self._hands.run
            jobs["ingest"] = self._hands.first(self._intake.run) if once else self._intake.run
        self._services = {
            name: Service(name, job, self.pulses, AT_LENGTH if name in ("recluster", "reembed") else 1.0)
            for name, job in jobs.items()
        }
        self._pipeline.start()
        for service in self._services.values():
            service.start()
        self._placer.wake()
        self._control.start(self.pulses.begin("control").beat)

    def _explain_folders(self) -> None:
        """Let the library say itself what one may do in it; before the gallery's thread starts."""
        with self._store.read() as txn:
            known = txn.note(README).decode()
        try:
            now = renew_readme(self.config.library_path, known) if self.config.folders.watch else known
            if now != known:
                with self._store.write() as txn:
                    txn.put_note(README, now.encode())
        except (OSError, NoRoomError) as error:
            self._log.warning("readme_not_written", problem=str(error))

    def stop(self, within_s: float = 20.0) -> None:
        """Drain from the front, cancel at the deadline, join every thread, save the index, let go of the lock.

        Raises what killed a thread, if anything did.
        """
        self._give_up_at = monotonic() + within_s
        try:
            self._control.stop()
            if self._services:
                self._stop_threads()
            if self.failure() is None:  # else the next start makes it anew
                self._keeper.save()
        finally:
            if self._owns_engine:
                self._engine.stop()
            self._store.close()
            self._lock.release()

    def _stop_threads(self) -> None:
        def stop(name: str) -> None:
            if name in self._services:
                self._services[name].stop()

        drained = False
        try:
            stop("ingest")
            stop("hands")
            stop("reembed")
            stop("catch_up")
            left_s = max(0.0, self._give_up_at - monotonic())
            drained = self._pipeline.wait_empty(left_s) and self._placer.wait_done(self._is_giving_up)
        finally:
            self._intake.close()
            self._tree.stop()
            stop("recluster")
            stop("place")
            (self._pipeline.close if drained else self._pipeline.abort)()

    def failure(self) -> BaseException | None:
        """What killed a thread, if anything did: the process must stop."""
        causes = [self._pipeline.failure, *(service.failure for service in self._services.values())]
        return next((cause for cause in causes if cause is not None), None)

    def _is_giving_up(self) -> bool:
        """Whoever waits need not wait any longer: a thread has died, or time to stop is up."""
        return self.failure() is not None or monotonic() >= self._give_up_at

    # how far it is

    def settled(self) -> bool:
        """Everything in the inbox has been taken in and put in its place (or cannot be placed for now)."""
        return (
            self._intake.is_idle() and self._hands.is_idle() and not self._pipeline.in_flight and self._placer.is_done()
        )

    def out_of_room(self) -> str:
        """Why nothing moves any more: a disk has been full for a while, and all that can be done is done. "" if not."""
        lack = self._space.lack
        if lack is None or self._pipeline.in_flight or not self._placer.is_done() or not self._space.is_lasting():
            return ""
        return str(lack)

    @property
    def taken_in(self) -> int:
        """Images submitted since the start that have left the pipeline."""
        return self._pipeline.submitted - self._pipeline.in_flight

    def waiting_in_inbox(self) -> int:
        """How many files the inbox holds now. Walks it."""
        return self._intake.waiting()

    def prune_inbox(self) -> None:
        """Remove the folders that moving has emptied."""
        self._intake.prune()

    # what is asked of it

    def calls(self) -> dict[str, Callable[..., Any]]:
        """The functions that a command may call by name, here or over the control socket."""
        return self._calls

    def figures(self) -> dict[str, Any]:
        """See web/metrics.py."""
        return figures_of(self.status.answer(), self._timings, self.taken_in)

    def hung(self, after_s: float) -> list[Hung]:
        """Who hangs of all threads that it needs: its own, and the engine's."""
        return [*self.pulses.hung(after_s), *self._engine.pulses.hung(after_s)]

    @property
    def wants_reopening(self) -> bool:
        """It is to be closed and opened again, for it goes by another model then."""
        return self.reembed.due

    def is_busy(self) -> bool:
        """Images are on their way."""
        return self._pipeline.in_flight > 0

    def recluster(self, reason: str = "asked") -> dict[str, Any]:
        """Re-cluster now, apply it, and wait for it."""
        return cast("dict[str, Any]", self._calls["recluster"](reason))

    def recluster_unasked(self, reason: str) -> None:
        """Re-cluster now and wait for it; what it found is applied if it is within the margin."""
        self._recluster.request(reason).wait(unless=self._is_giving_up)

    def request_recluster(self, reason: str) -> None:
        """Re-cluster as soon as possible; do not wait."""
        self._recluster.request(reason)

    def reload(self, config: Config) -> None:
        """Take over what can change while running; gallery and re-clustering see it at their next step."""
        self.config = config
        self._intake.reload(self._eyed(config))
        self._hands.patience = attentive_of(config, once=False)
        self._space.free_min_bytes = config.watch.disk_free_min_bytes
        self._recluster.rules = self._rules(config)
        self._go_by(self._recluster.found)
        self._recluster.when = when_of(config)

    # what the parts ask of it

    def _eyed(self, config: Config) -> Config:
        """With the pack that the library goes by."""
        return with_pack(config, self.pack)

    def _rules(self, config: Config) -> Rules:
        return rules_of(config, pack_of(self._eyed(config).faces))

    def _new_pipeline(self, stages: list[Stage]) -> Pipeline:
        flow = self.config.flow
        return Pipeline(
            stages,
            self._gallery.handle,
            flow.commit_batch_max,
            flow.linger_s,
            self._intake.reject,
            flow.in_flight_max,
            self.pulses,
        )

    def _post(self, message: Any) -> None:
        self._pipeline.post(message)

    def _place_all(self) -> None:
        """Look at everything that is pending, and wait until it has been placed, or cannot be for now."""
        self._placer.wake()
        self._placer.wait_done(self._is_giving_up)

    def _in_gallery(self, work: Callable[[], Any]) -> Any:
        call = Call(work)
        self._pipeline.post(call)
        return call.reply.wait(unless=lambda: self.failure() is not None)

    def _picture(self) -> Picture:
        return cast("Picture", self._in_gallery(self._roster.picture))

    def _go_by(self, found: Mapping[str, Any]) -> None:
        """Let streaming go by the bounds that the last run found."""
        self._book.rules = self._recluster.rules.as_found(found)

    def _chores(self) -> None:
        """What has to be done now and then, in the re-clustering's thread while it has nothing better to do."""
        self._keeper.tend(at_leisure=self._intake.is_open)
        if monotonic() >= self._readers_at:
            self._readers_at = monotonic() + READERS_EVERY_S
            if dead := self._store.clear_dead_readers():
                self._log.warning("dead_readers_cleared", readers=dead)
