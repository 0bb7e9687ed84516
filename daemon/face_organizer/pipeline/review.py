"""What the library asks a human, the question that puts most faces right first; and what was answered stays answered.

Room:    pipeline (moves)
Imports: types, records, ports, identity, answers, survey

"Yes, one person" is a merge, "no" the decision `apart`, which a split says of its parts too; "yes, an intruder" is a
reject, "no" an assign. All of them are decisions, and what a decision speaks of is not asked again until it is undone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from face_organizer.identity.constraints import Constraints
from face_organizer.pipeline.answers import image_path
from face_organizer.pipeline.survey import Portrait, Question, SameQuestion, Survey
from face_organizer.ports import Transaction
from face_organizer.records import PersonRecord
from face_organizer.types import NOBODY

Answer = dict[str, Any]
APART = "apart"
"""The kind of decision that says of two persons that they are not one: of one face of each whose it is."""
TELLS_APART = (APART, "split")


def open_questions(txn: Transaction, found: Survey, constraints: Constraints) -> Iterator[Question]:
    """What is still worth asking of what a survey found, though the library may have changed since."""
    apart = pairs_apart(txn, constraints)
    for question in found.questions:
        if isinstance(question, SameQuestion):
            two = [txn.persons.get(question.a), txn.persons.get(question.b)]
            named = all(person is not None and person.named for person in two)  # two names are two people
            if all(map(_asked_about, two)) and not named and frozenset((question.a, question.b)) not in apart:
                yield question
        elif _asked_about(txn.persons.get(question.person_id)) and all(
            _person_of(txn, face_id) == question.person_id != constraints.confirmed.get(face_id)
            for face_id in question.face_ids
        ):
            yield question


def pairs_apart(txn: Transaction, constraints: Constraints) -> set[frozenset[int]]:
    """The pairs of persons of whom a human said that they are two: told apart, or the parts of one that was several.

    Whoever most of the faces that were looked at then are confirmed to be now, for others may have taken them over.
    """
    pairs: set[frozenset[int]] = set()
    stands = [each for _, each in txn.decisions.items() if each.kind in TELLS_APART and not each.undone_by]
    for decision in stands:
        persons: set[int] = set()
        for verdict in decision.verdicts:
            now = Counter(filter(None, map(constraints.confirmed.get, verdict.face_ids)))
            persons.update(person_id for person_id, _ in now.most_common(1))
        pairs.update(map(frozenset, combinations(persons, 2)))
    return pairs


def question_told(txn: Transaction, library: Path, found: Survey, question: Question) -> Answer:
    """A question as plain values."""
    told: Answer
    if isinstance(question, SameQuestion):
        told = {"kind": "same"}
        told |= {"a": person_told(txn, library, found, question.a), "b": person_told(txn, library, found, question.b)}
    else:
        face, others = question.face_ids[0], list(question.face_ids)
        told = {"kind": "intruder", "face": face_told(txn, library, face, found.similarity_of(face)), "faces": others}
        told |= {"person": person_told(txn, library, found, question.person_id)}
        other = question.other if _asked_about(txn.persons.get(question.other)) else 0
        told |= {"other": person_told(txn, library, found, other) if other else None}
        told |= {"other_similarity": round(question.other_similarity, 4) if other else None}
    return told | {"similarity": round(question.similarity, 4), "gain": round(question.gain, 2)}


def person_told(txn: Transaction, library: Path, found: Survey, person_id: int) -> Answer:
    """A person as plain values. cover: the id of the face nearest to its centroid; cover_face: that face."""
    person, portrait = txn.persons.get(person_id), found.portraits.get(person_id, Portrait(0, 0, 0))
    assert person is not None, person_id
    return {
        "person_id": person_id,
        "name": person.name,
        "named": person.named,
        "hidden": person.hidden,
        "faces": portrait.faces,
        "images": portrait.images,
        "cover": portrait.cover or None,
        "cover_face": face_told(txn, library, portrait.cover, None) if txn.faces.get(portrait.cover) else None,
        "folder": person.folder,
    }


def face_told(
    txn: Transaction, library: Path, face_id: int, similarity: float | None, constraints: Constraints | None = None
) -> Answer:
    """A face as plain values. similarity: to its person."""
    face, person_id = txn.faces.get(face_id), _person_of(txn, face_id)
    image = txn.images.get(face.image_id) if face else None
    assert face is not None, face_id
    assert image is not None, face_id
    person = txn.persons.get(person_id)
    return {
        "face_id": face_id,
        "image_id": face.image_id,
        "similarity": None if similarity is None else round(similarity, 4),
        "quality": round(face.quality, 4),
        "confirmed": constraints is not None and constraints.confirmed.get(face_id) == person_id != NOBODY,
        "path": image_path(txn, library, face.image_id, person.folder if person else ""),
        "box": [round(x, 1) for x in face.box],
        "size_px": [image.width_px, image.height_px],
    }


def _asked_about(person: PersonRecord | None) -> bool:
    """Who is hidden, or no more, is not asked about."""
    return person is not None and not (person.hidden or person.retired or person.merged_into)


def _person_of(txn: Transaction, face_id: int) -> int:
    assignment = txn.assignments.get(face_id)
    return assignment.person_id if assignment else int(NOBODY)
