"""Lets the model beside take the place of the one in use: one transaction, and only while nobody else is at work.

Room:    pipeline (moves)
Imports: types, records, ports, identity, book, keep_graph, pulse

Names, persons, decisions and whose each face is are not touched. What was in use lies beside afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from face_organizer.identity.kmeans import means
from face_organizer.pipeline.book import want_elsewhere
from face_organizer.pipeline.keep_graph import SIMILARITY_MIN
from face_organizer.pipeline.pulse import beat
from face_organizer.ports import Store, Transaction
from face_organizer.records import AssignmentRecord
from face_organizer.types import NOBODY, Float32, Int64

UNSEEN = "first_seen_by_another_model"
"""The reason in the assignment of a face that belongs to nobody, for only the new model found it."""

ROWS_AT_ONCE = 64


def switch(store: Store, neighbours: int) -> dict[str, int]:
    """Do it, whole or not at all; returns how many faces were carried without being seen again, and how many are new.

    Before the gallery's thread starts. neighbours: how many the graph keeps for each face.
    """
    with store.write() as txn:
        beside, slot = txn.beside(), 1 - txn.slot
        model, before = txn.models.get(slot), txn.models.get(txn.slot)
        assert model is not None, slot
        assert before is not None, slot
        unseen = _stand_in(txn, beside, model.dimension)
        _complete_graph(beside, neighbours)
        added = _adopt(txn, beside)
        last = {table: txn.last_id(table) for table in ("images", "runs", "faces")}
        txn.models.put(txn.slot, replace(before, state="kept", upto=last["images"]))
        told = replace(model, state="live", waits="", since_run=last["runs"], since_face=last["faces"])
        txn.models.put(slot, told)
        txn.switch()
    return {"unseen": unseen, "added": added}


def _stand_in(txn: Transaction, beside: Transaction, dimension: int) -> int:
    """A face whose image cannot be read any more stays who it is: it gets its person's centroid, and founds nobody.

    One of nobody, or of a person none of whose faces was seen, gets a vector by lot, which is like no other.
    """
    lacking = np.setdiff1d(txn.face_ids(), beside.face_ids())
    if len(lacking) == 0:
        return 0
    centroids = _centroids(beside)
    for face_id in lacking.tolist():
        record, assignment = txn.faces.get(face_id), txn.assignments.get(face_id)
        assert record is not None, face_id
        person_id = assignment.person_id if assignment is not None else NOBODY
        vector = centroids.get(person_id, np.zeros(dimension, np.float32))
        if not vector.any():
            lot = np.random.default_rng([1, person_id] if person_id else [0, face_id])
            vector = lot.standard_normal(dimension).astype(np.float32)
        beside.faces.put(face_id, replace(record, quality=0.0, founder=False))
        beside.put_face_vector(face_id, (vector / np.linalg.norm(vector)).astype(np.float32))
    return len(lacking)


def _centroids(txn: Transaction) -> dict[int, Float32]:
    """Every person's centroid, by id; zeros where none of the faces was seen, or none may shape one."""
    table, (face_ids, vectors) = txn.face_table(), txn.vectors_from()
    assert np.array_equal(face_ids, table.face_ids), "a face without a vector, or a vector without a face"
    persons, row = np.unique(table.person_of, return_inverse=True)
    shaping = np.where(table.founder, row, -1)
    found = dict(zip(persons.tolist(), means(vectors, shaping, len(persons)), strict=True)) if len(persons) else {}
    return {person_id: vector for person_id, vector in found.items() if person_id != NOBODY}


def _complete_graph(txn: Transaction, k: int) -> None:
    """The neighbours of faces that came since the graph was made."""
    table, (face_ids, vectors) = txn.face_table(), txn.vectors_from()
    late = np.flatnonzero(~np.isin(face_ids, txn.neighbours(1).face_ids))
    for start in range(0, len(late), ROWS_AT_ONCE):
        beat()
        rows = late[start : start + ROWS_AT_ONCE]
        for row, (near, similar) in zip(rows.tolist(), _nearest(vectors, table.image_of, rows, k), strict=True):
            txn.put_neighbours(int(face_ids[row]), face_ids[near], similar)


def _nearest(
    vectors: np.ndarray[tuple[int, int], np.dtype[np.float16]], image_of: Int64, rows: Int64, k: int
) -> Iterator[tuple[Int64, Float32]]:
    """The k rows nearest to each of some, those of its own image left out, best first."""
    probes = vectors[rows].astype(np.float32)
    similarities = np.concatenate(
        [probes @ vectors[at : at + 65_536].astype(np.float32).T for at in range(0, len(vectors), 65_536)], axis=1
    )
    for row, similar in zip(rows.tolist(), similarities, strict=True):
        similar[image_of == image_of[row]] = -1
        best = np.argsort(-similar, kind="stable")[:k]
        best = best[similar[best] >= SIMILARITY_MIN]
        yield best, similar[best]


def _adopt(txn: Transaction, beside: Transaction) -> int:
    """The faces that only the new model found belong to their images from now on, and to nobody."""
    new = np.setdiff1d(beside.face_ids(), txn.face_ids()).tolist()
    for face_id in new:
        record = beside.faces.get(face_id)
        image = txn.images.get(record.image_id) if record is not None else None
        assert record is not None, face_id
        assert image is not None, record.image_id
        for file_id in image.file_ids:
            want_elsewhere(txn, file_id)
        txn.images.put(record.image_id, replace(image, face_ids=(*image.face_ids, face_id)))
        txn.assignments.put(face_id, AssignmentRecord(int(NOBODY), 0.0, 0.0, UNSEEN))
    return len(new)
