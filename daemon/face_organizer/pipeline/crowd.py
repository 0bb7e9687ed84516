"""Everybody at a glance, for one who looks again and again: who is there, how many faces, which one stands for whom.

Room:    pipeline (moves)
Imports: types, records, ports, identity, roster

What is told may be a moment old: it is not made anew before twenty times as long has passed as that took, so that
looking never becomes the daemon's main occupation, and of whoever did not change much the cover stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from threading import Lock
from typing import Any

import numpy as np

from face_organizer.identity.placement import folded
from face_organizer.pipeline.roster import Picture
from face_organizer.ports import Clock, Store, Transaction
from face_organizer.records import PersonRecord
from face_organizer.types import Float32, Int64

Answer = dict[str, Any]

REST = 20.0
"""So many times as long as a look took passes before the next one."""

CANDIDATES_MAX = 32
"""Of a person's faces so many, evenly spread, may become the cover: the nearest to the centroid of these."""

RENEWED_AFTER = 1.3
"""A cover stays until the person has so many times more faces than when it was chosen."""

AT_ONCE = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Everybody:
    """Who is there. rows: as for answers, most faces first; picture: whose faces are whose."""

    rows: list[Answer]
    picture: Picture

    def called(self, query: str, *, everybody: bool) -> list[Answer]:
        """The rows of whoever has this in the name. everybody: hidden persons too."""
        wanted = folded(query)
        return [row for row in self.rows if (everybody or not row["hidden"]) and wanted in folded(row["name"])]


@dataclass(frozen=True, slots=True)
class Cover:
    face_id: int
    chosen_of: int


class Crowd:
    """Any thread. picture(): asks the gallery for one."""

    def __init__(self, store: Store, picture: Callable[[], Picture], clock: Clock) -> None:
        self._store, self._picture, self._clock = store, picture, clock
        self._lock = Lock()
        self._covers: dict[int, Cover] = {}
        self._seen: Everybody | None = None
        self._again_at = -inf

    def outdate(self) -> None:
        """Something was decided: look anew next time."""
        self._again_at = -inf

    def look(self) -> Everybody:
        """Everybody who has a face, hidden persons too."""
        with self._lock:
            began = self._clock()
            if self._seen is None or began >= self._again_at:
                self._again_at = inf  # outdate() may come while we look
                self._seen = self._look()
                if self._again_at == inf:
                    now = self._clock()
                    self._again_at = now + REST * (now - began)
            return self._seen

    def _look(self) -> Everybody:
        picture = self._picture()
        faces_of, images_of = _counts(picture)
        with self._store.read() as txn:
            persons = dict(txn.persons.items())
            self._renew_covers(txn, picture, faces_of)
        rows = [
            self._row(id_, persons[id_], faces, images_of[id_]) for id_, faces in faces_of.items() if id_ in persons
        ]
        rows.sort(key=lambda row: (-row["faces"], row["person_id"]))
        return Everybody(rows, picture)

    def _row(self, person_id: int, person: PersonRecord, faces: int, images: int) -> Answer:
        cover = self._covers.get(person_id)
        return {
            "person_id": person_id,
            "name": person.name,
            "named": person.named,
            "hidden": person.hidden,
            "faces": faces,
            "images": images,
            "cover": cover.face_id if cover else None,
            "folder": person.folder,
        }

    def _renew_covers(self, txn: Transaction, picture: Picture, faces_of: dict[int, int]) -> None:
        """Choose covers for whoever has none, grew much, or lost the cover to somebody else."""
        self._covers = {id_: cover for id_, cover in self._covers.items() if id_ in faces_of}
        stale = np.array([id_ for id_ in faces_of if self._is_stale(id_, picture, faces_of[id_])], np.int64)
        rows = _candidates(picture, stale)
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            face_ids = np.array(
                [id_ for id_ in picture.face_ids[part] if txn.faces.get(int(id_)) is not None], np.int64
            )
            part = part[np.isin(picture.face_ids[part], face_ids)]
            for id_, face_id in _nearest(picture, part, txn.vectors(face_ids)).items():
                self._covers[id_] = Cover(face_id, faces_of[id_])

    def _is_stale(self, person_id: int, picture: Picture, faces: int) -> bool:
        cover = self._covers.get(person_id)
        if cover is None or faces > RENEWED_AFTER * cover.chosen_of:
            return True
        row = int(np.searchsorted(picture.face_ids, cover.face_id))
        there = row < len(picture.face_ids) and picture.face_ids[row] == cover.face_id
        return not there or picture.person_of[row] != person_id


def _counts(picture: Picture) -> tuple[dict[int, int], dict[int, int]]:
    """Of each person who has a face: how many faces, in how many images."""
    with_person = picture.person_of > 0
    persons, images = picture.person_of[with_person], picture.image_of[with_person]
    beyond = int(images.max(initial=0)) + 1
    pairs = np.sort(persons * beyond + images)  # each as one number: np.unique of rows takes ten times as long
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    found, faces = np.unique(persons, return_counts=True)
    _, in_images = np.unique(pairs // beyond, return_counts=True)
    return dict(zip(found.tolist(), faces.tolist(), strict=True)), dict(
        zip(found.tolist(), in_images.tolist(), strict=True)
    )


def _candidates(picture: Picture, persons: Int64) -> Int64:
    """Rows of the picture, one person's after another's: up to CANDIDATES_MAX of each, founders if there are any."""
    rows = np.flatnonzero(np.isin(picture.person_of, persons))
    order = np.lexsort((~picture.founder[rows], picture.person_of[rows]))
    rows = rows[order]
    chosen = []
    for mine in np.split(rows, np.flatnonzero(np.diff(picture.person_of[rows])) + 1):
        founders = mine[picture.founder[mine]]
        those = founders if len(founders) else mine
        step = max(1, -(-len(those) // CANDIDATES_MAX))
        chosen.append(those[::step])
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)


def _nearest(picture: Picture, rows: Int64, vectors: Float32) -> dict[int, int]:
    """Of each person in these rows, the face nearest to the centroid; vectors: float32 (n, d), of the rows."""
    persons = picture.person_of[rows]
    at = np.searchsorted(picture.person_ids, persons)
    sums = picture.sums[at]
    norms = np.maximum(np.linalg.norm(sums, axis=1), 1e-9)
    similarities = np.einsum("nd,nd->n", vectors, sums) / norms
    order = np.lexsort((picture.face_ids[rows], -similarities, persons))
    first = np.unique(persons[order], return_index=True)[1]
    best = order[first]
    return dict(zip(persons[best].tolist(), picture.face_ids[rows[best]].tolist(), strict=True))
