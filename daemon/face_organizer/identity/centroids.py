"""Who the persons look like: one running unit mean per person, cheap to change face by face.

Room:    identity (thinks)
Imports: types, numpy
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from face_organizer.types import Float32, Int64, PersonId

_ROWS_FIRST = 64
_T = TypeVar("_T", bound=np.generic)


class Centroids:
    """The centroid of every person. Owned by one thread; others take copies of `ids` and `matrix`.

    Only faces that may shape a centroid (founders) go in. Sums are kept in float64, so that a face which comes and
    goes a thousand times leaves nothing behind. A change costs O(d).
    """

    def __init__(self, d: int) -> None:
        self._row_of: dict[int, int] = {}
        self._ids = np.zeros(_ROWS_FIRST, np.int64)
        self._counts = np.zeros(_ROWS_FIRST, np.int64)
        self._sums = np.zeros((_ROWS_FIRST, d), np.float64)
        self._matrix = np.zeros((_ROWS_FIRST, d), np.float32)

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def ids(self) -> Int64:
        """int64 (p,): whose centroid each row of `matrix` is. A view: good until the next change."""
        return _read_only(self._ids[: len(self)])

    @property
    def matrix(self) -> Float32:
        """float32 (p, d), unit rows. A view: good until the next change."""
        return _read_only(self._matrix[: len(self)])

    def totals(self) -> tuple[Int64, Float32, Int64]:
        """Copies of: ids int64 (p,), sums float32 (p, d) of the faces that shape each centroid, their numbers (p,)."""
        p = len(self)
        return self._ids[:p].copy(), self._sums[:p].astype(np.float32), self._counts[:p].copy()

    def count(self, person_id: PersonId) -> int:
        """How many faces shape this person's centroid; 0 for a person not here."""
        row = self._row_of.get(person_id)
        return 0 if row is None else int(self._counts[row])

    def add(self, person_id: PersonId, vector: NDArray[np.floating]) -> None:
        """Let one more face shape this person. vector: (d,), norm 1."""
        row = self._row(person_id)
        self._sums[row] += vector
        self._counts[row] += 1
        self._renormalise(row)

    def add_all(self, person_ids: Int64, vectors: NDArray[np.floating]) -> None:
        """The same for many faces at once. person_ids: int64 (n,), none NOBODY; vectors: (n, d), unit rows."""
        assert len(person_ids) == len(vectors), (person_ids.shape, vectors.shape)
        for person_id, rows in _groups(person_ids):
            row = self._row(PersonId(person_id))
            self._sums[row] += vectors[rows].sum(axis=0, dtype=np.float64)
            self._counts[row] += len(rows)
            self._renormalise(row)

    def remove(self, person_id: PersonId, vector: NDArray[np.floating]) -> None:
        """Take back a face that was added; the person's last face takes the person along."""
        row = self._row_of[person_id]
        if self._counts[row] == 1:
            self.drop(person_id)
            return
        self._sums[row] -= vector
        self._counts[row] -= 1
        self._renormalise(row)

    def drop(self, person_id: PersonId) -> None:
        """Forget a person; one that is not here is already forgotten. The last row moves into the gap."""
        row = self._row_of.pop(person_id, None)
        if row is None:
            return
        last = len(self)
        for array in (self._ids, self._counts, self._sums, self._matrix):
            array[row] = array[last]
            array[last] = 0
        if row != last:
            self._row_of[int(self._ids[row])] = row

    def _row(self, person_id: PersonId) -> int:
        assert person_id > 0, person_id
        row = self._row_of.get(person_id)
        if row is None:
            row = len(self)
            if row == len(self._ids):
                self._grow()
            self._row_of[int(person_id)] = row
            self._ids[row] = person_id
        return row

    def _grow(self) -> None:
        self._ids = _doubled(self._ids)
        self._counts = _doubled(self._counts)
        self._sums = _doubled(self._sums)
        self._matrix = _doubled(self._matrix)

    def _renormalise(self, row: int) -> None:
        norm = float(np.linalg.norm(self._sums[row]))
        # Faces that cancel out point nowhere: a zero row is nearest to nobody.
        self._matrix[row] = self._sums[row] / norm if norm > 1e-6 else 0.0


def _groups(keys: Int64) -> Iterator[tuple[int, Int64]]:
    """Each distinct key with the positions that hold it."""
    if len(keys) == 0:
        return iter(())
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    return zip(found.tolist(), np.split(order, starts[1:]), strict=True)


def _doubled(array: NDArray[_T]) -> NDArray[_T]:
    return np.concatenate([array, np.zeros_like(array)])


def _read_only(array: NDArray[_T]) -> NDArray[_T]:
    view = array.view()
    view.flags.writeable = False
    return view
