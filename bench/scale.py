#!/usr/bin/env python3
"""What a large gallery costs: enrolling a face, re-clustering everything, re-clustering after growth, and the stall.

    python bench/scale.py [--faces 500000] [--dimensions 512] [--folder DIR]

Synthetic faces, the real store, index, roster and gallery. Prepares the library in a process of its own (kept in DIR,
if given), so that the memory told is that of a daemon. 1 % more faces come through the gallery. One BLAS thread, as
everything here runs beside the networks.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from face_organizer.adapters.index import FaceIndex
from face_organizer.adapters.neighbours import neighbours_of_all
from face_organizer.adapters.store import LmdbStore, open_store
from face_organizer.identity.assign import assign_image
from face_organizer.identity.cluster import cluster_graph
from face_organizer.identity.graph import symmetric_graph
from face_organizer.identity.reconcile import reconcile
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.book import Book
from face_organizer.pipeline.change import pack_ids
from face_organizer.pipeline.changes import Changes
from face_organizer.pipeline.gallery import Gallery
from face_organizer.pipeline.growth import clusters_of_growth
from face_organizer.pipeline.messages import Rules
from face_organizer.pipeline.roster import Roster, load_roster
from face_organizer.pipeline.runs import Runs
from face_organizer.pipeline.think import calibrated, clusters_of, load_faces
from face_organizer.records import AssignmentRecord, ChangeRecord, FaceRecord, ImageRecord, PersonRecord, RunRecord
from face_organizer.types import Detection, ImageRef, Impostors, SeenFace, SeenImage, Signature

try:
    from bench.clustering.galleries import synthetic
    from bench.clustering.scores import scores
except ImportError:
    from bench.clustering import scores, synthetic

K = 20
BOUND = 0.35
RULES = Rules("auto", "move", 2, 0.40, BOUND, 0.35, K)
IMPOSTORS = Impostors(0.0, 0.05, (1e-3, 1e-5), (3.2, 5.0))
"""Any: it is the time that is told."""
GROWTH = 0.01
SINGLE = 300
RUN = RunRecord("bench", "auto", 0, 0, 0, 0, 0, 0, 0, 0.0)


class Silence:
    def info(self, event: str, **fields: Any) -> None: ...

    warning = error = info


# the library as it is before


def prepare(folder: Path, faces: int, dimensions: int) -> None:
    """A library of so many faces with their persons, and what comes after it: new.npy, who.npy (n + new,)."""
    grown = faces + int(faces * GROWTH) + 6 * SINGLE
    vectors, who = synthetic(grown, dimensions, largest=0, seed=0)
    grown = len(who)
    np.save(folder / "new.npy", vectors[faces:])
    np.save(folder / "who.npy", who)
    vectors = vectors[:faces]
    with measured("graph from nothing"):
        rows, similarities = neighbours_of_all(vectors, K, similarity_min=0.25, threads=2)
    with measured("clusters of it"):
        graph = symmetric_graph(np.arange(faces), rows.astype(np.int64), similarities, BOUND)
        labels = cluster_graph(graph, vectors, similarity_min=BOUND)
    told(who[:faces], labels)
    with measured("written to the store"):
        write(open_store(folder / "truth", "bench", dimensions), vectors, rows, similarities, labels)


def write(
    store: LmdbStore, vectors: np.ndarray, rows: np.ndarray, similarities: np.ndarray, labels: np.ndarray
) -> None:
    sizes = np.bincount(labels)
    person_of = np.where(sizes[labels] >= RULES.faces_min, labels + 1, 0).tolist()
    for start in range(0, len(vectors), 20_000):
        with store.write() as txn:
            for row in range(start, min(start + 20_000, len(vectors))):
                face_id = txn.new_id("faces")
                assert face_id == txn.new_id("images") == row + 1
                txn.images.put(face_id, ImageRecord(face_id.to_bytes(16, "big"), 100, 100, (face_id,), ()))
                box, landmarks = (12.5, 20.25, 98.75, 110.5), tuple(10.25 + 7 * i for i in range(10))
                txn.faces.put(face_id, FaceRecord(face_id, box, landmarks, 0.9123, 0.8, True))
                txn.put_face_vector(face_id, vectors[row].astype(np.float32))
                txn.put_neighbours(face_id, np.where(rows[row] < 0, -1, rows[row] + 1), similarities[row])
                txn.assignments.put(face_id, AssignmentRecord(person_of[row], 0.7, 0.5, "joined"))
    with store.write() as txn:
        for person_id in range(1, len(sizes) + 1):
            assert txn.new_id("persons") == person_id
            if sizes[person_id - 1] >= RULES.faces_min:
                txn.persons.put(person_id, PersonRecord(f"person_{person_id}", f"person_{person_id}"))
    store.close()


# what is measured


class TimedIndex(FaceIndex):
    """Notes how long each addition took."""

    added: list[float]

    def add(self, face_ids: np.ndarray, vectors: np.ndarray) -> None:
        start = time.perf_counter()
        super().add(face_ids, vectors)
        self.added = [*getattr(self, "added", []), time.perf_counter() - start]


class Library:
    """The store, the index and the gallery as the daemon has them. A face comes in by `enrol`."""

    def __init__(self, folder: Path, threads: int) -> None:
        new, self.who = np.load(folder / "new.npy"), np.load(folder / "who.npy")
        self.coming = iter(new.astype(np.float32))
        self.store = open_store(folder / "truth", "bench", new.shape[1])
        self.index = TimedIndex(new.shape[1], flat_max_faces=20_000, retrain_factor=4, nprobe=32, threads=threads)
        with self.store.read() as txn:
            with measured("roster loaded"):
                self.roster: Roster = load_roster(txn, self.store.dimension)
            saved = folder / "index"
            if self.index.load(saved, fingerprint="bench", generation=0):
                with measured("index trained and filled"):
                    nothing = (np.empty(0, np.int64), np.empty((0, self.store.dimension), np.float32))
                    self.index.swap(self.index.train(txn.vector_chunks, txn.faces.count()), *nothing)
                self.index.save(saved, fingerprint="bench", generation=0)
            for face_ids, vectors in txn.vector_chunks(self.index.last_face_id + 1):
                self.index.add(face_ids, vectors)
        self.book = Book(self.store, self.roster, RULES)
        self.changes = Changes(self.roster, self.book)
        self.gallery = Gallery(
            self.store, self.index, self.roster, self.book, Silence(), time.monotonic, lambda: None, lambda refs: None
        )
        self._number = time.time_ns()  # so that no image comes twice

    def images(self, count: int) -> list[SeenImage]:
        return [self._image(vector) for _, vector in zip(range(count), self.coming, strict=False)]

    def _image(self, vector: np.ndarray) -> SeenImage:
        self._number += 1
        detection = Detection(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 0.9)
        ref = ImageRef(Path(f"/in/{self._number}.jpg"), Signature(1, self._number, 1))
        face = SeenFace(detection, vector, 0.8, True)
        return SeenImage(ref, self._number.to_bytes(16, "big"), 100, 100, (face,))


def enrolling(library: Library) -> None:
    """(a): the assignment, the neighbours and the addition to the index, each alone; and the whole with its commit."""
    centroids = library.roster.centroids
    images = library.images(SINGLE)
    parts: dict[str, list[float]] = {"assign": [], "neighbours": [], "record and commit": []}
    for image in images:
        vector = image.faces[0].embedding
        start = time.perf_counter()
        assign_image(vector[None], centroids.ids, centroids.matrix, RULES.similarity_min)
        assigned = time.perf_counter()
        library.index.search(vector[None], K)
        searched = time.perf_counter()
        library.gallery.handle([image])
        for name, seconds in zip(
            parts, (assigned - start, searched - assigned, time.perf_counter() - searched), strict=True
        ):
            parts[name].append(seconds)
    whole, adds = parts.pop("record and commit"), library.index.added[-SINGLE:]
    parts |= {"add to the index": adds}
    parts["the three"] = np.sum(list(parts.values()), axis=0).tolist()
    parts["with the record and its commit"] = whole
    for name, seconds in parts.items():
        print(f"enrol one face: {name:32} {quantiles(seconds)}", flush=True)


def enrolled(library: Library, count: int, pause_s: float = 0.0, until: Callable[[], bool] = bool) -> Iterator[float]:
    """Enrol faces one by one; how long each took."""
    for image in library.images(count):
        start = time.perf_counter()
        library.gallery.handle([image])
        yield time.perf_counter() - start
        if until():
            return
        time.sleep(pause_s)


def everything(library: Library) -> np.ndarray:
    """(b): a full run from the store, as `pipeline/recluster.py` does it, but for the applying."""
    with library.store.read() as txn:
        with measured("  faces read"):
            faces = load_faces(txn)
        with measured("  edges read"):
            edges = txn.neighbours(K)
    with measured("  calibration"):
        calibrated(faces, replace(RULES, impostors=IMPOSTORS))
    with measured("  graph and clusters"):
        labels = clusters_of(faces, edges, RULES).labels
    with measured("  persons"):
        reconciled(faces.face_ids, labels, faces.person_of)
    return labels


def growth(library: Library, last_face_id: int) -> np.ndarray:
    """(c): the same after growth."""
    with measured("  picture"):
        picture = library.roster.picture()
    with library.store.read() as txn, measured("  clusters"):
        labels = clusters_of_growth(txn, picture, RULES, last_face_id)
    with measured("  persons"):
        reconciled(picture.face_ids, labels, picture.person_of)
    return labels


def reconciled(face_ids: np.ndarray, labels: np.ndarray, person_of: np.ndarray) -> None:
    found = reconcile(face_ids, labels, person_of, faces_min=2, named=frozenset(), next_person_id=1 << 40)
    print(
        f"    {len(found.born)} born, {len(found.merged)} merged, {len(found.split)} split, {found.moved} faces moved"
    )


def stalled(library: Library, run: Callable[[], object], pause_s: float) -> None:
    """(d): how long a face takes while another thread re-clusters."""
    thread = threading.Thread(target=run)
    thread.start()
    seconds = list(enrolled(library, 2 * SINGLE, pause_s, until=lambda: not thread.is_alive()))
    thread.join()
    print(f"enrol one face beside it: {quantiles(seconds)} ({len(seconds)} faces)", flush=True)


def applied(library: Library, faces: int) -> None:
    """What a chunk of an applied run costs the gallery: so many faces change their person."""
    ids = np.flatnonzero(library.roster.person_of)[:faces]
    before = library.roster.person_of[ids].copy()
    persons = np.unique(before)
    after = persons[(np.searchsorted(persons, before) + 1) % len(persons)]
    chunks: list[float] = []

    def in_gallery(work: Callable[[], object]) -> object:
        start = time.perf_counter()
        answer = work()
        chunks.append(time.perf_counter() - start)
        return answer

    runs = Runs(library.store, library.changes, Applier(library.changes, in_gallery), lambda: None)
    for change in ((before, after), (after, before)):
        columns = (pack_ids(column) for column in (ids, *change))
        with measured(f"{faces} faces applied"):
            runs.keep(RUN, ChangeRecord(*columns, "reclustered"), asked=True)
    print(f"gallery held by each part of it: {quantiles(chunks)}", flush=True)


# telling


@contextmanager
def measured(what: str) -> Iterator[None]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    start, cpu = time.perf_counter(), time.process_time()
    yield
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak, file = (int(status[key].split()[0]) / 1e6 for key in ("VmHWM", "RssFile"))
    print(f"{what:32} {seconds:8.2f} s  {cpu:8.2f} s of CPU  peak {peak:.2f} GB ({file:.2f} of files)", flush=True)


def quantiles(seconds: list[float]) -> str:
    p05, median, p95, p99 = np.quantile(seconds, [0.05, 0.5, 0.95, 0.99]) * 1000
    return f"p05 {p05:5.2f}  median {median:6.2f}  p95 {p95:6.2f}  p99 {p99:6.2f}  worst {max(seconds) * 1000:6.2f} ms"


def told(who: np.ndarray, labels: np.ndarray) -> None:
    print(f"    {scores(who, labels)}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--faces", type=int, default=500_000)
    arguments.add_argument("--dimensions", type=int, default=512)
    arguments.add_argument("--threads", type=int, default=1, help="of FAISS in the gallery")
    arguments.add_argument("--folder", type=Path)
    arguments.add_argument("--prepare", action="store_true", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.prepare:
        prepare(given.folder, given.faces, given.dimensions)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        if not (folder / "truth").exists():
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--prepare", "--folder", str(folder)], check=True)
        library = Library(folder, given.threads)
        enrolling(library)
        with measured("full, graph kept"):
            everything(library)
        print(f"enrol one face alone: {quantiles(list(enrolled(library, SINGLE, 0.02)))}", flush=True)
        stalled(library, lambda: everything(library), 0.02)
        last = int(np.flatnonzero(library.roster.image_of)[-1])
        grown = library.images(int(given.faces * GROWTH))
        with measured(f"{len(grown)} faces enrolled"):
            for start in range(0, len(grown), 64):
                library.gallery.handle([*grown[start : start + 64]])
        with measured("after growth"):
            some = growth(library, last)
        with measured("full, after the same growth"):
            every = everything(library)
        n = given.faces
        for labels in (some, every):
            told(library.who[:n], labels[:n])
        applied(library, 5_000)


if __name__ == "__main__":
    main()
