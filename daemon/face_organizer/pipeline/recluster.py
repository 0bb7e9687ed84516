"""Re-clustering off the hot path: reads a snapshot, thinks, and hands what it found on, to be applied or to wait.

Room:    pipeline (moves)
Imports: types, ports, identity, runs

One run at a time and at most one of a kind waiting: requests that come while one waits share its answer.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from threading import Event, Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from face_organizer.identity.assign import nearest
from face_organizer.identity.centroids import Centroids
from face_organizer.identity.cluster import cluster_graph
from face_organizer.identity.diff import Margin, moves, why_wait
from face_organizer.identity.fixed import cluster_fixed
from face_organizer.identity.graph import symmetric_graph
from face_organizer.identity.reconcile import Reconciled, reconcile
from face_organizer.pipeline.book import constraints_of, pack_ids
from face_organizer.pipeline.flow import Reply
from face_organizer.pipeline.growth import clusters_of_growth
from face_organizer.pipeline.messages import Rules
from face_organizer.pipeline.roster import Picture
from face_organizer.pipeline.runs import Runs
from face_organizer.ports import Clock, Log, Store, Transaction
from face_organizer.types import MOVES_MAX, NOBODY, UNBORN, ChangeRecord, Float16, Float32, Int64, RunRecord

Kept = tuple[int, RunRecord]
"""A run's id and what was written down of it."""


Kind = Literal["unasked", "asked", "proposal"]
"""unasked: by the clock, growth or SIGHUP; applied if it is within the margin. asked: applied. proposal: kept only."""

LITTLE_GROWTH = 1.1
"""A timed run looks only at what is new while the library has grown by less than this since a run over everything."""

KEYS = ("similarity_join_min", "similarity_link_min", "similarity_member_min", "faces_min", "one_face_per_image")


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The snapshot a run works on, one row a face in id order. vectors: float16 (n, d), as stored; none in a run after
    growth, which reads only those it needs.

    anchor_of: int64 (n,), who a human confirmed each face to be, 0 for nobody. rejections: int64 (r, 2), (row, a person
    that the face is not).
    """

    face_ids: Int64
    image_of: Int64
    person_of: Int64
    founder: NDArray[np.bool_]
    vectors: Float16
    anchor_of: Int64
    rejections: Int64


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
        seed: int,
        log: Log,
        clock: Clock,
        now: Callable[[], float],
        picture: Callable[[], Picture],
        chores: Callable[[Event], None] = lambda stop: None,
    ) -> None:
        """now(): seconds since 1970, to date a run. picture(): of the roster, from the gallery's thread."""
        self._store, self._runs = store, runs
        self.rules, self.when, self._seed = rules, when, seed
        self._log, self._clock, self._now, self._picture = log, clock, now, picture
        self._chores = chores
        self._lock = Lock()
        self._wanted = Event()
        self._waiting: dict[Kind, tuple[str, Reply[Kept]]] = {}
        self._last_end = clock()
        self._last = Last()
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

    def _is_little_growth(self) -> bool:
        """Are the new faces few against those that the last run over everything saw?"""
        with self._store.read() as txn:
            faces = txn.faces.count()
        return self.rules.people == "auto" and faces <= LITTLE_GROWTH * self._last.everything_faces

    def run(self, stop: Event) -> None:
        """The service: until stop, run when asked or due."""
        while not stop.is_set():
            if self._wanted.wait(0.2):
                with self._lock:
                    waiting, self._waiting = self._waiting, {}
                    self._wanted.clear()
                for kind, (why, reply) in waiting.items():
                    self._answer(why, kind, reply)
            elif self.by_itself and (reason := self._due()):
                self._answer(reason, "unasked", Reply())
            else:
                self._chores(stop)

    def _due(self) -> str:
        with self._store.read() as txn:
            faces = txn.faces.count()
        grown = faces - self._last.faces
        first_min = 5 * self.rules.people if self.rules.people != "auto" else self.when.growth_faces_min
        bound = max(first_min, (self.when.growth_factor - 1) * self._last.faces)
        if grown >= bound:
            return "growth"
        if grown > 0 and self._clock() - self._last_end >= self.when.every_s:
            return "timer"
        return ""

    def _answer(self, reason: str, kind: Kind, reply: Reply[Kept]) -> None:
        self.running = True
        try:
            reply.give(self._recluster(reason, kind))
        except BaseException as error:
            reply.fail(error)
            raise
        finally:
            self.running = False
            self._last_end = self._clock()

    def _recluster(self, reason: str, kind: Kind) -> Kept:
        start = self._clock()
        picture = self._picture() if kind == "unasked" and reason == "timer" and self._is_little_growth() else None
        with self._store.read() as txn:
            faces = load_faces(txn) if picture is None else pictured(txn, picture)
            self._log.info("recluster_started", reason=reason, faces=len(faces.face_ids), everything=picture is None)
            if picture is None:
                labels = self._clusters(txn, faces)
            else:
                told = {"anchor_of": faces.anchor_of, "rejected": faces.rejections}
                labels = clusters_of_growth(txn, picture, self.rules, self._last.last_face_id, **told)
            persons = dict(txn.persons.items())
        everything_then = len(faces.face_ids) if picture is None else self._last.everything_faces
        self._last = Last(len(faces.face_ids), int(faces.face_ids.max(initial=0)), everything_then)
        touched = {id_ for id_, each in persons.items() if each.named or each.hidden} | set(faces.anchor_of.tolist())
        found = reconciled(faces, labels, self.rules, sorted(persons), frozenset(touched) - {int(NOBODY)})
        seconds = round(self._clock() - start, 3)
        run_id, run = self._runs.keep(
            self._run(reason, kind, faces, found, frozenset(touched), seconds),
            _change(faces, found),
            asked=kind == "asked",
        )
        if run.state != "applied":
            self._last = replace(self._last, everything_faces=0)  # what it found is not there to build on
        self._tell(run_id, run)
        return run_id, run

    def _run(
        self, reason: str, kind: Kind, faces: Faces, found: Reconciled, touched: AbstractSet[int], seconds: float
    ) -> RunRecord:
        moved = moves(faces.face_ids, faces.person_of, found.person_of)
        waits = "asked for as a proposal" if kind == "proposal" else ""
        if kind == "unasked":
            waits = why_wait(moved, int(np.count_nonzero(faces.person_of)), touched, self.when.margin)
        return RunRecord(
            reason=reason,
            people=str(self.rules.people),
            faces=len(faces.face_ids),
            persons=len(np.unique(found.person_of[found.person_of != NOBODY])),
            born=len(found.born),
            merged=len(found.merged),
            split=len(found.split),
            vanished=len(found.vanished),
            moved=found.moved,
            seconds=seconds,
            waits=waits,
            parameters={key: getattr(self.rules, key) for key in KEYS} | {"seed": self._seed} | asdict(self._last),
            moves=moved[:MOVES_MAX],
            at_s=self._now(),
        )

    def _tell(self, run_id: int, run: RunRecord) -> None:
        keys = ("reason", "faces", "persons", "born", "merged", "split", "vanished", "moved", "seconds", "state")
        self._log.info("recluster_finished", run_id=run_id, **{key: getattr(run, key) for key in keys})
        if run.waits:
            self._log.warning("recluster_waits", run_id=run_id, why=run.waits)

    def _clusters(self, txn: Transaction, faces: Faces) -> Int64:
        """A label for each face, -1 for none. Only founders are clustered; the others join the nearest cluster."""
        labels = np.full(len(faces.face_ids), -1, np.int64)
        founders = np.flatnonzero(faces.founder)
        if len(founders) == 0:
            return labels
        ids = faces.face_ids[founders]
        edges = txn.neighbours(self.rules.neighbours)
        row = np.searchsorted(edges.face_ids, ids)
        graph = symmetric_graph(ids, edges.neighbours[row], edges.similarities[row], self.rules.similarity_link_min)
        labels[founders] = cluster_graph(
            graph,
            faces.vectors[founders],
            similarity_min=self.rules.similarity_link_min,
            image_of=faces.image_of[founders] if self.rules.one_face_per_image else None,
            anchor_of=faces.anchor_of[founders],
            rejected=_within(faces.rejections, founders),
        )
        if self.rules.people != "auto":
            labels[founders] = cluster_fixed(
                faces.vectors[founders],
                self.rules.people,
                similarity_min=self.rules.similarity_member_min,
                seed=self._seed,
                initial=largest_clusters(faces.vectors[founders], labels[founders], self.rules.people),
            )
        join_nearest(faces, labels, np.flatnonzero(~faces.founder), self.rules.similarity_min)
        return labels


def load_faces(txn: Transaction) -> Faces:
    """Every face of the snapshot, with its vector."""
    table = txn.face_table()
    face_ids, vectors = txn.vectors_from()
    assert np.array_equal(face_ids, table.face_ids), "a face without a vector, or a vector without a face"
    constraints = constraints_of(txn)
    anchor_of, rejections = constraints.anchors(face_ids), constraints.rejections(face_ids)
    return Faces(face_ids, table.image_of, table.person_of, table.founder, vectors, anchor_of, rejections)


def pictured(txn: Transaction, picture: Picture) -> Faces:
    """The same without vectors, from the roster: nothing that grows with the library is read."""
    constraints = constraints_of(txn)
    ids = picture.face_ids
    none = np.empty((0, 1), np.float16)
    anchor_of, rejections = constraints.anchors(ids), constraints.rejections(ids)
    return Faces(ids, picture.image_of, picture.person_of, picture.founder, none, anchor_of, rejections)


def _within(rejections: Int64, rows: Int64) -> Int64:
    """The rejections of some of the rows, numbered among these. rows: ascending."""
    kept = rejections[np.isin(rejections[:, 0], rows)]
    return np.stack([np.searchsorted(rows, kept[:, 0]), kept[:, 1]], axis=1)


def _change(faces: Faces, found: Reconciled) -> ChangeRecord:
    """Only what differs."""
    differs = faces.person_of != found.person_of
    columns = (faces.face_ids, faces.person_of, found.person_of)
    ids, before, after = (pack_ids(column[differs]) for column in columns)
    return ChangeRecord(ids, before, after, "reclustered", merged=dict(found.merged))


def largest_clusters(vectors: Float16, labels: Int64, people: int) -> Float32 | None:
    """The centroids of the `people` largest clusters, float32 (people, d): where k-means may start. None if fewer."""
    sizes = np.bincount(labels[labels >= 0])
    if np.count_nonzero(sizes) < people:
        return None
    largest = np.argsort(-sizes, kind="stable")[:people]
    means = np.stack([vectors[labels == label].mean(axis=0, dtype=np.float32) for label in largest])
    unit: Float32 = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
    return unit


def join_nearest(faces: Faces, labels: Int64, rows: Int64, similarity_min: float) -> None:
    """Let these faces join the cluster with the nearest centroid, if it is near enough. Changes `labels`."""
    clustered = np.flatnonzero(labels >= 0)
    if len(rows) == 0 or len(clustered) == 0:
        return
    centroids = Centroids(faces.vectors.shape[1])
    centroids.add_all(labels[clustered] + 1, faces.vectors[clustered])
    row, similarity, _ = nearest(faces.vectors[rows].astype(np.float32), centroids.matrix)
    near = similarity >= similarity_min
    labels[rows[near]] = centroids.ids[row[near]] - 1


def reconciled(faces: Faces, labels: Int64, rules: Rules, persons: list[int], named: AbstractSet[int]) -> Reconciled:
    """The clusters as persons: old ones go on by overlap, new ones get ids from UNBORN. Humans have the last word.

    persons: every id ever given. named: persons that a human touched. With a fixed number of people there are never
    more persons than that: a cluster that continues nobody takes the place of a person that nothing continues, so that
    person_B stays person_B.
    """
    fixed = rules.people != "auto"
    found = reconcile(
        faces.face_ids,
        labels,
        faces.person_of,
        faces_min=1 if fixed else rules.faces_min,
        named=named,
        next_person_id=UNBORN,
        anchor_of=faces.anchor_of,
        rejections=faces.rejections,
    )
    free = sorted(set(persons) - set(found.person_of.tolist())) if fixed else []
    person_of = found.person_of.copy()
    taken = dict(zip(found.born, free, strict=False))
    for unborn, person_id in taken.items():
        person_of[person_of == unborn] = person_id
    return replace(
        found,
        person_of=person_of,
        born=found.born[len(taken) :],
        merged={old: taken.get(heir, heir) for old, heir in found.merged.items() if old not in taken.values()},
        vanished=tuple(old for old in found.vanished if old not in taken.values()),
    )
