"""How far a library is to be trusted: what is surely wrong, what probably is, and what nobody has looked at.

Room:    pipeline (moves)
Imports: records, ports, identity, answers, review, survey
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from face_organizer.identity.constraints import Constraints
from face_organizer.pipeline.answers import run_summary
from face_organizer.pipeline.review import face_told, open_questions, person_told, question_told
from face_organizer.pipeline.survey import IntruderQuestion, SameQuestion, Survey
from face_organizer.ports import Transaction
from face_organizer.records import RunRecord

Answer = dict[str, Any]
PERSONS_SHOWN = 60


def trust(txn: Transaction, library: Path, found: Survey, constraints: Constraints, shown: int) -> Answer:
    """shown: at most so many of each kind of error.

    false_merge_rate: the share of persons that hold another's faces, as the last run that looked at it estimated it.
    wrong_faces, split_pairs: how many the questions are expected to find.
    """
    questions = list(open_questions(txn, found, constraints))
    intruders = [each for each in questions if isinstance(each, IntruderQuestion)]
    same = [each for each in questions if isinstance(each, SameQuestion)]
    largest = sorted(found.portraits, key=lambda id_: (-found.portraits[id_].faces, id_))[:PERSONS_SHOWN]
    provable = _provable(txn, library, found)
    persons = [person for id_ in found.portraits if (person := txn.persons.get(id_)) is not None]
    return {
        "provable_errors": {"total": len(provable), "shown": provable[:shown]},
        "likely_intruders": {
            "total": len(intruders),
            "wrong_faces": round(sum(each.gain for each in intruders), 1),
            "shown": [question_told(txn, library, found, each) for each in intruders[:shown]],
        },
        "likely_same": {
            "total": len(same),
            "misplaced_faces": round(sum(each.gain for each in same), 1),
            "shown": [question_told(txn, library, found, each) for each in same[:shown]],
        },
        "false_merge_rate": _false_merge_rate(txn),
        "coverage": {
            "persons_named": sum(person.named for person in persons),
            "persons_hidden": sum(person.hidden for person in persons),
            "faces_with_person": sum(portrait.faces for portrait in found.portraits.values()),
            "faces_confirmed": len(constraints.confirmed),
        },
        "people": [person_told(txn, library, found, id_) for id_ in largest if txn.persons.get(id_) is not None],
    }


def changes_since(txn: Transaction, run_id: int, run: RunRecord | None) -> Answer:
    """What the last run changed, and what came since."""
    at_s = run.at_s if run else 0.0
    known = int(run.parameters.get("last_face_id") or 0) if run else 0
    return {
        "last_run": run_summary(run_id, run) if run else None,
        "new_faces": max(0, txn.last_id("faces") - known),
        "decisions": [
            {"decision_id": id_, "kind": each.kind, "says": each.says, "undone_by": each.undone_by or None}
            for id_, each in txn.decisions.items()
            if each.at_s >= at_s
        ],
    }


def _provable(txn: Transaction, library: Path, found: Survey) -> list[Answer]:
    """Faces that share an image and a person: at least one of them is somebody else."""
    together: dict[tuple[int, int], list[Answer]] = {}
    for face_id in found.twice.tolist():
        assignment = txn.assignments.get(face_id)
        if assignment is not None and assignment.person_id and txn.faces.get(face_id) is not None:
            row = face_told(txn, library, face_id, found.similarity_of(face_id))
            together.setdefault((row["image_id"], assignment.person_id), []).append(row)
    return [
        {"image_id": image_id, "person": person_told(txn, library, found, person_id), "faces": faces}
        for (image_id, person_id), faces in together.items()
        if len(faces) > 1
    ]


def _false_merge_rate(txn: Transaction) -> float | None:
    rates = [run.found["calibration"]["false_merge_rate"] for _, run in txn.runs.items() if "calibration" in run.found]
    return round(float(rates[-1]), 5) if rates else None
