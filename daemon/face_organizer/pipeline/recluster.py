"""Re-clustering off the hot path: reads a snapshot, thinks, and posts what it found to the gallery.

Room:    pipeline (moves)
Imports: types, ports, identity

One run at a time and at most one waiting: requests that come while one waits share its answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event, Lock

import numpy as np
from numpy.typing import NDArray

from face_organizer.identity.assign import assign_image, nearest
from face_organizer.identity.calibrate import Calibration, calibrate
from face_organizer.identity.centroids import Centroids
from face_organizer.identity.cluster import cluster_graph
from face_organizer.identity.fixed import cluster_fixed
from face_organizer.identity.graph import symmetric_graph
from face_organizer.identity.reconcile import Reconciled, reconcile
from face_organizer.pipeline.flow import Reply
from face_organizer.pipeline.messages import ApplyRun, Rules
from face_organizer.ports import Clock, Log, Store, Transaction
from face_organizer.types import Float32, Int64, RunRecord

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
    ) -> None:
        self._store, self._post = store, post
        self.rules, self.when, self._seed = rules, when, seed
        self._log, self._clock = log, clock
        self._chores = chores
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
        first_min = 5 * self.rules.people if self.rules.people != "auto" else self.when.growth_faces_min
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
            calibration = calibrated(faces, self.rules, self._seed)
            rules = self.rules.moved(calibration.similarity_shift) if calibration else self.rules
            labels = self._clusters(txn, faces, rules)
            persons = [person_id for person_id, _ in txn.persons.items()]
        self._faces_then = len(faces.face_ids)
        found = reconciled(faces, labels, self.rules, persons)
        seconds = round(self._clock() - start, 3)
        command = ApplyRun(
            face_ids=faces.face_ids,
            before=faces.person_of,
            after=found.person_of,
            born=found.born,
            merged=dict(found.merged),
            calibration=calibration,
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
            similarity_link_min=round(rules.similarity_link_min, 3),
            false_merge_rate=round(calibration.false_merge_rate, 4) if calibration else None,
        )
        return run

    def _clusters(self, txn: Transaction, faces: Faces, rules: Rules) -> Int64:
        """A label for each face, -1 for none. Only founders are clustered; the others join the nearest cluster."""
        labels = np.full(len(faces.face_ids), -1, np.int64)
        founders = np.flatnonzero(faces.founder)
        if len(founders) == 0:
            return labels
        ids = faces.face_ids[founders]
        edges = txn.neighbours(rules.neighbours)
        row = np.searchsorted(edges.face_ids, ids)
        graph = symmetric_graph(ids, edges.neighbours[row], edges.similarities[row], rules.similarity_link_min)
        labels[founders] = cluster_graph(
            graph,
            faces.vectors[founders],
            similarity_min=rules.similarity_link_min,
            image_of=faces.image_of[founders],
        )
        if rules.people != "auto":
            labels[founders] = cluster_fixed(
                faces.vectors[founders],
                rules.people,
                similarity_min=rules.similarity_member_min,
                seed=self._seed,
                initial=largest_clusters(faces.vectors[founders], labels[founders], rules.people),
            )
        join_nearest(faces, labels, np.flatnonzero(~faces.founder), rules.similarity_min)
        return labels


def calibrated(faces: Faces, rules: Rules, seed: int) -> Calibration | None:
    """What the library says of the bounds; None where they are not for it to move, or the number of people is fixed."""
    if rules.impostors is None or rules.people != "auto":
        return None
    founders = np.flatnonzero(faces.founder)
    return calibrate(
        faces.vectors[founders],
        faces.person_of[founders],
        faces.image_of[founders],
        pack=rules.impostors,
        similarity_link_min=rules.similarity_link_min,
        false_merge_max=rules.false_merge_max,
        seed=seed,
    )


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
    largest = np.argsort(-sizes, kind="stable")[:people]
    means = np.stack([vectors[labels == label].mean(axis=0) for label in largest])
    unit: Float32 = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
    return unit


def join_nearest(faces: Faces, labels: Int64, rows: Int64, similarity_min: float) -> None:
    """Let these faces join the cluster with the nearest centroid, if it is near enough and holds no other face of their
    image. Changes `labels`."""
    clustered = np.flatnonzero(labels >= 0)
    if len(rows) == 0 or len(clustered) == 0:
        return
    centroids = Centroids(faces.vectors.shape[1])
    centroids.add_all(labels[clustered] + 1, faces.vectors[clustered])
    row, similarity, _ = nearest(faces.vectors[rows], centroids.matrix)
    near = similarity >= similarity_min
    rows, wanted = rows[near], centroids.ids[row[near]] - 1
    order = np.argsort(faces.image_of, kind="stable")
    first, last = (np.searchsorted(faces.image_of[order], faces.image_of[rows], side) for side in ("left", "right"))
    alone = last - first == 1
    labels[rows[alone]] = wanted[alone]
    for start, end in sorted(set(zip(first[~alone].tolist(), last[~alone].tolist(), strict=True))):
        photo = order[start:end]
        free = ~np.isin(centroids.ids, labels[photo] + 1)
        joining = photo[np.isin(photo, rows)]
        chosen = assign_image(faces.vectors[joining], centroids.ids[free], centroids.matrix[free], similarity_min)
        labels[joining] = [assignment.person_id - 1 for assignment in chosen]


def reconciled(faces: Faces, labels: Int64, rules: Rules, persons: list[int]) -> Reconciled:
    """The clusters as persons: old ones go on by overlap, new ones get ids from UNBORN.

    persons: every id ever given. With a fixed number of people there are never more persons than that: a cluster that
    continues nobody takes the place of a person that nothing continues, so that person_B stays person_B.
    """
    fixed = rules.people != "auto"
    found = reconcile(
        faces.face_ids,
        labels,
        faces.person_of,
        faces_min=1 if fixed else rules.faces_min,
        named=frozenset(),
        next_person_id=UNBORN,
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
