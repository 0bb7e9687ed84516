"""Keeps the index a true view of the store: fills it at the start, lets it outgrow itself, saves it now and then.

Room:    pipeline (moves)
Imports: ports, pulse
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from face_organizer.pipeline.pulse import beat
from face_organizer.ports import Clock, GrowingIndex, Log, Store, Transaction

GENERATION = 0
PROBES, PROBES_SEED = 300, 0
"""Stored faces that tell how much of what is there a search finds."""

OUTDATED = "index_outdated"
"""The note that says how often faces were taken out of the store: an index saved before holds them still."""


class IndexKeeper:
    """open() before the threads start; tend() in one thread of its own; in_gallery runs work in the adding thread."""

    def __init__(
        self,
        store: Store,
        index: GrowingIndex,
        path: Path,
        in_gallery: Callable[[Callable[[], Any]], Any],
        log: Log,
        clock: Clock,
        *,
        save_every_s: float,
    ) -> None:
        self._store, self._index, self._path = store, index, path
        self._in_gallery, self._log, self._clock = in_gallery, log, clock
        self._save_every_s = save_every_s
        self._saved_at, self._saved_count = clock(), -1
        self._saving = Lock()

    def open(self) -> None:
        """The saved index with the faces enrolled since; one remade from the store where anything about it is off."""
        problem = self._index.load(self._path, fingerprint=self._store.fingerprint, generation=self._generation())
        loaded = self._index.count
        self._fill(self._index.last_face_id + 1)
        with self._store.read() as txn:
            faces, beside = txn.faces.count(), txn.models.get(1 - txn.slot)
        if self._index.count != faces:
            self.rebuild(f"it holds {self._index.count} faces, the truth {faces}")
        elif problem and faces:
            moved = beside is not None and self._index.saved_for(self._path) == beside.fingerprint
            self._tell("the library goes by another model now" if moved else problem, is_meant=moved)
        else:
            self._saved_count = loaded

    def rebuild(self, reason: str, *, is_meant: bool = False) -> None:
        """Remake it from the store. is_meant: nothing is wrong with it, somebody wants it so. In the adding thread."""
        self._index.clear()
        self._saved_count = -1
        self._fill(0)
        self._tell(reason, is_meant=is_meant)

    def _tell(self, reason: str, *, is_meant: bool) -> None:
        """That it was remade: a warning where nobody wanted that."""
        (self._log.info if is_meant else self._log.warning)("index_rebuilt", reason=reason, faces=self._index.count)

    def outdate(self, txn: Transaction) -> None:
        """Faces are taken out of the store with this transaction: no index from before it may be used after it."""
        txn.put_note(OUTDATED, str(int(txn.note(OUTDATED) or b"0") + 1).encode())

    def forget(self) -> None:
        """Faces were taken out of the store: no file may hold them any longer. In the adding thread."""
        with self._saving:
            self._index.discard(self._path)
            self.rebuild("faces were forgotten", is_meant=True)
        self.save()

    def _generation(self) -> int:
        with self._store.read() as txn:
            return GENERATION + int(txn.note(OUTDATED) or b"0")

    def tend(self, *, at_leisure: bool = True) -> None:
        """Train a larger index when it is time; save when the last save is old. at_leisure: nobody waits for the end
        of this process, so that there is time to tune the index too."""
        if self._index.needs_training():
            self._train()
            self._saved_count = -1
            self.save()
        elif at_leisure and self._index.needs_tuning():
            self._tune()
            self._saved_count = -1
            self.save()
        elif self._clock() - self._saved_at >= self._save_every_s:
            self.save()

    def save(self) -> None:
        """Save it if it changed. A failure costs the next start a rebuild, no more."""
        self._saved_at, count = self._clock(), self._index.count
        if count == self._saved_count:
            return
        try:
            with self._saving:
                self._index.save(self._path, fingerprint=self._store.fingerprint, generation=self._generation())
                self._saved_count = count  # as it was before: faces that came meanwhile may not be in it
        except (OSError, RuntimeError) as error:
            self._log.warning("index_not_saved", reason=str(error))

    def _train(self) -> None:
        started = self._clock()
        generation = self._generation()
        with self._store.read() as txn:
            new = self._index.train(txn.vector_chunks, txn.faces.count())

        def swap() -> None:
            if generation != self._generation():
                return  # it holds faces that were forgotten meanwhile; the next one will not
            with self._store.read() as txn:
                late = list(txn.vector_chunks(new.last_face_id + 1))
            ids = [np.zeros(0, np.int64), *(ids for ids, _ in late)]
            vectors = [np.zeros((0, self._store.dimension), np.float32), *(vectors for _, vectors in late)]
            self._index.swap(new, np.concatenate(ids), np.concatenate(vectors))

        self._in_gallery(swap)
        self._log.info("index_trained", faces=self._index.count, seconds=round(self._clock() - started, 2))

    def _tune(self) -> None:
        """Find out by some stored faces how many lists a thorough search must look at."""
        started = self._clock()
        with self._store.read() as txn:
            drawn = np.unique(np.random.default_rng(PROBES_SEED).integers(1, txn.last_id("faces") + 1, 2 * PROBES))
            face_ids = [face_id for face_id in drawn.tolist() if txn.faces.get(face_id) is not None]
            face_ids = face_ids[:: max(1, len(face_ids) // PROBES)]
            tuned = self._index.tune(np.array(face_ids, np.int64), txn.vectors(face_ids), beat)
        self._log.info(
            "index_tuned",
            faces=self._index.count,
            nprobe=tuned.nprobe,
            recall=tuned.recall,
            probes=len(face_ids),
            seconds=round(self._clock() - started, 2),
        )

    def _fill(self, start: int) -> None:
        with self._store.read() as txn:
            for face_ids, vectors in txn.vector_chunks(start):
                beat()
                self._index.add(face_ids, vectors)
