"""The nearest faces, by FAISS: exact while small, an inverted file (IVF) once training pays.

Room:    adapters (touches FAISS and its file)
Imports: types, ports, centroids, disk, gate, private, recall, faiss, numpy

The index is a view: whatever is wrong with its file, it is rebuilt from the store. FAISS has no checksum (zeros in the
middle of a file load without a word and answer wrongly), so a sidecar with the file's sha256 stands beside it.
The inverted file keeps float16: what the store keeps is just that, so nothing is lost, and half the memory is looked
through in half the time.
Sizes of the inverted file: github.com/facebookresearch/faiss/wiki/Guidelines-to-choose-an-index, and
faiss/Clustering.h (39 to 256 training points a list).
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from face_organizer.adapters.centroids import centroids_of, inverted_file
from face_organizer.adapters.disk import flush, free_bytes
from face_organizer.adapters.gate import Gate
from face_organizer.adapters.private import make_private_folder, touch_private, write_private
from face_organizer.adapters.recall import PROBES_AT_ONCE, RECALL_AIMED, Tuned, lists_needed, nprobe_for, searched
from face_organizer.ports import CentroidFinder, VectorSource
from face_organizer.types import Float32, Int64

_POINTS_PER_LIST = 48
_TRAINING_ROUNDS = 10
_RETUNED_AFTER = 1.5
_STREAMED_NPROBE = 32
"""With "auto": what enrolment looks at. It asks for neighbours of every face that comes, and misses few that matter."""

_SIDECAR_KEYS = frozenset({"sha256", "ntotal", "d", "trained_on", "last_face_id", "fingerprint", "generation"})


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """An index and what is in it. last_face_id: its newest face, 0 if none. Built aside, later faces are missing."""

    index: Any
    count: int
    trained_on: int
    last_face_id: int


class FaceIndex:
    """Nearest faces by cosine, as the Index port wants it.

    nprobe: the lists that are looked at; None: some for enrolment, and for thorough searches as many as `tune` finds to
    be needed, all until it did.

    Threads: any thread searches, side by side; one thread adds and swaps; one saves. `train` touches nothing that is
    live and may run anywhere. threads: how many FAISS uses for one call (it runs beside the networks).
    find_centroids: where the lists shall lie; None: centroids_of.
    """

    def __init__(
        self,
        d: int,
        *,
        flat_max_faces: int,
        retrain_factor: float,
        nprobe: int | None,
        threads: int = 1,
        find_centroids: CentroidFinder | None = None,
    ) -> None:
        self.d = d
        self._flat_max_faces = flat_max_faces
        self._retrain_factor = retrain_factor
        self._nprobe, self._is_tuned = nprobe or _STREAMED_NPROBE, nprobe is None
        self._threads = threads
        self._find_centroids = find_centroids or partial(centroids_of, threads=threads)
        self._gate = Gate()
        self._live = _empty(d)
        self.tuned: Tuned | None = None

    @property
    def count(self) -> int:
        return self._live.count

    @property
    def trained_on(self) -> int:
        """How many faces the inverted file was trained for; 0 while the index is exact."""
        return self._live.trained_on

    @property
    def last_face_id(self) -> int:
        """The largest face id in the index, 0 if there is none."""
        return self._live.last_face_id

    def search(self, probes: Float32, k: int, *, thorough: bool = False) -> tuple[Int64, Float32]:
        """probes: float32 (n, d) unit rows; returns face ids int64 (n, k), -1 where there are fewer, and
        similarities float32 (n, k), best first, -1 where there is no face. thorough: for a human, who wants all."""
        assert probes.shape == (len(probes), self.d), (probes.shape, self.d)
        with self._gate.passing():
            self._limit_threads()
            live = self._live
            if live.trained_on and thorough and self._is_tuned:
                tuned = self.tuned
                similarities, face_ids = searched(live.index, probes, k, tuned.nprobe if tuned else live.index.nlist)
            else:
                similarities, face_ids = live.index.search(np.ascontiguousarray(probes, np.float32), k)
        similarities[face_ids < 0] = -1.0
        return face_ids, similarities

    def add(self, face_ids: Int64, vectors: Float32) -> None:
        """face_ids: int64 (n,), never added before; vectors: float32 (n, d) unit rows."""
        assert vectors.shape == (len(face_ids), self.d), (vectors.shape, face_ids.shape, self.d)
        if len(face_ids) == 0:
            return
        with self._gate.alone():
            self._limit_threads()
            self._live = _added(self._live, face_ids, vectors)

    def needs_training(self) -> bool:
        """Is it time for a new inverted file: the exact index has grown too slow, or the trained one too large?"""
        if self.trained_on == 0:
            return self.count > self._flat_max_faces
        return self.count > self._retrain_factor * self.trained_on

    def train(self, source: VectorSource, count: int) -> Trained:
        """Build a new inverted file of everything in source, aside. count: how many faces source has, at least 39.

        Twice reads source: once for a sample drawn evenly, once to add. Takes seconds to minutes.
        """
        faiss.omp_set_num_threads(self._threads)
        nlist = max(1, min(int(4 * math.sqrt(count)), count // 39))
        sample = _evenly(source, count, min(count, nlist * _POINTS_PER_LIST), self.d)
        index = inverted_file(self._find_centroids(sample, nlist, rounds=_TRAINING_ROUNDS), self._nprobe)
        built = Trained(index, 0, count, 0)
        for face_ids, vectors in source():
            built = _added(built, face_ids, vectors)
        return built

    def needs_tuning(self) -> bool:
        """Was it never tuned as it is, or for half as many faces?"""
        return self.trained_on > 0 and (self.tuned is None or self.count > _RETUNED_AFTER * self.tuned.faces)

    def tune(self, face_ids: Int64, probes: Float32, step: Callable[[], object] = lambda: None) -> Tuned:
        """Find out how many lists a thorough search needs, and what it finds then. Seconds; any thread.

        face_ids: int64 (n,), of stored faces; probes: float32 (n, d), their vectors; step: called at every step.
        """
        live, needed = self._live, [np.empty(0, np.int64)]
        for start in range(0, len(probes), PROBES_AT_ONCE):
            part = slice(start, start + PROBES_AT_ONCE)
            step()
            with self._gate.passing():
                self._limit_threads()
                needed.append(lists_needed(live.index, probes[part], face_ids[part]))
        lists = np.concatenate(needed)
        nprobe = nprobe_for(lists, RECALL_AIMED) if self._is_tuned else self._nprobe
        recall = float((lists <= nprobe).mean()) if len(lists) else 1.0
        tuned = Tuned(min(nprobe, live.index.nlist), round(recall, 4), len(probes), live.count)
        if self._live.index is live.index:  # else another was trained meanwhile, and is tuned next
            self.tuned = tuned
        return tuned

    def swap(self, new: Trained, delta_ids: Int64, delta_vectors: Float32) -> None:
        """Put a trained index in the place of the live one, with the faces enrolled since it was built.

        In the writer's thread. Searches under way end on the old index; later ones see the new one, whole.
        """
        self._limit_threads()
        complete = _added(new, delta_ids, delta_vectors) if len(delta_ids) else new
        with self._gate.alone():
            self._live, self.tuned = complete, None

    def clear(self) -> None:
        """Empty and exact again. In the writer's thread."""
        with self._gate.alone():
            self._live, self.tuned = _empty(self.d), None

    def save(self, path: Path, *, fingerprint: str, generation: int) -> None:
        """Write the index and its sidecar (path + ".json") so that a crash leaves the old pair, or one that is refused.

        Adds wait while the bytes go to the page cache; searches do not. Raises OSError, RuntimeError (disk full).
        """
        make_private_folder(path.parent)
        staged, noted = _parts(path)
        try:
            self._write(path, staged, noted, fingerprint, generation)
        finally:  # of a full disk: what it holds of them helps nobody
            staged.unlink(missing_ok=True)
            noted.unlink(missing_ok=True)

    def _write(self, path: Path, staged: Path, noted: Path, fingerprint: str, generation: int) -> None:
        touch_private(staged)
        with self._gate.passing():
            live = self._live
            _check_room(path.parent, live)
            faiss.write_index(live.index, os.fspath(staged))
        sidecar = {
            "sha256": _sha256(staged),
            "ntotal": live.count,
            "d": self.d,
            "trained_on": live.trained_on,
            "last_face_id": live.last_face_id,
            "fingerprint": fingerprint,
            "generation": generation,
            "tuned": asdict(self.tuned) if self.tuned else None,
        }
        write_private(noted, json.dumps(sidecar).encode())
        for part in (staged, noted):
            flush(part)
        staged.replace(path)
        noted.replace(_sidecar(path))
        flush(path.parent)

    def discard(self, path: Path) -> None:
        """Delete a saved index, and what a crash left of one. Raises OSError."""
        for file in (path, _sidecar(path), *_parts(path)):
            file.unlink(missing_ok=True)

    def saved_for(self, path: Path) -> str:
        """Which model a saved index says that it was made for, by its fingerprint; "" where it does not say."""
        try:
            sidecar = json.loads(_sidecar(path).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        return str(sidecar.get("fingerprint", "")) if isinstance(sidecar, dict) else ""

    def load(self, path: Path, *, fingerprint: str, generation: int) -> str:
        """Take the saved index over, if every byte of it is what was saved for this model and store generation.

        returns: "" when taken over; else why not, and the index is as it was. Faces enrolled after last_face_id are
        the caller's to add.
        """
        try:
            sidecar = json.loads(_sidecar(path).read_text(encoding="utf-8"))
            problem = _problem(sidecar, d=self.d, fingerprint=fingerprint, generation=generation)
            if problem:
                return problem
            if _sha256(path) != sidecar["sha256"]:
                return "the index file is not the one its sidecar was written for"
            index: Any = faiss.read_index(os.fspath(path))
        except (OSError, ValueError, RuntimeError) as error:
            return f"the index cannot be read: {error}"
        if index.ntotal != sidecar["ntotal"] or index.d != self.d:
            return f"the index holds {index.ntotal} faces of {index.d} dimensions, not {sidecar['ntotal']} of {self.d}"
        if sidecar["trained_on"]:
            index.nprobe = self._nprobe
        with self._gate.alone():
            self._live = Trained(index, index.ntotal, sidecar["trained_on"], sidecar["last_face_id"])
            self.tuned = Tuned(**sidecar["tuned"]) if sidecar.get("tuned") and self._is_tuned else None
        return ""

    def _limit_threads(self) -> None:
        # OpenMP keeps this number per calling thread, so it is said again at every door; it costs nothing.
        faiss.omp_set_num_threads(self._threads)


def _empty(d: int) -> Trained:
    return Trained(faiss.IndexIDMap2(faiss.IndexFlatIP(d)), 0, 0, 0)


def _added(to: Trained, face_ids: Int64, vectors: Float32) -> Trained:
    to.index.add_with_ids(np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(face_ids, np.int64))
    return Trained(to.index, int(to.index.ntotal), to.trained_on, max(to.last_face_id, int(face_ids.max(initial=0))))


def _evenly(source: VectorSource, count: int, wanted: int, d: int) -> Float32:
    """`wanted` of the `count` vectors of source, at even distances; fewer if source has fewer."""
    sample = np.empty((wanted, d), np.float32)
    filled = seen = 0
    for _, vectors in source():
        # The j-th of the sample is number j * count // wanted of the source.
        numbers = np.arange(filled, wanted) * count // wanted - seen
        rows = numbers[numbers < len(vectors)]
        sample[filled : filled + len(rows)] = vectors[rows]
        filled += len(rows)
        seen += len(vectors)
    return sample[:filled]


def _problem(sidecar: Any, *, d: int, fingerprint: str, generation: int) -> str:
    """Why a sidecar does not describe the index we want, or ""."""
    if not isinstance(sidecar, dict) or set(sidecar) - {"tuned"} != _SIDECAR_KEYS:
        return "the index's sidecar is not one of ours"
    for key, wanted in (("d", d), ("fingerprint", fingerprint), ("generation", generation)):
        if sidecar[key] != wanted:
            return f"the index was saved for {key} {sidecar[key]}, not {wanted}"
    return ""


def _check_room(folder: Path, live: Trained) -> None:
    """Do not fill the disk to learn that it is too small: others write to it. Raises OSError."""
    floats = live.count * live.index.d
    size_bytes = (2 if live.trained_on else 4) * floats + 8 * live.count + (1 << 16)
    free = free_bytes(folder)
    if free is not None and free < size_bytes:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: it takes {size_bytes} bytes", os.fspath(folder))


def _parts(path: Path) -> tuple[Path, Path]:
    """What the index and its sidecar are called while they are written."""
    return path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.json.part")


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
