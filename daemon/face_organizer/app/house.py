"""A library's parts, made and joined to each other: who is given what.

Room:    app (wires)
Imports: everything but cli
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from secrets import randbits
from time import monotonic, time
from typing import Any, cast

from face_organizer.adapters.bulk import Bulk, cards_of
from face_organizer.adapters.chart import write_elbow
from face_organizer.adapters.control import ControlServer
from face_organizer.adapters.disk import free_bytes
from face_organizer.adapters.index import FaceIndex
from face_organizer.adapters.library import Folders
from face_organizer.adapters.lock import LibraryLock
from face_organizer.adapters.originals import Originals
from face_organizer.adapters.store import LmdbStore
from face_organizer.adapters.thumbnails import ThumbnailFolder
from face_organizer.adapters.tree import FolderTree, trace
from face_organizer.app.devices import make_engine
from face_organizer.app.enrol import Enrol
from face_organizer.app.intake import Intake
from face_organizer.app.library_pack import bounds_held, library_pack, note_bounds
from face_organizer.app.moving import make_reembed
from face_organizer.app.parts import (
    attentive_of,
    attributes_lack,
    placing_copies,
    rules_of,
    state_folder,
    when_of,
    with_pack,
)
from face_organizer.app.pictures import Pictures
from face_organizer.app.status import Status
from face_organizer.app.threads import Threads
from face_organizer.calls import calls_by_name
from face_organizer.calls.desk import Desk
from face_organizer.config import Config
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.book import Book
from face_organizer.pipeline.by_hand import ByHand
from face_organizer.pipeline.catch_up import CatchUp
from face_organizer.pipeline.changes import Changes
from face_organizer.pipeline.crowd import Crowd
from face_organizer.pipeline.decide import Decide
from face_organizer.pipeline.edits import Edits
from face_organizer.pipeline.engine import Engine
from face_organizer.pipeline.flow import Pipeline, Stage
from face_organizer.pipeline.forget import Forget
from face_organizer.pipeline.gallery import Gallery
from face_organizer.pipeline.hands import Hands
from face_organizer.pipeline.keep_index import IndexKeeper
from face_organizer.pipeline.messages import Message, Rules, Skipped
from face_organizer.pipeline.place import Placer
from face_organizer.pipeline.pulse import AT_LENGTH, Pulses
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
from face_organizer.types import TRASH, ImageRef, Lying, Rejected, SeenImage

READERS_EVERY_S = 3600.0
"""A reader of the store that was killed (a backup program) keeps old pages alive for no longer."""


class House:
    """What Organizer starts, asks and stops."""

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
        """Opens the views. neighbours: what is wrong with other libraries of the process, in sentences.
        engine_of(config): one that runs its faces.pack, shared, which whoever made it stops; without, it has its own.
        Raises StoreError, ConfigError."""
        self.told = Telling(log, begin_at=randbits(48))
        self.config, self.log, self.lock, self.store = config, self.told, lock, store
        self._neighbours = neighbours
        self.threads = Threads(pulses or Pulses())
        self.timings = Timings(monotonic)
        self.pack = library_pack(config, store)
        self._pack_lack = note_bounds(config, self.pack, store)
        self.owns_engine = engine_of is None
        self.engine = engine_of(self._eyed(config)) if engine_of else make_engine(self._eyed(config), log)
        self._readers_at = monotonic() + READERS_EVERY_S
        self._open_views()
        self._make_ends()
        self._make_gallery()
        self._make_changes()
        self._make_hands()
        self._make_thinkers()
        self._take_up()
        self._make_status()
        self._make_calls()

    def _open_views(self) -> None:
        """The index and the roster: the truth in memory."""
        values = self.config.index
        self._bulk = Bulk(lambda: cards_of(self.config.faces.wanted), self.log)
        self._index = FaceIndex(
            self.store.dimension,
            flat_max_faces=values.flat_max_faces,
            retrain_factor=values.retrain_factor,
            nprobe=None if values.nprobe == "auto" else values.nprobe,
            find_centroids=self._bulk.centroids,
        )
        self.keeper = IndexKeeper(
            self.store,
            self._index,
            state_folder(self.config) / "index" / "faces.faiss",
            self.threads.in_gallery,
            self.log,
            monotonic,
            save_every_s=values.save_every_s,
        )
        self.keeper.open()
        with self.store.read() as txn:
            self._roster = load_roster(txn, self.store.dimension)

    def _make_ends(self) -> None:
        """Where images come in, and where they lie in the end."""
        config, store, log = self.config, self.store, self.log
        self.space = Space(
            {LIBRARY: config.library_path, STATE: config.state_path},
            free_bytes,
            config.watch.disk_free_min_bytes,
            log,
            monotonic,
            copies=partial(placing_copies, config),
        )
        self.intake = Intake(
            self._eyed(config),
            store,
            lambda: self.threads.pipeline,
            self.space,
            self.engine,
            state_folder(config) / "at_work",
            log,
        )
        self._folders = Folders(config.library_path, config.inbox_path, config.placement_mode, self.intake.is_away)
        thumbnails = ThumbnailFolder(state_folder(config) / "thumbnails", config.web.thumbnails_max_bytes)
        originals = Originals(config.library_path, config.inbox_path)
        self.pictures = Pictures(store, originals, thumbnails, self.intake.limits)
        self._erase_thumbnails = thumbnails.erase
        self._stir = Stir(monotonic, partial(trace, config.library_path))
        self.placer = Placer(
            store, self._folders, self.threads.post, log, monotonic, self.space, self.timings.observe, self._stir.ours
        )
        self.enrol = Enrol(self.intake, store, self.placer, config.library_path, self.threads.are_given_up).enrol
        self._wait_placed = partial(self.placer.wait_placed, unless=self.threads.are_given_up)

    def _make_gallery(self) -> None:
        """Who is whose, and the only thread that changes it."""
        rules = self._rules(self.config)
        self._book = Book(self.store, self._roster, rules, self._folders.holds)
        self._gallery = Gallery(
            self.store,
            self._index,
            self._roster,
            self._book,
            self.log,
            monotonic,
            self.placer.wake,
            self._images_left,
            self.space,
            self.timings.observe,
        )
        self.threads.pipeline = self.new_pipeline([])

    def _make_changes(self) -> None:
        """What changes whose faces are whose, and what ends that after a crash."""
        store, in_gallery = self.store, self.threads.in_gallery
        self._changes = Changes(self._roster, self._book)
        self._applier = Applier(self._changes, in_gallery, self.threads.is_time_up)
        self._runs = Runs(store, self._changes, self._applier, self._wait_placed)
        self._decide = Decide(self._roster, self._changes, self._applier, self._runs, time)
        self._forget = Forget(
            store,
            self._roster,
            self._book,
            self.keeper,
            self._applier,
            in_gallery,
            self._wait_placed,
            erase=self._folders.erase,
            erase_thumbnails=self._erase_thumbnails,
            log=self.log,
            now=time,
        )
        self.catch_up = CatchUp(
            self._gallery,
            self._applier,
            self._runs,
            self._forget,
            self.space,
            lambda: self.intake.is_open,
            self.threads.post,
            store.must_be_there,
        )

    def _make_hands(self) -> None:
        """Who follows what people do in the folders."""
        self.tree = FolderTree(self.config.library_path, self.log, monotonic)
        self._edits = Edits(
            self.store,
            self.tree,
            self.intake.reader.read,
            self.config.library_path,
            self.threads.in_gallery,
            self.pictures.drop,
            self.intake.limits,
            self.log,
        )
        self.hands = Hands(
            self.tree,
            Walker(self.store, self.tree, self.intake.contents),
            ByHand(self._decide, self._roster, self._book, self.tree),
            self._stir,
            self.log,
            monotonic,
            attentive_of(self.config, once=False),
            self._take_in,
            self._edits.follow,
        )

    def _make_thinkers(self) -> None:
        """Who thinks it all over anew: a re-clustering, or another model."""
        self.recluster = Recluster(
            self.store,
            self._runs,
            self._book.rules,
            when_of(self.config),
            self.log,
            monotonic,
            time,
            self._picture,
            chores=self._chores,
            on_found=self._go_by,
            draw=partial(write_elbow, state_folder(self.config)),
            has_room=lambda: self.space.lack is None,
        )
        self.reembed = make_reembed(
            lambda: self.config,
            self.store,
            self.threads.in_gallery,
            self.pack,
            self._edits.follow_images,
            lambda: self.intake.is_open,
            self._bulk.neighbours,
            self.log,
            self.threads.pulses,
        )

    def _take_up(self) -> None:
        """End the change that a crash cut short; go on by what the last run found."""
        with self.store.read() as txn:
            last_run = txn.runs.get(last_id := txn.last_id("runs"))
            model = txn.models.get(txn.slot)
        if not self.store.unwritable:
            self._applier.end_interrupted()
        if model is None or last_id > model.since_run:
            self.recluster.remember(last_run)
        else:  # what runs found before was about another model
            self.recluster.remember_model(model)
        self._go_by(self.recluster.found)

    def _make_status(self) -> None:
        """How it stands, for whoever asks."""
        self._rejected = RejectedFiles()
        self.status = Status(
            config=self.config,
            store=self.store,
            index=self._index,
            roster=self._roster,
            intake=self.intake,
            pipeline=lambda: self.threads.pipeline,
            gallery=self._gallery,
            placer=self.placer,
            space=self.space,
            recluster=self.recluster,
            reembed=self.reembed,
            hands=self.hands,
            rejected=self._rejected,
            pulses=self.threads.pulses,
            told=self.told,
            in_gallery=self.threads.in_gallery,
            neighbours=lambda: [*filter(None, [self._pack_lack]), *self._neighbours()],
            trash=partial(self._folders.count, TRASH),
        )

    def _make_calls(self) -> None:
        """What commands may ask for, and the door that they come through."""
        desk = Desk(
            store=self.store,
            index=self._index,
            roster=self._roster,
            book=self._book,
            decide=self._decide,
            forget=self._forget,
            runs=self._runs,
            recluster=self.recluster,
            reembed=self.reembed,
            keeper=self.keeper,
            folders=self._folders,
            library=self.config.library_path,
            place=self._place_all,
            embed=self.intake.embed,
            see=self.intake.see,
            find_neighbours=self._bulk.neighbours,
            in_gallery=self.threads.in_gallery,
            failed=lambda: self.threads.failure() is not None,
            crowd=Crowd(self.store, self._picture, monotonic),
            rejected=self._rejected,
            log=self.log,
            attributes_lack=lambda: "" if self._pack_lack else attributes_lack(self._eyed(self.config).faces),
            edits=self._edits,
            hear_out=partial(self.hands.hear_out, self.threads.are_given_up),
            is_undecided=self.hands.is_undecided,
        )
        self.calls: dict[str, Callable[..., Any]] = {
            **calls_by_name(desk),
            "status": self.status.answer,
            "events": self.status.events,
        }
        watched = {
            name: self.threads.pulses.watched(f"call {name}", call, AT_LENGTH) for name, call in self.calls.items()
        }
        self.control = None if self.store.unwritable else ControlServer(state_folder(self.config), watched)

    # what changes while it runs

    def reload(self, config: Config) -> None:
        """Take over what can change while running; gallery and re-clustering see it at their next step."""
        self.config = config
        self.intake.reload(self._eyed(config))
        self.hands.patience = attentive_of(config, once=False)
        self.space.free_min_bytes = config.watch.disk_free_min_bytes
        self.recluster.rules = self._rules(config)
        self._go_by(self.recluster.found)
        self.recluster.when = when_of(config)

    # how it stands

    def undone(self) -> dict[str, Any]:
        """What was begun and waits to be done: files to be placed, a change of many faces. Empty where nothing does."""
        with self.store.read() as txn:
            waiting, changing = txn.pending_count(), self._changes.under_way(txn)
        return {"to_be_placed": waiting, "change": changing} if waiting or changing else {}

    # what the parts ask of it

    def _eyed(self, config: Config) -> Config:
        """With the pack that the library goes by."""
        return with_pack(config, self.pack)

    def _rules(self, config: Config) -> Rules:
        return rules_of(config, bounds_held(config, self.pack, self.store))

    def new_pipeline(self, stages: list[Stage]) -> Pipeline:
        flow = self.config.flow
        return Pipeline(
            stages,
            self._arrived,
            flow.commit_batch_max,
            flow.linger_s,
            self.intake.reject,
            flow.in_flight_max,
            self.threads.pulses,
        )

    def _take_in(self, lying: Lying) -> None:
        """What somebody laid into a folder himself."""
        path = self.config.library_path / lying.place
        self.intake.submit(ImageRef(path, lying.signature, lying.place))

    def _arrived(self, messages: list[Message]) -> None:
        """The end of the pipeline: what befalls from here on is not an image's doing."""
        self.intake.survived([each.ref for each in messages if isinstance(each, SeenImage | Rejected | Skipped)])
        self._gallery.handle(messages)

    def _images_left(self, refs: list[ImageRef]) -> None:
        """These have left the pipeline, whichever way they had come in."""
        self.intake.done([ref for ref in refs if not ref.laid_in])
        self.hands.taken_in(refs)

    def _place_all(self) -> None:
        """Look at everything that is pending, and wait until it has been placed, or cannot be for now."""
        self.placer.wake()
        self.placer.wait_done(self.threads.are_given_up)

    def _picture(self) -> Picture:
        return cast("Picture", self.threads.in_gallery(self._roster.picture))

    def _go_by(self, found: Mapping[str, Any]) -> None:
        """Let streaming go by the bounds that the last run found."""
        self._book.rules = self.recluster.rules.as_found(found)

    def _chores(self) -> None:
        """What has to be done now and then, in the re-clustering's thread while it has nothing better to do."""
        self.keeper.tend(at_leisure=self.intake.is_open)
        if monotonic() >= self._readers_at:
            self._readers_at = monotonic() + READERS_EVERY_S
            if dead := self.store.clear_dead_readers():
                self.log.warning("dead_readers_cleared", readers=dead)
