"""Why is this face there: nearest faces, similarity, margin, which rule, which run, which decision.

Room:    pipeline (moves)
Imports: types, records, ports, answers, book, index
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from face_organizer.pipeline.answers import image_path
from face_organizer.pipeline.book import constraints_of, person_with
from face_organizer.ports import Index, Transaction
from face_organizer.records import AssignmentRecord
from face_organizer.types import NOBODY, TRASHED, Float32, Int64

Answer = dict[str, Any]

SHOWN = 3
CONFIRMED_MAX = 2000
"""Confirmed faces of a person that are compared, the newest: a merge may have confirmed a hundred thousand."""

RULES = {
    "joined": "it was most similar to this person when it arrived",
    "founded": "it and other faces that agreed founded this person",
    "reclustered": "a re-clustering put it there",
    "below_bound": "no person was similar enough when it arrived",
    "no_person_yet": "there was no person yet when it arrived",
    "taken_by_another_face": "another face of its image is the person it resembles, and nobody is twice in an image",
    "first_seen_by_another_model": "only the model that the library was moved to found it",
    "name": "a human named the person",
    "merge": "a human said that two persons are one",
    "split": "a human said that a person was several",
    "apart": "a human said that two persons are not one",
    "reject": "a human said that it is not the person it was with",
    TRASHED: "a human deleted its image from the folder of the person it was with",
    "assign": "a human said who it is",
    "taken_back": "a decision or a run was taken back",
}


Persons = Callable[[Float32], tuple[Int64, Float32]]
"""A vector in, the person ids int64 (p,) and its similarities to their centroids float32 (p,) out."""


def explain(txn: Transaction, index: Index, library: Path, persons: Persons, image_id: int) -> list[Answer]:
    """One answer for each face of an image. similarity, margin: to the persons of now."""
    image = txn.images.get(image_id)
    return [explain_face(txn, index, library, persons, face_id) for face_id in image.face_ids] if image else []


def explain_face(txn: Transaction, index: Index, library: Path, persons: Persons, face_id: int) -> Answer:
    """Why one face, which there is, is where it is."""
    face, assignment = txn.faces.get(face_id), txn.assignments.get(face_id)
    assert face is not None, face_id
    assert assignment is not None, face_id
    person = person_with(txn, face_id)
    vector = txn.vectors([face_id])
    decisions = [
        {"decision_id": id_, "says": each.says}
        for id_, each in txn.decisions.items()
        if not each.undone_by and any(face_id in verdict.face_ids for verdict in each.verdicts)
    ]
    return {
        "face_id": face_id,
        "box": [round(x) for x in face.box],
        "quality": face.quality,
        "founder": face.founder,
        "person_id": assignment.person_id or None,
        "person": person.name if person else None,
        **_standing(txn, persons, assignment.person_id, vector[0]),
        "similarity_then": assignment.similarity,
        "rule": assignment.reason,
        "because": because(assignment),
        "run_id": assignment.run_id or None,
        "decisions": decisions,
        "nearest_confirmed": _confirmed(txn, library, face_id, assignment.person_id, vector[0]),
        "nearest": _nearest(txn, index, library, face_id, vector),
    }


def _standing(txn: Transaction, persons: Persons, person_id: int, vector: Float32) -> Answer:
    """Similarity to its own person (a face of nobody: to the nearest), margin over the next, and who that is."""
    ids, similarities = persons(vector)
    if len(ids) == 0:
        return {"similarity": None, "margin": None, "next_person": None}
    own = np.flatnonzero(ids == person_id)
    row = int(own[0]) if len(own) else int(similarities.argmax())
    others = np.delete(np.arange(len(ids)), row) if len(own) else np.array([row])
    following = others[similarities[others].argmax()] if len(others) else None
    person = txn.persons.get(int(ids[following])) if following is not None else None
    similarity = float(similarities[row])
    margin = similarity - float(similarities[following]) if following is not None else similarity
    return {
        "similarity": round(similarity, 4),
        "margin": round(margin, 4),
        "next_person": person.name if person else None,
    }


def because(assignment: AssignmentRecord) -> str:
    """The rule as a sentence."""
    said = RULES.get(assignment.reason, assignment.reason)
    if assignment.person_id == NOBODY and assignment.reason == "assign":
        said = "a human said that another face of its image is the person it was with"
    return f"{said} (run {assignment.run_id})" if assignment.run_id else said


def _confirmed(txn: Transaction, library: Path, face_id: int, person_id: int, vector: Float32) -> list[Answer]:
    """The nearest of the faces that a human confirmed to be the person."""
    constraints = constraints_of(txn)
    theirs = [id_ for id_, person in constraints.confirmed.items() if person == person_id and id_ != face_id]
    theirs = [id_ for id_ in sorted(theirs)[-CONFIRMED_MAX:] if txn.faces.get(id_) is not None]
    if person_id == NOBODY or not theirs:
        return []
    similarities = txn.vectors(theirs) @ vector
    best = np.argsort(-similarities, kind="stable")[:SHOWN]
    return [_other(txn, library, theirs[row], float(similarities[row])) for row in best]


def _nearest(txn: Transaction, index: Index, library: Path, face_id: int, vector: Float32) -> list[Answer]:
    found, similarities = index.search(vector, SHOWN + 1, thorough=True)
    pairs = zip(found[0].tolist(), similarities[0].tolist(), strict=True)
    others = [(id_, similarity) for id_, similarity in pairs if id_ >= 0 and id_ != face_id]
    return [_other(txn, library, id_, similarity) for id_, similarity in others[:SHOWN]]


def _other(txn: Transaction, library: Path, face_id: int, similarity: float) -> Answer:
    face, assignment = txn.faces.get(face_id), txn.assignments.get(face_id)
    assert face is not None, face_id
    assert assignment is not None, face_id
    person = person_with(txn, face_id)
    return {
        "face_id": face_id,
        "image": image_path(txn, library, face.image_id, person.folder if person else ""),
        "person_id": assignment.person_id or None,
        "person": person.name if person else None,
        "similarity": round(similarity, 4),
    }
