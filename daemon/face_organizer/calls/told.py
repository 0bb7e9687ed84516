"""A run in full, as commands and pages show it.

Room:    app (wires)
Imports: pipeline, calls, names
"""

from __future__ import annotations

from face_organizer.calls.desk import Answer, Desk
from face_organizer.pipeline import answers
from face_organizer.pipeline.recluster import Kept
from face_organizer.ports import Transaction
from face_organizer.records import UNBORN, Move


def run_in_full(desk: Desk, kept: Kept) -> Answer:
    """In figures, with what moves (and example images), which named persons lose faces, what became of persons."""
    run_id, run = kept
    with desk.store.read() as txn:
        moves = [_move(desk, txn, move) for move in run.moves]
        events = answers.run_events(txn, run)
    return answers.run_summary(run_id, run) | {"moves": moves, "at_risk": _named_losses(moves), "events": events}


def _move(desk: Desk, txn: Transaction, move: Move) -> Answer:
    def side(person_id: int) -> Answer | None:
        person = txn.persons.get(person_id)
        if person_id >= UNBORN:
            return {"person_id": None, "name": f"new {person_id - UNBORN + 1}", "named": False}
        return {"person_id": person_id, "name": person.name, "named": person.named} if person else None

    before = txn.persons.get(move.before)
    images = [
        answers.image_path(txn, desk.library, face.image_id, before.folder if before else "")
        for face_id in move.examples
        if (face := txn.faces.get(face_id)) is not None
    ]
    return {
        "from": side(move.before),
        "to": side(move.after),
        "faces": move.faces,
        "of": move.of,
        "examples": images,
        "faces_shown": [face_id for face_id in move.examples if txn.faces.get(face_id) is not None],
    }


def _named_losses(moves: list[Answer]) -> list[Answer]:
    """The named persons that lose faces."""
    lost: dict[int, Answer] = {}
    for move in moves:
        person = move["from"]
        if person is not None and person["named"]:
            row = lost.setdefault(person["person_id"], {**person, "of": move["of"], "loses": 0})
            row["loses"] += move["faces"]
    return list(lost.values())
