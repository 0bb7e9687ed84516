"""A library at work: started, asked, stopped, in this order.

Room:    app (wires)
Imports: house, figures, parts, adapters, pipeline, names, stdlib
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, cast

from face_organizer.adapters.readme import renew_readme
from face_organizer.app.figures import figures_of
from face_organizer.app.house import House
from face_organizer.app.parts import attentive_of
from face_organizer.config import Config
from face_organizer.errors import NoRoomError
from face_organizer.pipeline.pulse import Hung
from face_organizer.pipeline.service import Job

README = "readme"
"""The note that says which text the library's README.txt had when it was written."""


class Organizer:
    """One library, open: the truth, its views and the threads that serve them. One process at a time.

    start(): with an inbox it is the daemon; without, it serves one command. Where the library can only be read, nothing
    is done but answering, for nobody else. stop() always.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._threads = self._house.threads
        self.pulses, self.told, self.status = self._threads.pulses, self._house.told, self._house.status
        self.pictures, self.enrol, self.pack = self._house.pictures, self._house.enrol, self._house.pack

    @property
    def config(self) -> Config:
        return self._house.config

    # start and stop

    def start(self, *, watching: bool = False, once: bool = False) -> None:
        """Start the threads. watching: networks and inbox too. once: nothing runs by itself, no second looks."""
        house = self._house
        if house.store.unwritable:
            self._threads.start({})
            return
        jobs: dict[str, Job] = {
            "place": house.placer.run,
            "recluster": house.recluster.run,
            "catch_up": house.catch_up.run,
            "reembed": house.reembed.run,
        }
        house.recluster.by_itself = house.reembed.by_itself = watching and not once
        if watching:
            self._explain_folders()
            self._threads.pipeline = house.new_pipeline(house.timings.timed(house.intake.open(once=once)))
            house.hands.patience = attentive_of(house.config, once=once)
            jobs["hands"] = house.hands.run
            jobs["ingest"] = house.hands.first(house.intake.run) if once else house.intake.run
        self._threads.start(jobs)
        house.placer.wake()
        assert house.control is not None
        house.control.start(self.pulses.begin("control").beat)

    def _explain_folders(self) -> None:
        """Let the library say itself what one may do in it; before the gallery's thread starts."""
        house = self._house
        with house.store.read() as txn:
            known = txn.note(README).decode()
        try:
            now = renew_readme(house.config.library_path, known) if house.config.folders.watch else known
            if now != known:
                with house.store.write() as txn:
                    txn.put_note(README, now.encode())
        except (OSError, NoRoomError) as error:
            house.log.warning("readme_not_written", problem=str(error))

    def stop(self, within_s: float = 20.0) -> None:
        """Drain from the front, cancel at the deadline, join every thread, save the index, let go of the lock.

        Raises what killed a thread, if anything did.
        """
        self._threads.give_up_within(within_s)
        house = self._house
        try:
            if house.control is not None:
                house.control.stop()
            if self._threads.are_started:
                self._stop_threads()
            if not house.store.unwritable and self.failure() is None:  # else the next start makes it anew
                house.keeper.save()
        finally:
            house.intake.end(as_it_should=self.failure() is None)
            if house.owns_engine:
                house.engine.stop()
            house.store.close()
            house.lock.release()

    def _stop_threads(self) -> None:
        house, threads, drained = self._house, self._threads, False
        try:
            threads.ask_to_stop("recluster")  # nobody is left to ask for a run
            threads.stop("ingest", "hands", "reembed", "catch_up")
            drained = threads.pipeline.wait_empty(threads.left_s())
            drained = drained and (bool(house.store.unwritable) or house.placer.wait_done(threads.are_given_up))
        finally:
            house.intake.close()
            house.tree.stop()
            threads.stop("recluster", "place")
            (threads.pipeline.close if drained else threads.pipeline.abort)()

    def failure(self) -> BaseException | None:
        """What killed a thread, if anything did: the process must stop."""
        return self._threads.failure()

    # how far it is

    def settled(self) -> bool:
        """Everything in the inbox has been taken in and put in its place (or cannot be placed for now)."""
        return (
            self._house.intake.is_idle()
            and self._house.hands.is_idle()
            and not self._threads.pipeline.in_flight
            and self._house.placer.is_done()
        )

    def out_of_room(self) -> str:
        """Why nothing moves any more: a disk has been full for a while, and all that can be done is done. "" if not."""
        lack = self._house.space.lack
        if (
            lack is None
            or self._threads.pipeline.in_flight
            or not self._house.placer.is_done()
            or not self._house.space.is_lasting()
        ):
            return ""
        return str(lack)

    @property
    def taken_in(self) -> int:
        """Images submitted since the start that have left the pipeline."""
        return self._threads.pipeline.submitted - self._threads.pipeline.in_flight

    def waiting_in_inbox(self) -> int:
        """How many files the inbox holds now. Walks it."""
        return self._house.intake.waiting()

    def prune_inbox(self) -> None:
        """Remove the folders that moving has emptied."""
        self._house.intake.prune()

    # what is asked of it

    def calls(self) -> dict[str, Callable[..., Any]]:
        """The functions that a command may call by name, here or over the control socket."""
        return self._house.calls

    def take_in_folders(self) -> None:
        """Have what people did in the folders decided before anything else is, for a command that nobody follows them
        for; what it comes to is told in the log. Raises RequestError where the library can only be read."""
        house = self._house
        house.store.refuse_unwritable()
        house.hands.patience = attentive_of(house.config, once=True, takes_in=False)
        if not house.hands.patience.is_on:
            return
        house.hands.look_at_once()
        last, left = house.hands.last, house.hands.left
        if last.decision_id:
            house.log.warning("folders_came_first", decision_id=last.decision_id, says=last.says, files=last.files)
        if left:
            house.log.warning("folders_left", new_photos=left, remedy="a daemon takes them in, and so does run --once")

    def tell_of_folders(self) -> None:
        """Tell in the log where files were moved by hand, and nobody has made anything of it yet; and of a library that
        can only be read, what was begun in it and is not done."""
        house = self._house
        if house.store.unwritable and (undone := house.undone()):
            house.log.warning("left_undone", **undone, reason=house.store.unwritable)
        if house.config.folders.watch and (moved := house.hands.count_moved()):
            library = shlex.quote(str(house.config.library_path))
            remedy = f"`face-organizer recluster --library {library}` takes that in first,"
            remedy += " as a daemon, run --once and every decision do"
            if house.store.unwritable:
                remedy = "nobody can take that in here"
            house.log.warning("folders_not_taken_in", moved_by_hand=moved, remedy=remedy)

    def figures(self) -> dict[str, Any]:
        """See web/metrics.py."""
        return figures_of(self._house.status.answer(), self._house.timings, self.taken_in)

    def hung(self, after_s: float) -> list[Hung]:
        """Who hangs of all threads that it needs: its own, and the engine's."""
        return [*self._threads.pulses.hung(after_s), *self._house.engine.pulses.hung(after_s)]

    @property
    def wants_reopening(self) -> bool:
        """It is to be closed and opened again, for it goes by another model then."""
        return self._house.reembed.due

    def is_busy(self) -> bool:
        """Images are on their way."""
        return self._threads.pipeline.in_flight > 0

    def recluster(self, reason: str = "asked") -> dict[str, Any]:
        """Re-cluster now, apply it, and wait for it."""
        return cast("dict[str, Any]", self._house.calls["recluster"](reason))

    def recluster_unasked(self, reason: str) -> None:
        """Re-cluster now and wait for it; what it found is applied if it is within the margin."""
        self._house.recluster.request(reason).wait(unless=self._threads.are_given_up)

    def request_recluster(self, reason: str) -> None:
        """Re-cluster as soon as possible; do not wait."""
        self._house.recluster.request(reason)

    def reload(self, config: Config) -> None:
        """Take over what can change while running; gallery and re-clustering see it at their next step."""
        self._house.reload(config)
