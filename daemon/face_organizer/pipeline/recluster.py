"""Re-clustering off the hot path: reads a snapshot, thinks, and posts what it found to the gallery.

Room:    pipeline (moves)
Imports: types, ports, identity

One run at a time and at most one waiting: requests that come while one waits share its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face_organizer.identity.assign import nearest
from face_organizer.identity.centroids import Centroids
from face_organizer.identity.cluster import cluster_graph
from face_organizer.identity.elbow import find_elbow
from face_organizer.identity.fixed import cluster_fixed
from face_organizer.identity.graph import symmetric_graph
from face_organizer.identity.kmeans import means
from face_organizer.identity.reconcile import Reconciled, reconcile, told
from face_organizer.pipeline.flow import Reply
from face_organizer.pipeline.messages import ApplyRun, Rules
from face_organizer.ports import Clock, Log, Store, Transaction
from face_organizer.types import NOBODY, Float32, Int64, RunRecord

UNBORN = 1 << 40
"""Ids from here on stand for persons that the gallery will number when it applies the run."""


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The snapshot a run works on, one row a face in id order. vectors: float32 (n, d)."""

    face_ids: Int64
    image_of: Int64
    person_of: Int64
    founder: NDArray[np.bool_]
    vectors: Float32


@dataclass(frozen=True, slots=True)
class When:
    """When to run by itself: after a time, or after growth by a factor and by a number of faces."""

    every_s: float
    growth_factor: float
    growth_faces_min: int


class Recluster:
    """See the module's text. request() from any thread; run() is the service."""

    def __init__(
        self,
        store: Store,
        post: Callable[[ApplyRun], None],
        rules: Rules,
        when: When,
        seed: int,
        log: Log,
        clock: Clock,
        chores: Callable[[Event], None] = lambda stop: None,
        draw: Callable[[Mapping[str, Any]], Path] | None = None,
    ) -> None:
        """chores: what to do meanwhile. draw: shows a curve of find_elbow; returns where, raises OSError."""
        self._store, self._post = store, post
        self.rules, self.when, self._seed = rules, when, seed
        self._log, self._clock = log, clock
        self._chores, self._draw = chores, draw
        self._lock = Lock()
        self._wanted = Event()
        self._waiting: tuple[str, Reply[RunRecord]] | None = None
        self._last_end = clock()
        self._faces_then = 0
        self.running = False
        self.by_itself = True

    def request(self, reason: str) -> Reply[RunRecord]:
        """Ask for a run; the answer comes when it has been applied."""
        with self._lock:
            if self._waiting is None:
                self._waiting = (reason, Reply())
            self._wanted.set()
            return self._waiting[1]

    def remember(self, faces: int) -> None:
        """How many faces the last run before this start had seen."""
        self._faces_then = faces

    def run(self, stop: Event) -> None:
        """The service: until stop, run when asked or due."""
        while not stop.is_set():
            if self._wanted.wait(0.2):
                with self._lock:
                    waiting, self._waiting = self._waiting, None
                    self._wanted.clear()
                if waiting is not None:
                    self._answer(*waiting)
            elif self.by_itself and (reason := self._due()):
                self._answer(reason, Reply())
            else:
                self._chores(stop)

    def _due(self) -> str:
        with self._store.read() as txn:
            faces = txn.faces.count()
        grown = faces - self._faces_then
        people = self.rules.people
        first_min = 5 * people if isinstance(people, int) else self.when.growth_faces_min
        bound = max(first_min, (self.when.growth_factor - 1) * self._faces_then)
        if grown >= bound:
            return "growth"
        if grown > 0 and self._clock() - self._last_end >= self.when.every_s:
            return "timer"
        return ""

    def _answer(self, reason: str, reply: Reply[RunRecord]) -> None:
        self.running = True
        try:
            reply.give(self._recluster(reason))
        except BaseException as error:
            reply.fail(error)
            raise
        finally:
            self.running = False
            self._last_end = self._clock()

    def _recluster(self, reason: str) -> RunRecord:
        start = self._clock()
        with self._store.read() as txn:
            faces = load_faces(txn)
            self._log.info("recluster_started", reason=reason, faces=len(faces.face_ids))
            clusters = self._clusters(txn, faces)
            persons = [person_id for person_id, _ in txn.persons.items()]
        found_out = self._shown(clusters.found)
        self._faces_then = len(faces.face_ids)
        found = reconciled(faces, clusters, self.rules, persons)
        seconds = round(self._clock() - start, 3)
        command = ApplyRun(
            face_ids=faces.face_ids,
            before=faces.person_of,
            after=found.person_of,
            born=found.born,
            merged=dict(found.merged),
            run=RunRecord(
                reason=reason,
                people=str(self.rules.people),
                faces=len(faces.face_ids),
                persons=0,
                born=len(found.born),
                merged=len(found.merged),
                split=len(found.split),
                vanished=len(found.vanished),
                moved=found.moved,
                seconds=seconds,
                found=found_out,
            ),
        )
        self._post(command)
        run_id, run = command.reply.wait()
        self._log.info(
            "recluster_finished",
            run_id=run_id,
            reason=reason,
            faces=run.faces,
            persons=run.persons,
            born=run.born,
            merged=run.merged,
            split=run.split,
            vanished=run.vanished,
            moved=run.moved,
            seconds=seconds,
        )
        return run

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

    def _clusters(self, txn: Transaction, faces: Faces) -> Clusters:
        """Only founders are clustered; the others join the nearest cluster."""
        labels = np.full(len(faces.face_ids), -1, np.int64)
        founders = np.flatnonzero(faces.founder)
        if len(founders) > 0:
            ids = faces.face_ids[founders]
            edges = txn.neighbours(self.rules.neighbours)
            row = np.searchsorted(edges.face_ids, ids)
            graph = symmetric_graph(ids, edges.neighbours[row], edges.similarities[row], self.rules.similarity_link_min)
            labels[founders] = cluster_graph(
                graph,
                faces.vectors[founders],
                similarity_min=self.rules.similarity_link_min,
                image_of=faces.image_of[founders],
            )
        if self.rules.people != "auto":
            return fixed_clusters(faces, labels, self.rules, self._seed)
        join_nearest(faces, labels, np.flatnonzero(~faces.founder), self.rules.similarity_min)
        return Clusters(labels)


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """labels: int64 (n,), -1 for none. persons: int64 (k,), the person each cluster continues, 0 for a new one; None
    where that is still to be found out. found: what else the run found out, plain values."""

    labels: Int64
    persons: Int64 | None = None
    found: Mapping[str, Any] = field(default_factory=dict)


def fixed_clusters(faces: Faces, labels: Int64, rules: Rules, seed: int) -> Clusters:
    """With a number of people, or with the one that the elbow shows. labels: the graph's clusters, to begin at."""
    people, found = rules.people, dict[str, Any]()
    if len(faces.face_ids) == 0:
        return Clusters(labels, np.zeros(0, np.int64))
    if not isinstance(people, int):
        shaping = faces.vectors[faces.founder] if faces.founder.any() else faces.vectors
        curve = find_elbow(
            shaping, rules.elbow_min, rules.elbow_max, similarity_min=rules.similarity_member_min, seed=seed
        )
        people = curve.chosen
        found["elbow"] = {"chosen": curve.chosen, "people": list(curve.people), "cost": list(curve.cost)}
    largest = largest_clusters(faces.vectors, labels, people)
    fixed = cluster_fixed(
        faces.vectors,
        people,
        similarity_min=rules.similarity_member_min,
        learn=rules.learn_member_min,
        seed=seed,
        initial=() if largest is None else (largest,),
        founder=faces.founder,
        image_of=faces.image_of,
        person_of=faces.person_of,
    )
    found |= {"people": people, "similarity_member_min": fixed.similarity_min}
    return Clusters(fixed.labels, fixed.persons, found)


def load_faces(txn: Transaction) -> Faces:
    """Every face of the snapshot, with its vector."""
    n = txn.faces.count()
    face_ids, image_of, person_of = (np.zeros(n, np.int64) for _ in range(3))
    founder = np.zeros(n, np.bool_)
    for row, (face_id, face) in enumerate(txn.faces.items()):
        face_ids[row], image_of[row], founder[row] = face_id, face.image_id, face.founder
    at = {face_id: row for row, face_id in enumerate(face_ids.tolist())}
    for face_id, assignment in txn.assignments.items():
        person_of[at[face_id]] = assignment.person_id
    chunks = [vectors for _, vectors in txn.vector_chunks()]
    vectors = np.concatenate(chunks) if chunks else np.zeros((0, 1), np.float32)
    return Faces(face_ids, image_of, person_of, founder, vectors)


def largest_clusters(vectors: Float32, labels: Int64, people: int) -> Float32 | None:
    """The centroids of the `people` largest clusters, float32 (people, d): where k-means may start. None if fewer."""
    sizes = np.bincount(labels[labels >= 0])
    if np.count_nonzero(sizes) < people:
        return None
    place = np.full(len(sizes) + 1, -1, np.int64)  # the last is for the label -1
    place[np.argsort(-sizes, kind="stable")[:people]] = np.arange(people)
    return means(vectors, place[labels], people)


def join_nearest(faces: Faces, labels: Int64, rows: Int64, similarity_min: float) -> None:
    """Let these faces join the cluster with the nearest centroid, if it is near enough. Changes `labels`."""
    clustered = np.flatnonzero(labels >= 0)
    if len(rows) == 0 or len(clustered) == 0:
        return
    centroids = Centroids(faces.vectors.shape[1])
    centroids.add_all(labels[clustered] + 1, faces.vectors[clustered])
    row, similarity, _ = nearest(faces.vectors[rows], centroids.matrix)
    near = similarity >= similarity_min
    labels[rows[near]] = centroids.ids[row[near]] - 1


def reconciled(faces: Faces, clusters: Clusters, rules: Rules, persons: list[int]) -> Reconciled:
    """The clusters as persons: old ones go on, new ones get ids from UNBORN. persons: every id ever given."""
    if clusters.persons is None:
        return reconcile(
            faces.face_ids,
            clusters.labels,
            faces.person_of,
            faces_min=rules.faces_min,
            named=frozenset(),
            next_person_id=UNBORN,
        )
    return reconciled_fixed(faces, clusters.labels, clusters.persons, persons if isinstance(rules.people, int) else [])


def reconciled_fixed(faces: Faces, labels: Int64, continues: Int64, persons: list[int]) -> Reconciled:
    """With a fixed number of people there are never more persons than that: a cluster that continues nobody takes the
    place of a person that nothing continues, so that person_B stays person_B. New ones in order of their oldest face.

    continues: int64 (k,), the person each cluster continues, 0 for a new one; persons: those whose place may be taken
    """
    person_of_cluster = continues.copy()
    found, first = np.unique(labels, return_index=True)
    new = [int(label) for label in found[np.argsort(first)] if label >= 0 and continues[label] == NOBODY]
    free = sorted(set(persons) - set(continues.tolist()))
    born = tuple(range(UNBORN, UNBORN + len(new) - min(len(new), len(free))))
    for label, person_id in zip(new, [*free, *born], strict=False):
        person_of_cluster[label] = person_id
    person_of = np.where(labels >= 0, person_of_cluster[labels], int(NOBODY))
    return told(person_of, faces.person_of, born, faces_min=1)
