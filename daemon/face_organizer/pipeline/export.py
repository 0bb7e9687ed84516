"""What other programs get to know: faces as rows, the regions of an image.

Room:    pipeline (moves)
Imports: types, records, ports, identity, answers, where
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from face_organizer.identity.constraints import Constraints
from face_organizer.pipeline.answers import image_path, printable
from face_organizer.pipeline.where import Holds
from face_organizer.ports import Transaction
from face_organizer.records import FaceRecord
from face_organizer.types import NOBODY

Answer = dict[str, Any]

LOOKED_AT = 4000
"""Faces looked at for one page: a page ends in time also where few of them are wanted."""


def faces_page(
    txn: Transaction, library: Path, constraints: Constraints, holds: Holds, after: int, limit: int
) -> Answer:
    """Rows of the faces after a face id for which `holds`; next: the id to go on after, None at the end."""
    rows: list[Answer] = []
    seen = after
    for number, (face_id, face) in enumerate(txn.faces.items(after + 1)):
        if len(rows) == limit or number == LOOKED_AT:
            return {"rows": rows, "next": seen}
        row = face_row(txn, library, constraints, face_id, face)
        if holds(row):
            rows.append(row)
        seen = face_id
    return {"rows": rows, "next": None}


def face_row(txn: Transaction, library: Path, constraints: Constraints, face_id: int, face: FaceRecord) -> Answer:
    """What is known of a face. box: px of the upright original; similarity, margin: as it was assigned."""
    assignment, image = txn.assignments.get(face_id), txn.images.get(face.image_id)
    person_id = assignment.person_id if assignment else int(NOBODY)
    person = txn.persons.get(person_id)
    told = face.attributes
    return {
        "face_id": face_id,
        "image_id": face.image_id,
        "path": image_path(txn, library, face.image_id, person.folder if person else ""),
        "width_px": image.width_px if image else None,
        "height_px": image.height_px if image else None,
        **dict(zip(("x1", "y1", "x2", "y2"), (round(x, 1) for x in face.box), strict=True)),
        "person_id": person_id or None,
        "person": person.name if person else None,
        "named": bool(person and person.named),
        "confirmed": constraints.confirmed.get(face_id) == person_id != NOBODY,
        "similarity": assignment.similarity if assignment and person_id else None,
        "margin": assignment.margin if assignment and person_id else None,
        "reason": assignment.reason if assignment else None,
        "quality": round(face.quality, 4),
        "detection_score": round(face.detection_score, 4),
        "founder": face.founder,
        "gender": told.gender if told else None,
        "age": told.age if told else None,
    }


def regions_page(txn: Transaction, after: int, limit: int) -> Answer:
    """The images after an image id that show a person with a name: where their files lie, and whose faces where.

    box: px of the upright original. next: the id to go on after, None at the end.
    """
    rows: list[Answer] = []
    seen = after
    for image_id, image in islice(txn.images.items(after + 1), LOOKED_AT):
        if len(rows) == limit:
            return {"rows": rows, "next": seen}
        seen = image_id
        faces = []
        for face_id in image.face_ids:
            face, assignment = txn.faces.get(face_id), txn.assignments.get(face_id)
            person = txn.persons.get(assignment.person_id) if assignment and assignment.person_id else None
            if face is not None and person is not None and person.named:
                faces.append({"name": person.name, "box": [round(x, 1) for x in face.box]})
        files = [file for file_id in image.file_ids if (file := txn.files.get(file_id)) is not None]
        places = [printable(place) for file in files if not file.missing for place in file.places]
        if faces and places:
            row = {"image_id": image_id, "places": places, "size_px": [image.width_px, image.height_px]}
            rows.append(row | {"faces": faces})
    return {"rows": rows, "next": seen if seen < txn.last_id("images") else None}
