"""Re-clustering off the hot path: reads a snapshot, thinks, and hands what it found on, to be applied or to wait.

Room:    pipeline (moves)
Imports: types, records, errors, ports, identity, pipeline

One run at a time and at most one of a kind waiting: requests that come while one waits share its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event, Lock
from typing import Any, Literal

import numpy as np

from face_organizer.errors import NoRoomError
from face_organizer.identity.diff import Margin, moves, why_wait
from face_organizer.identity.reconcile import Reconciled
from face_organizer.pipeline.answers import RUN_FIGURES
from face_organizer.pipeline.change import pack_ids
from face_organizer.pipeline.growth import clusters_of_growth
from face_organizer.pipeline.messages import Rules
from face_organizer.pipeline.positives import positives_of
from face_organizer.pipeline.pulse import beat, wait
from face_organizer.pipeline.roster import Picture
from face_organizer.pipeline.runs import Runs
from face_organizer.pipeline.service import Reply
from face_organizer.pipeline.think import (
    Clusters,
    Faces,
    clusters_of_everything,
    load_faces,
    moves_bounds,
    pictured,
    reconciled,
    touched_by_humans,
)
from face_organizer.ports import Clock, Log, Store, Transaction
from face_organizer.records import MOVES_MAX, ChangeRecord, ModelRecord, RunRecord
from face_organizer.types import NOBODY

Kept = tuple[int, RunRecord]
"""A run's id and what was written down of it."""


Kind = Literal["unasked", "asked", "proposal"]
"""unasked: by the clock, growth or SIGHUP; applied if it is within the margin. asked: applied. proposal: kept only."""

PUT_OFF_S = 60.0
"""After a run that found a full disk, none runs by itself for so long."""

LITTLE_GROWTH = 1.1
"""A timed run looks only at what is new while the library has grown by less than this since a run over everything."""

KEYS = (
    "similarity_join_min",
    "similarity_link_min",
    "similarity_member_min",
    "faces_min",
    "one_face_per_image",
    "seed",
)
"""The rules that a run is remembered by."""


@dataclass(frozen=True, slots=True)
class Last:
    """What the last run saw: how many faces, up to which one; and how many the last run over everything saw."""

    faces: int = 0
    last_face_id: int = 0
    everything_faces: int = 0


@dataclass(frozen=True, slots=True)
class When:
    """When to run by itself: after a time, or after growth by a factor and by a number of faces. margin: how much such
    a run may change."""

    every_s: float
    growth_factor: float
    growth_faces_min: int
    margin: Margin


class Recluster:
    """See the module's text. request() from any thread; run() is the service."""

    def __init__(
        self,
        store: Store,
        runs: Runs,
        rules: Rules,
        when: When,
        log: Log,
        clock: Clock,
        now: Callable[[], float],
        picture: Callable[[], Picture],
        chores: Callable[[], None] = lambda: None,
        on_found: Callable[[Mapping[str, Any]], None] = lambda found: None,
        draw: Callable[[Mapping[str, Any]], Path] | None = None,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """now(): seconds since 1970, to date a run. picture(): of the roster, from the gallery's thread. chores: what
        to do meanwhile. on_found(found): the bounds of a run, for streaming to go by. draw(curve): shows a curve of
        find_elbow; returns where, raises OSError. has_room(): while not, nothing runs by itself.
        """
        self._store, self._runs = store, runs
        self.rules, self.when = rules, when
        self._log, self._clock, self._now, self._picture = log, clock, now, picture
        self._chores, self._on_found, self._draw = chores, on_found, draw
        self._lock = Lock()
        self._wanted = Event()
        self._waiting: dict[Kind, tuple[str, Reply[Kept]]] = {}
        self._last_end = self._not_before = clock()
        self._has_room, self._owed = has_room, ""
        self._last = Last()
        self.found: Mapping[str, Any] = {}
        self.running = False
        self.by_itself = True

    def request(self, reason: str, kind: Kind = "unasked") -> Reply[Kept]:
        """Ask for a run; the answer comes when it has been applied, or kept as a proposal."""
        with self._lock:
            _, reply = self._waiting.setdefault(kind, (reason, Reply()))
            self._wanted.set()
            return reply

    def remember(self, run: RunRecord | None) -> None:
        """The last run before this start."""
        if run is not None:
            told = run.parameters if run.state == "applied" else {}
            last_face_id, everything = told.get("last_face_id"), told.get("everything_faces")
            self._last = Last(run.faces, int(last_face_id or 0), int(everything or 0))
            self.found = run.found

    def remember_model(self, model: ModelRecord) -> None:
        """No run has looked at the faces as this model sees them; those there already are where people want them."""
        self._last = Last(last_face_id=model.since_face)
        self._owed = "reembed" if model.since_face else ""

    def _is_little_growth(self) -> bool:
        """Are the new faces few against those that the last run over everything saw?"""
        with self._store.read() as txn:
            faces = txn.faces.count()
        return self.rules.people == "auto" and faces <= LITTLE_GROWTH * self._last.everything_faces

    def run(self, stop: Event) -> None:
        """The service: until stop, run when asked or due."""
        while not stop.is_set():
            if wait(self._wanted, 0.2):
                with self._lock:
                    waiting, self._waiting = self._waiting, {}
                    self._wanted.clear()
                for kind, (why, reply) in waiting.items():
                    self._answer(why, kind, reply)
            elif self.by_itself and (reason := self._due()):
                self._answer(reason, "unasked", Reply())
            else:
                self._chores()

    def _due(self) -> str:
        if self._clock() < self._not_before or not self._has_room():
            return ""
        if self._owed:
            return self._owed
        with self._store.read() as txn:
            faces = txn.faces.count()
        grown = faces - self._last.faces
        people = self.rules.people
        first_min = 5 * people if isinstance(people, int) else self.when.growth_faces_min
        bound = max(first_min, (self.when.growth_factor - 1) * self._last.faces)
        if grown >= bound:
            return "growth"
        if grown > 0 and self._clock() - self._last_end >= self.when.every_s:
            return "timer"
        return ""

    def _answer(self, reason: str, kind: Kind, reply: Reply[Kept]) -> None:
        self.running = True
        last, self._owed = self._last, ""
        try:
            reply.give(self._recluster(reason, kind))
        except NoRoomError as error:  # nothing was changed, or what was begun is done later
            self._last, self._not_before = last, self._clock() + PUT_OFF_S
            self._owed = reason if kind == "unasked" else self._owed
            self._log.warning("recluster_put_off", reason=reason, problem=str(error))
            reply.fail(error)
        except BaseException as error:
            reply.fail(error)
            raise
        finally:
            self.running = False
            self._last_end = self._clock()

    def _recluster(self, reason: str, kind: Kind) -> Kept:
        start = self._clock()
        picture = self._picture() if kind == "unasked" and reason == "timer" and self._is_little_growth() else None
        with self._store.read() as txn:  # let go of as soon as it is read: a snapshot keeps old pages alive
            persons = dict(txn.persons.items())
            faces = load_faces(txn) if picture is None else pictured(txn, picture)
            self._log.info("recluster_started", reason=reason, faces=len(faces.face_ids), everything=picture is None)
            last_decision = txn.last_id("decisions")
            if picture is None:
                if moves_bounds(self.rules):
                    faces = replace(faces, positives=positives_of(txn, faces.face_ids, self.rules.seed))
                edges = txn.neighbours(self.rules.neighbours)
            else:
                clusters = self._growth(txn, faces, picture)
        if picture is None:
            beat()
            clusters = clusters_of_everything(faces, edges, self.rules)
        beat()
        seen_before = self._last.last_face_id
        everything_then = len(faces.face_ids) if picture is None else self._last.everything_faces
        self._last = Last(len(faces.face_ids), int(faces.face_ids.max(initial=0)), everything_then)
        touched = touched_by_humans(faces, persons)
        beat()
        found = reconciled(faces, clusters, self.rules, touched, seen_before)
        run = replace(
            self._run(reason, kind, faces, found, touched),
            found=self._shown(clusters.found),
            seconds=round(self._clock() - start, 3),
        )
        run_id, run = self._runs.keep(run, _change(faces, found, last_decision), asked=kind == "asked")
        self.found = clusters.found
        self._on_found(self.found)
        if run.state != "applied":
            self._last = replace(self._last, everything_faces=0)  # what it found is not there to build on
        self._tell(run_id, run)
        return run_id, run

    def _shown(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """What the run found out, the elbow drawn: with the path of the picture."""
        curve = found.get("elbow")
        if curve is None or self._draw is None:
            return dict(found)
        try:
            chart = str(self._draw(curve))
        except OSError as error:
            self._log.error("elbow_not_drawn", people=curve["chosen"], problem=str(error))
            return dict(found)
        self._log.info("elbow_chosen", people=curve["chosen"], chart=chart)
        return {**found, "elbow": {**curve, "chart": chart}}

    def _growth(self, txn: Transaction, faces: Faces, picture: Picture) -> Clusters:
        """New faces and what they touch, by the bounds of the last run over everything."""
        labels = clusters_of_growth(
            txn,
            picture,
            self.rules.as_found(self.found),
            self._last.last_face_id,
            anchor_of=faces.anchor_of,
            rejected=faces.rejections,
        )
        return Clusters(labels, found=self.found)

    def _run(self, reason: str, kind: Kind, faces: Faces, found: Reconciled, touched: AbstractSet[int]) -> RunRecord:
        run = run_of(faces, found, touched, self.rules, self.when.margin)
        if kind != "unasked":
            run = replace(run, waits="asked for as a proposal" if kind == "proposal" else "")
        return replace(run, reason=reason, parameters=parameters_of(self.rules, self._last), at_s=self._now())

    def _tell(self, run_id: int, run: RunRecord) -> None:
        calibration = run.found.get("calibration", {})
        keys = ("similarity_link_min", "false_merge_rate", "false_split_rate")
        told = {key: round(calibration[key], 4) if key in calibration else None for key in keys}
        self._log.info("recluster_finished", run_id=run_id, **{key: getattr(run, key) for key in RUN_FIGURES}, **told)
        if run.waits:
            self._log.warning("recluster_waits", run_id=run_id, why=run.waits)


def parameters_of(rules: Rules, last: Last) -> dict[str, Any]:
    """What a run is to be remembered by."""
    return {key: getattr(rules, key) for key in KEYS} | asdict(last)


def run_of(faces: Faces, found: Reconciled, touched: AbstractSet[int], rules: Rules, margin: Margin) -> RunRecord:
    """What a re-clustering would do, and whether it may do it unasked."""
    moved = moves(faces.face_ids, faces.person_of, found.person_of)
    return RunRecord(
        reason="",
        people=str(rules.people),
        faces=len(faces.face_ids),
        persons=len(np.unique(found.person_of[found.person_of != NOBODY])),
        born=len(found.born),
        merged=len(found.merged),
        split=len(found.split),
        vanished=len(found.vanished),
        moved=found.moved,
        seconds=0.0,
        waits=why_wait(moved, int(np.count_nonzero(faces.person_of)), touched, margin),
        moves=moved[:MOVES_MAX],
        splits=found.split,
        joined=int(np.count_nonzero((faces.person_of == NOBODY) & (found.person_of != NOBODY))),
    )


def _change(faces: Faces, found: Reconciled, last_decision: int) -> ChangeRecord:
    """Only what differs."""
    differs = faces.person_of != found.person_of
    columns = (faces.face_ids, faces.person_of, found.person_of)
    ids, before, after = (pack_ids(column[differs]) for column in columns)
    return ChangeRecord(ids, before, after, "reclustered", merged=dict(found.merged), last_decision=last_decision)
