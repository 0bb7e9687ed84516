#!/usr/bin/env python3
"""How steady persons are while faces stream in and re-clusterings run, with the real store, index and gallery.

    python bench/stability.py EMBEDDINGS.npz [--seeds 3] [--seed-first 0] [--every 200] [--names 40]

EMBEDDINGS.npz comes from bench/embed.py: whitened, as the daemon stores them. For each seed the faces arrive in another
order, with a re-clustering every so many images; the largest persons that have none are given a name on the way. Prints
a Markdown table, a line a seed:
moved: of the faces that were placed at one re-clustering, the largest and the mean share with another person after the
next. above: at how many re-clusterings it was more than 1 % although the score of just these faces got no better (bar:
0). lost: names that no face has at the end, or that changed the person (bar: 0). F, bF: at the end; batch bF: of the
same faces enrolled without, and re-clustered once at the end (bar: within .01).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.clustering.galleries import read_faces
from bench.clustering.scores import Scores, scores

from face_organizer.adapters.index import FaceIndex
from face_organizer.adapters.store import open_store
from face_organizer.app.parts import pack_of, rules_of, when_of
from face_organizer.config import Config
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.book import Book
from face_organizer.pipeline.changes import Changes
from face_organizer.pipeline.decide import Decide
from face_organizer.pipeline.gallery import Gallery
from face_organizer.pipeline.recluster import Recluster
from face_organizer.pipeline.roster import load_roster
from face_organizer.pipeline.runs import Runs
from face_organizer.pipeline.service import Service
from face_organizer.types import NOBODY, Detection, ImageRef, SeenFace, SeenImage, Signature

MOVED_MAX = 0.01
AT_ONCE = 8
"""Images in one transaction, as when a daemon is busy."""


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """One image each. who: int (n,); vectors: float32 (n, d); founder: bool (n,)."""

    who: np.ndarray
    vectors: np.ndarray
    founder: np.ndarray


class Silence:
    def info(self, event: str, **fields: Any) -> None: ...

    warning = error = info


class Daemon:
    """What of the daemon decides about persons, without files, networks or waiting."""

    def __init__(self, store: Any, gallery: Gallery, recluster: Recluster, decide: Decide) -> None:
        self.store, self.gallery, self.recluster, self.decide = store, gallery, recluster, decide

    def enrol(self, faces: Faces, rows: np.ndarray) -> None:
        for part in np.array_split(rows, max(1, len(rows) // AT_ONCE)):
            self.gallery.handle([seen(faces, int(row)) for row in part])

    def cluster(self) -> float:
        """Re-cluster and apply it; the seconds it took."""
        start = time.perf_counter()
        self.recluster.request("bench").wait(within_s=600)
        return time.perf_counter() - start

    def persons(self) -> np.ndarray:
        """The person of each face in order of arrival, 0 for nobody."""
        with self.store.read() as txn:
            return np.array([record.person_id for _, record in txn.assignments.items()], np.int64)

    def name(self, person_id: int, name: str) -> None:
        first = int(np.flatnonzero(self.persons() == person_id)[0]) + 1
        self.decide.name(person_id, name, [first])

    def name_of(self, person_id: int) -> str:
        with self.store.read() as txn:
            return str(txn.persons.get(person_id).name)


@contextmanager
def daemon(dimension: int) -> Iterator[Daemon]:
    """The one place that knows how the parts are made."""
    config = Config()
    rules = rules_of(config, pack_of(config.faces))
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "truth", "bench", dimension)
        values = config.index
        index = FaceIndex(
            dimension,
            flat_max_faces=values.flat_max_faces,
            retrain_factor=values.retrain_factor,
            nprobe=None if values.nprobe == "auto" else values.nprobe,
        )
        with store.read() as txn:
            roster = load_roster(txn, dimension)
        log, clock = Silence(), time.monotonic

        def follow(found: Mapping[str, Any]) -> None:
            book.rules = rules.as_found(found)

        book = Book(store, roster, rules)
        changes = Changes(roster, book)
        gallery = Gallery(store, index, roster, book, log, clock, lambda: None, lambda refs: None)
        applier = Applier(changes, lambda work: work())
        runs = Runs(store, changes, applier, lambda file_ids: None)
        recluster = Recluster(
            store, runs, rules, when_of(config), log, clock, lambda: 0.0, roster.picture, on_found=follow
        )
        recluster.by_itself = False
        service = Service("recluster", recluster.run)
        service.start()
        try:
            yield Daemon(store, gallery, recluster, Decide(roster, changes, applier, runs, lambda: 0.0))
        finally:
            service.stop()
            store.close()


def seen(faces: Faces, row: int) -> SeenImage:
    """An image of one face."""
    detection = Detection(np.array([0, 0, 99, 99], np.float32), np.zeros((5, 2), np.float32), 0.9)
    face = SeenFace(detection, faces.vectors[row], 0.9, bool(faces.founder[row]))
    ref = ImageRef(Path(f"/inbox/{row}.jpg"), Signature(1, row, row))
    return SeenImage(ref, row.to_bytes(16, "big"), 100, 100, (face,))


def alone(persons: np.ndarray) -> np.ndarray:
    return np.where(persons == NOBODY, -1, persons)


@dataclass(frozen=True, slots=True)
class Told:
    """One stream. moved: share per re-clustering; above: how many broke the bar; named, lost: names."""

    moved: list[float]
    above: int
    named: int
    lost: list[str]
    scores: Scores
    seconds: list[float]


def stream(faces: Faces, every: int, names: int) -> Told:
    n = len(faces.who)
    moved, seconds, above = [], [], 0
    named: dict[str, int] = {}
    before = np.empty(0, np.int64)
    with daemon(faces.vectors.shape[1]) as made:
        for start in range(0, n, every):
            made.enrol(faces, np.arange(start, min(start + every, n)))
            seconds.append(made.cluster())
            after = made.persons()
            placed = before != NOBODY
            changed = after[: len(before)][placed] != before[placed]
            if len(changed):
                moved.append(float(changed.mean()))
                who = faces.who[: len(before)]
                gain = scores(who, alone(after[: len(before)])).mean_f - scores(who, alone(before)).mean_f
                above += moved[-1] > MOVED_MAX and gain <= 0
            give_names(made, after, named, names * len(after) // n)
            before = after
        lost = [name for name, person in named.items() if not (after == person).any() or made.name_of(person) != name]
    return Told(moved, above, len(named), lost, scores(faces.who, alone(after)), seconds)


def give_names(made: Daemon, persons: np.ndarray, named: dict[str, int], wanted: int) -> None:
    """Name the largest persons that have no name yet, until so many have one."""
    ids, sizes = np.unique(persons[persons != NOBODY], return_counts=True)
    taken = set(named.values())
    for person in ids[np.argsort(-sizes, kind="stable")].tolist():
        if len(named) >= wanted:
            return
        if person not in taken:
            name = f"Name {len(named) + 1}"
            made.name(person, name)
            named[name] = person


def batch(faces: Faces) -> Scores:
    with daemon(faces.vectors.shape[1]) as made:
        made.enrol(faces, np.arange(len(faces.who)))
        made.cluster()
        return scores(faces.who, alone(made.persons()))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("embeddings", type=Path, nargs="+", help="more of them: hard versions, as bench.clustering")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--seed-first", type=int, default=0)
    arguments.add_argument("--every", type=int, default=200)
    arguments.add_argument("--names", type=int, default=40)
    given = arguments.parse_args()
    print("| seed | runs | moved, largest / mean | above | names, lost | F | bF | batch bF | longest run s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for seed in range(given.seed_first, given.seed_first + given.seeds):
        drawn = read_faces(given.embeddings, seed=seed)
        who = np.unique(drawn.people, return_inverse=True)[1]
        faces = Faces(who, drawn.vectors.astype(np.float32), drawn.founder)
        told, whole = stream(faces, given.every, given.names), batch(faces)
        print(
            f"| {seed} | {len(told.seconds)} | {max(told.moved):.2%} / {np.mean(told.moved):.2%} | {told.above} "
            f"| {told.named}, {len(told.lost)} | {told.scores.f:.4f} | {told.scores.b_f:.4f} | {whole.b_f:.4f} "
            f"| {max(told.seconds):.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
