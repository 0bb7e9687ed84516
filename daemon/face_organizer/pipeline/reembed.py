"""Moves a library to another model, beside the one in use: reads its images again, compares, and says when to switch.

Room:    pipeline (moves)
Imports: records, errors, ports, identity, pulse, reembed_compare, reembed_fill

The states of the model beside are those of ModelRecord: filling -> ready -> due, and kept after the switch. They lie in
the truth, as does all that was done, so that the next start goes on where this one was cut. The switch itself waits for
a moment when nobody else is at work: reembed_switch.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event
from typing import Any

from face_organizer.errors import FaceOrganizerError, NoRoomError, RequestError, StoreError
from face_organizer.identity.diff import Margin
from face_organizer.pipeline.pulse import wait
from face_organizer.pipeline.reembed_compare import compare
from face_organizer.pipeline.reembed_fill import Eyes, Fill, Target
from face_organizer.ports import Log, NeighbourFinder, Store, Transaction
from face_organizer.records import ModelRecord

LOOK_S, ROOM_AGAIN_S = 0.2, 30.0
READING = ("filling", "ready")
"""The states in which images are read, those that come meanwhile too."""

Reached = tuple[int, int, str]


class Reembed:
    """begin(), switch(), discard() and told() from any thread but the gallery's; run() is the service.

    by_itself: go on with what an earlier process began. due: the library is to be opened anew, which switches.
    """

    def __init__(
        self,
        store: Store,
        fill: Fill,
        find: NeighbourFinder,
        in_gallery: Callable[[Callable[[], Any]], Any],
        target_of: Callable[[str], Target],
        pack: str,
        margin: Callable[[], Margin],
        objections: Callable[[Target], Sequence[str]],
        log: Log,
    ) -> None:
        """target_of(pack): raises ConfigError, ModelError. pack: the one in use. margin(): how much may change
        unasked. objections(target): what else keeps it from switching unasked, in sentences."""
        self._store, self._fill, self._find, self._in_gallery = store, fill, find, in_gallery
        self._target_of, self.pack, self._margin, self._objections = target_of, pack, margin, objections
        self._log = log
        self._wanted = Event()
        self._anew = True
        self._eyes: tuple[str, Sequence[Eyes]] | None = None
        self.by_itself, self.due = False, False
        self.problem = ""
        self._no_room: tuple[str, Reached | None] = "", None
        self.comparing = False

    # what may be asked

    def begin(self, pack: str, *, asks: bool = False) -> None:
        """Start to move to a pack, or go on. asks: never switch unasked. Raises RequestError, ConfigError, ModelError,
        NoRoomError."""
        target = self._target_of(pack)

        def start() -> None:
            with self._store.write() as txn:
                slot, model = 1 - txn.slot, txn.models.get(1 - txn.slot)
                if target.fingerprint == self._store.fingerprint:
                    raise RequestError(f"the library is the model pack {target.pack}'s already")
                if model is not None and not target.is_of(model):
                    raise RequestError(
                        f"the library still holds embeddings of {model.pack} beside those in use ({model.state}):"
                        " `face-organizer reembed --discard` deletes them"
                    )
                if txn.models.get(txn.slot) is None:
                    in_use = ModelRecord(self.pack, self._store.fingerprint, self._store.dimension, "live")
                    txn.models.put(txn.slot, in_use)
                if model is None:
                    txn.clear_beside()
                    model = ModelRecord(target.pack, target.fingerprint, target.dimension, "filling")
                if model.state == "kept":
                    model = replace(model, images=0, by_landmarks=0, added=0)
                told = replace(model, pack=target.pack, state="filling", asks=asks, waits="", comparison=None, found={})
                txn.models.put(slot, told)

        self._in_gallery(start)
        self._log.info("reembed_started", pack=target.pack)
        self.problem, self._no_room, self._anew = "", ("", None), True
        self._wanted.set()

    def switch(self) -> None:
        """Switch, whatever the comparison says. Raises RequestError."""

        def decide() -> None:
            with self._store.write() as txn:
                model = txn.models.get(1 - txn.slot)
                if model is None or model.state not in ("ready", "due"):
                    raise RequestError(_not_ready(model))
                txn.models.put(1 - txn.slot, replace(model, state="due", waits=""))

        self._in_gallery(decide)
        self.due = True

    def discard(self) -> str:
        """Delete what the library holds of the model beside; returns its pack. Raises RequestError."""

        def drop() -> str:
            with self._store.write() as txn:
                model = txn.models.get(1 - txn.slot)
                if model is None:
                    raise RequestError("the library holds embeddings of one model only: there is nothing to discard")
                txn.clear_beside()
            return model.pack

        pack: str = self._in_gallery(drop)
        self.due = False
        self._log.info("reembed_discarded", pack=pack)
        return pack

    def told(self, txn: Transaction) -> dict[str, Any] | None:
        """How far it is; None where only one model is there."""
        model = txn.models.get(1 - txn.slot)
        if model is None:
            return None
        in_use = txn.models.get(txn.slot)
        return {
            "pack": model.pack,
            "from": in_use.pack if in_use is not None else self.pack,
            "state": "comparing" if self.comparing else model.state,
            "images": txn.images.count(),
            "done": _done(txn, model),
            "by_landmarks": model.by_landmarks,
            "new_faces": model.added,
            "waits": model.waits or None,
            "problem": self.problem or None,
            "paused": self._paused(model) or None,
            "found": model.found,
        }

    def _paused(self, model: ModelRecord) -> str:
        """Which disk is too full for it, in a sentence; "" where it has gone on since, or never was."""
        problem, reached = self._no_room
        return problem if reached == _reached(model) else ""

    # the service

    def run(self, stop: Event) -> None:
        """Until stop: read, compare, and read what comes meanwhile, for as long as a model is beside."""
        while not stop.is_set():
            if wait(self._wanted, LOOK_S):
                self._wanted.clear()
            elif not self.by_itself or self.problem:
                continue
            if not self._go_on(stop):
                wait(stop, ROOM_AGAIN_S)
                self._wanted.set()

    def _go_on(self, stop: Event) -> bool:
        """One round; False where a disk is too full for it."""
        try:
            self._round(stop)
        except NoRoomError as error:
            self._wait_for_room(str(error))
            return False
        except StoreError:
            raise
        except FaceOrganizerError as error:
            self.problem = str(error)
            self._log.error("reembed_failed", problem=self.problem)
        return True

    def _wait_for_room(self, problem: str) -> None:
        """Told once, until it goes on."""
        with self._store.read() as txn:
            model = txn.models.get(1 - txn.slot)
        if model is not None and not self._paused(model):
            self._no_room = problem, _reached(model)
            self._log.warning("reembed_waits_for_room", problem=problem)

    def _round(self, stop: Event) -> None:
        with self._store.read() as txn:
            model = txn.models.get(1 - txn.slot)
        if model is None or model.state not in READING:
            self._eyes, self.due = None, model is not None and model.state == "due"
            return
        if model.state == "ready" and self._fill.left() == 0:
            return
        target = self._target_of(model.pack)
        if not target.is_of(model):
            raise RequestError(
                f"the model pack {model.pack} is not the one that was begun with: `face-organizer reembed --discard`"
                " and begin again"
            )
        if self._eyes is None or self._eyes[0] != target.fingerprint:
            self._eyes = (target.fingerprint, target.open_eyes())
        anew = self._anew and model.state == "filling"
        done = self._fill.run(target, self._eyes[1], stop, anew=anew)
        if done and model.state == "filling":
            self._anew = False
            self._compare(target)

    def _compare(self, target: Target) -> None:
        self.comparing = True
        try:
            margin = self._margin()
            compared = compare(self._store, target, self._find, self._in_gallery, margin)
        finally:
            self.comparing = False
        why = [compared.run.waits, *self._objections(target)]
        if compared.unread:
            why.append(f"{compared.unread} images that show a face cannot be read now: the log names them")

        def decide() -> ModelRecord | None:
            with self._store.write() as txn:
                model = txn.models.get(1 - txn.slot)
                if model is None or not target.is_of(model) or model.state != "filling":
                    return None
                waits = "; ".join(filter(None, ["only a comparison was asked for" if model.asks else "", *why]))
                state = "ready" if waits else "due"
                told = replace(model, state=state, waits=waits, comparison=compared.run, found=compared.found)
                txn.models.put(1 - txn.slot, told)
            return told

        told: ModelRecord | None = self._in_gallery(decide)
        if told is None:
            return
        run = compared.run
        figures = {key: getattr(run, key) for key in ("moved", "merged", "split", "born", "vanished")}
        self._log.info("reembed_compared", pack=target.pack, **compared.found, **figures, state=told.state)
        if told.waits:
            self._log.warning("reembed_waits", pack=target.pack, why=told.waits)
        self.due = told.state == "due"


def _reached(model: ModelRecord) -> Reached:
    """It differs as soon as anything more was done."""
    return model.upto, model.images, model.state


def _done(txn: Transaction, model: ModelRecord) -> int:
    """How many images were read, or could not be."""
    last = txn.last_id("images")
    images = txn.images.count()
    return images if model.upto >= last else images * model.upto // last  # ids of what was forgotten are not missed


def _not_ready(model: ModelRecord | None) -> str:
    if model is None:
        return "there is no other model to switch to: `face-organizer reembed --pack NAME` makes its embeddings"
    if model.state == "kept":
        return (
            f"{model.pack} was in use before: `face-organizer reembed --pack {model.pack}` brings it up to date and"
            " goes back"
        )
    return f"the images are still being read again for {model.pack}: `status` tells how far it is"
