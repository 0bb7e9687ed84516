"""What the gallery thread knows of every face without asking the store: arrays by face id, and the persons' centroids.

Room:    pipeline (moves)
Imports: types, ports, identity

A view (law 1): `load_roster` remakes it from truth. Owned by one thread; nobody else may look.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face_organizer.identity.centroids import Centroids
from face_organizer.ports import Transaction
from face_organizer.types import NOBODY, Float32, Int64, PersonId


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A copy of the roster for other threads. face_ids, image_of, person_of: int64 (n,), founder: bool (n,), in id
    order. person_ids: int64 (p,), ascending; sums: float32 (p, d), of the embeddings of each one's founders; sizes:
    int64 (p,), of how many."""

    face_ids: Int64
    image_of: Int64
    person_of: Int64
    founder: NDArray[np.bool_]
    person_ids: Int64
    sums: Float32
    sizes: Int64


class Roster:
    """person_of, image_of: int64, founder: bool; all by face id (row 0 is never used)."""

    def __init__(self, dimension: int) -> None:
        self.centroids = Centroids(dimension)
        self.person_of: Int64 = np.zeros(1024, np.int64)
        self.image_of: Int64 = np.zeros(1024, np.int64)
        self.founder: NDArray[np.bool_] = np.zeros(1024, np.bool_)
        self.faces_of: dict[int, int] = {}
        self._undo: list[tuple[int, int, Float32] | int] = []
        self._keeps_undo = False

    @contextmanager
    def follows(self) -> Iterator[None]:
        """What happens inside is undone where an exception ends it: the transaction it belongs to is undone too."""
        assert not self._keeps_undo, "transactions do not nest"
        self._keeps_undo = True
        try:
            yield
        except BaseException:
            self._keeps_undo = False
            self._take_back()
            raise
        finally:
            self._keeps_undo = False
            self._undo.clear()

    def _take_back(self) -> None:
        for step in reversed(self._undo):
            if isinstance(step, int):
                self.person_of[step] = self.image_of[step] = 0
                self.founder[step] = False
            else:
                self.give(*step)

    def enter(self, face_id: int, image_id: int, founder: bool) -> None:
        """A new face, nobody's yet."""
        while face_id >= len(self.person_of):
            self.person_of, self.image_of, self.founder = (
                np.concatenate([a, np.zeros_like(a)]) for a in (self.person_of, self.image_of, self.founder)
            )
        self.person_of[face_id], self.image_of[face_id], self.founder[face_id] = NOBODY, image_id, founder
        if self._keeps_undo:
            self._undo.append(face_id)

    def give(self, face_id: int, person_id: int, vector: Float32) -> None:
        """The face is person_id's from now on. vector: float32 (d,), the face's embedding."""
        before = int(self.person_of[face_id])
        if before == person_id:
            return
        if self._keeps_undo:
            self._undo.append((face_id, before, vector))
        self.person_of[face_id] = person_id
        for person, change in ((before, -1), (person_id, +1)):
            if person == NOBODY:
                continue
            self.faces_of[person] = self.faces_of.get(person, 0) + change
            if self.founder[face_id]:
                (self.centroids.add if change > 0 else self.centroids.remove)(PersonId(person), vector)
            if self.faces_of[person] == 0:
                del self.faces_of[person]
                self.centroids.drop(PersonId(person))

    def forget(self, person_id: int) -> None:
        """A person's faces are no more, and neither is the person."""
        gone = np.flatnonzero(self.person_of == person_id)
        self.person_of[gone], self.image_of[gone], self.founder[gone] = NOBODY, 0, False
        self.faces_of.pop(person_id, None)
        self.centroids.drop(PersonId(person_id))

    def nobodys(self, face_ids: Int64) -> NDArray[np.bool_]:
        """Which of these faces (-1: none) belong to nobody and may found a person."""
        known = np.maximum(face_ids, 0)
        return np.asarray((face_ids > 0) & (self.person_of[known] == NOBODY) & self.founder[known])

    def picture(self) -> Picture:
        """What is known now. 10 ms for 100,000 faces: cheap enough to ask for between two transactions."""
        face_ids = np.flatnonzero(self.image_of)
        return Picture(
            face_ids,
            self.image_of[face_ids],
            self.person_of[face_ids],
            self.founder[face_ids],
            *self._persons(),
        )

    def _persons(self) -> tuple[Int64, Float32, Int64]:
        """Every person, also one without a founder."""
        persons = np.array(sorted(self.faces_of), np.int64)
        ids, sums, sizes = self.centroids.totals()
        at = np.searchsorted(persons, ids)
        all_sums = np.zeros((len(persons), sums.shape[1]), np.float32)
        all_sizes = np.zeros(len(persons), np.int64)
        all_sums[at], all_sizes[at] = sums, sizes
        return persons, all_sums, all_sizes


def load_roster(txn: Transaction, dimension: int) -> Roster:
    """Remake the roster from truth."""
    roster = Roster(dimension)
    table = txn.face_table()
    for face_id, image_id, founder in zip(
        table.face_ids.tolist(), table.image_of.tolist(), table.founder.tolist(), strict=True
    ):
        roster.enter(face_id, image_id, founder)
    person_of = np.zeros(len(roster.person_of), np.int64)
    person_of[table.face_ids] = table.person_of
    for face_ids, vectors in txn.vector_chunks():
        for face_id, person_id, vector in zip(face_ids.tolist(), person_of[face_ids].tolist(), vectors, strict=True):
            roster.give(face_id, person_id, vector)
    return roster
