"""What a command may ask about persons, and what it may decide: texts in, plain answers out.

Room:    app (wires)
Imports: pipeline, names

A person is meant by its number, its name or its folder. A face is meant by its number, or by a picture of it: the
content of the file is what counts, wherever it lies; in the folder of a person the person's face is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from face_organizer.errors import RequestError
from face_organizer.pipeline import answers
from face_organizer.pipeline.book import Book, living_person
from face_organizer.pipeline.decide import Decide
from face_organizer.pipeline.explain import explain
from face_organizer.pipeline.recluster import Kept, Kind, Recluster
from face_organizer.pipeline.roster import Roster
from face_organizer.pipeline.runs import Runs
from face_organizer.pipeline.split import parts_of
from face_organizer.ports import Index, Store, Transaction
from face_organizer.types import NOBODY, UNBORN, Float32, Int64, RunRecord

Answer = dict[str, Any]
Picture = dict[str, str]
"""digest: of the content, hex; folder: the name of the folder it lies in; path: as it was typed."""

SPLIT_SEED = 0


@dataclass(frozen=True)
class Desk:
    """What the calls work with. in_gallery runs something in the gallery's thread; failed(): is that dead?"""

    store: Store
    index: Index
    roster: Roster
    book: Book
    decide: Decide
    runs: Runs
    recluster: Recluster
    library: Path
    in_gallery: Callable[[Callable[[], Any]], Any]
    failed: Callable[[], bool]


class Calls:
    """Each method is a call by its name. Raises RequestError with a sentence for the asker."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def table(self) -> dict[str, Callable[..., Any]]:
        """The calls by name."""
        public = (self.people, self.explain, self.history, self.runs, self.recluster, self.apply, self.rollback)
        decisions = (self.name, self.merge, self.split, self.reject, self.assign, self.hide, self.undo)
        return {call.__name__: call for call in (*public, *decisions)}

    # questions

    def people(self, everybody: bool = False) -> list[Answer]:
        """Everybody, most faces first. everybody: hidden persons too."""
        with self._desk.store.read() as txn:
            return answers.people(txn, self._desk.library, everybody=everybody)

    def explain(self, picture: Picture) -> Answer:
        """Why each face of an image is where it is."""
        with self._desk.store.read() as txn:
            image_id = _image(txn, picture)
            faces = explain(txn, self._desk.index, self._desk.library, self._similarities, image_id)
            return {"image": picture["path"], "image_id": image_id, "faces": faces}

    def history(self) -> list[Answer]:
        """Every decision, the oldest first."""
        with self._desk.store.read() as txn:
            return [
                {"decision_id": id_, "kind": each.kind, "says": each.says, "undone_by": each.undone_by or None}
                | {"at_s": each.at_s}
                for id_, each in txn.decisions.items()
            ]

    def runs(self) -> list[Answer]:
        """Every run, the oldest first."""
        with self._desk.store.read() as txn:
            return [answers.run_summary(id_, run) for id_, run in txn.runs.items()]

    # runs

    def recluster(self, reason: str = "asked", propose: bool = False) -> Answer:
        """Re-cluster now, and wait for it; apply what was found, or keep it as a proposal."""
        kind: Kind = "proposal" if propose else "asked"
        return self._run(self._desk.recluster.request(reason, kind).wait(unless=self._desk.failed))

    def apply(self, run_id: int | None = None) -> Answer:
        """Apply a proposal, the one that waits if no run is named."""
        return self._run(self._desk.runs.apply(run_id))

    def rollback(self, run_id: int) -> Answer:
        """Take a run back, and what was applied after it."""
        return {"rolled_back": self._desk.runs.rollback(run_id)}

    # decisions

    def name(self, who: str | Picture, name: str) -> Answer:
        """A person's name. who: a person, or a picture whose person is meant; that face is confirmed then."""
        if isinstance(who, str):
            person_id = self._person(who)
            return self._decided(self._desk.decide.name(person_id, name, self._cover(person_id)))
        face_id = self._face(who)
        person_id = int(self._desk.roster.person_of[face_id])
        if person_id == NOBODY:
            return self._decided(self._desk.decide.found([face_id], name))
        return self._decided(self._desk.decide.name(person_id, name, [face_id]))

    def merge(self, one: str, into: str, together: bool = False) -> Answer:
        return self._decided(self._desk.decide.merge(self._person(one), self._person(into), together=together))

    def split(self, person: str, into: int | None = None) -> Answer:
        """A person is several: as many as `into`, or as many as appear."""
        person_id = self._person(person)
        with self._desk.store.read() as txn:
            parts = parts_of(txn, person_id, into, self._desk.book.rules, SPLIT_SEED)
        answer = self._decided(self._desk.decide.split(person_id, parts))
        now = [int(self._desk.roster.person_of[part[0]]) for part in parts]
        return answer | {
            "persons": [{"person_id": id_, "faces": len(part)} for id_, part in zip(now, parts, strict=True)]
        }

    def reject(self, faces: Sequence[str | Picture]) -> Answer:
        return self._decided(self._desk.decide.reject([self._face(face) for face in faces]))

    def assign(self, faces: Sequence[str | Picture], person: str, new: bool = False) -> Answer:
        """new: `person` is the name of somebody who has no face here yet."""
        face_ids = [self._face(face) for face in faces]
        if new:
            return self._decided(self._desk.decide.found(face_ids, person))
        return self._decided(self._desk.decide.assign(face_ids, self._person(person)))

    def hide(self, person: str, hidden: bool = True) -> Answer:
        return self._decided(self._desk.decide.hide(self._person(person), hidden=hidden))

    def undo(self, decision_id: int | None = None) -> Answer:
        """Take a decision back, the latest one if none is named."""
        undone, decision = self._desk.decide.undo(decision_id)
        return {"undone": undone, "says": decision.says}

    # what is meant, and what was done

    def _person(self, text: str) -> int:
        with self._desk.store.read() as txn:
            return _person(txn, text)

    def _face(self, meant: str | Picture) -> int:
        with self._desk.store.read() as txn:
            if isinstance(meant, str):
                if not meant.isdecimal():
                    raise RequestError(f"{meant} is neither a face's number nor a picture that can be read")
                return int(meant)
            return _face_in(txn, meant)

    def _similarities(self, vector: Float32) -> tuple[Int64, Float32]:
        """Every person's id and how similar its centroid is."""
        centroids = self._desk.roster.centroids
        found = self._desk.in_gallery(lambda: (centroids.ids.copy(), centroids.matrix @ vector))
        return cast("tuple[Int64, Float32]", found)

    def _cover(self, person_id: int) -> list[int]:
        """The face that stands for a person, nearest to its centroid: whoever names the person has looked at it."""

        def find() -> list[int]:
            roster = self._desk.roster
            rows = np.flatnonzero(roster.centroids.ids == person_id)
            ids = np.flatnonzero((roster.person_of == person_id) & roster.founder)
            if len(rows) == 0 or len(ids) == 0:
                return [int(face_id) for face_id in np.flatnonzero(roster.person_of == person_id)[:1]]
            centroid = roster.centroids.matrix[rows[0]]
            with self._desk.store.read() as txn:
                best = max(
                    (float(similarity), -int(face_id))
                    for start in range(0, len(ids), 4096)
                    for part in (ids[start : start + 4096],)
                    for face_id, similarity in zip(part, txn.vectors(part) @ centroid, strict=True)
                )
            return [-best[1]]

        return list(self._desk.in_gallery(find))

    def _run(self, kept: Kept) -> Answer:
        run_id, run = kept
        with self._desk.store.read() as txn:
            moves = [self._move(txn, move) for move in run.moves]
        return answers.run_summary(run_id, run) | {"moves": moves, "at_risk": _named_losses(moves)}

    def _move(self, txn: Transaction, move: Any) -> Answer:
        def side(person_id: int) -> Answer | None:
            person = txn.persons.get(person_id)
            if person_id >= UNBORN:
                return {"person_id": None, "name": f"new {person_id - UNBORN + 1}", "named": False}
            return {"person_id": person_id, "name": person.name, "named": person.named} if person else None

        before = txn.persons.get(move.before)
        images = [
            answers.image_path(txn, self._desk.library, face.image_id, before.folder if before else "")
            for face_id in move.examples
            if (face := txn.faces.get(face_id)) is not None
        ]
        return {
            "from": side(move.before),
            "to": side(move.after),
            "faces": move.faces,
            "of": move.of,
            "examples": images,
        }

    def _decided(self, decision_id: int) -> Answer:
        with self._desk.store.read() as txn:
            decision = txn.decisions.get(decision_id)
        assert decision is not None, decision_id
        return {"decision_id": decision_id, "says": decision.says}


def _person(txn: Transaction, text: str) -> int:
    """The person that a text means. Raises RequestError."""
    if text.isdecimal():
        return living_person(txn, int(text))
    wanted = text.casefold().rstrip("/")
    alive = {record.person_id for _, record in txn.assignments.items()}
    found = [
        id_
        for id_, person in txn.persons.items()
        if id_ in alive and wanted in (person.name.casefold(), person.folder.casefold())
    ]
    if not found:
        raise RequestError(f"nobody here is called {text!r}: `face-organizer people` lists everybody")
    return found[0]


def _image(txn: Transaction, picture: Picture) -> int:
    image_id = txn.image_of_content(bytes.fromhex(picture["digest"]))
    if not image_id:
        raise RequestError(f"{picture['path']} is not in this library (its content is what counts, not its name)")
    return image_id


def _face_in(txn: Transaction, picture: Picture) -> int:
    """The face of a picture that is meant: the only one, or the one of the person in whose folder it lies."""
    image = txn.images.get(_image(txn, picture))
    face_ids = image.face_ids if image else ()
    if not face_ids:
        raise RequestError(f"no face was found in {picture['path']}")
    if len(face_ids) == 1:
        return face_ids[0]
    told = []
    for face_id in face_ids:
        assignment = txn.assignments.get(face_id)
        person = txn.persons.get(assignment.person_id) if assignment and assignment.person_id else None
        if person is not None and person.folder == picture["folder"]:
            return face_id
        told.append(f"{face_id} ({person.name if person else 'nobody'})")
    raise RequestError(f"{picture['path']} shows {len(face_ids)} faces: {', '.join(told)}; say which number")


def _named_losses(moves: list[Answer]) -> list[Answer]:
    """The named persons that lose faces."""
    lost: dict[int, Answer] = {}
    for move in moves:
        person = move["from"]
        if person is not None and person["named"]:
            row = lost.setdefault(person["person_id"], {**person, "of": move["of"], "loses": 0})
            row["loses"] += move["faces"]
    return list(lost.values())


def proposal(txn: Transaction) -> Answer | None:
    """The run that waits to be applied, for status."""
    waiting = [(id_, run) for id_, run in txn.runs.items() if run.state == "proposed"]
    return _waiting(*waiting[-1]) if waiting else None


def _waiting(run_id: int, run: RunRecord) -> Answer:
    return {"run_id": run_id, "why": run.waits, "moved": run.moved, "merged": run.merged, "split": run.split}
