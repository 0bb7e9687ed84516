"""Looking the library over: a person's faces, the map of persons, what is worth asking a human, what is to be trusted.

Room:    app (wires)
Imports: pipeline, calls, types, errors
"""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import Literal

import numpy as np

from face_organizer.calls.desk import Answer, Desk
from face_organizer.calls.meant import person_meant
from face_organizer.errors import RequestError
from face_organizer.pipeline import answers
from face_organizer.pipeline.album import Albums
from face_organizer.pipeline.atlas import Plane, plane_of
from face_organizer.pipeline.remade import Remade, stamp_of
from face_organizer.pipeline.review import face_told, open_questions, question_told
from face_organizer.pipeline.runs import newest
from face_organizer.pipeline.survey import Survey, survey
from face_organizer.pipeline.trust import changes_since, trust
from face_organizer.types import Float32, Int64

LIMIT_MAX = 500


class Review:
    """Each public method is a call by its name. Raises RequestError with a sentence for the asker."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._albums = Albums()
        self._survey: Remade[Survey] = Remade(self._look_over, monotonic)
        self._plane: Remade[Plane] = Remade(self._lay_out, monotonic)

    def faces_of(
        self, person: str, order: Literal["similarity", "newest"] = "similarity", offset: int = 0, limit: int = 100
    ) -> Answer:
        """A person's faces: {"total", "faces"}. order: similarity, the most like the person first, so that intruders
        sit last; or newest first."""
        if order not in ("similarity", "newest"):
            raise RequestError(f"faces are sorted by similarity or newest, not by {order!r}")
        desk, part = self._desk, _page(offset, limit)
        with desk.store.read() as txn:
            person_id = person_meant(txn, person)
            face_ids, centroid = desk.in_gallery(lambda: self._of(person_id))
            constraints = desk.book.constraints
        with desk.store.read() as txn:  # after the roster: every face that it has is there
            sorted_ids, similarity = self._albums.by_similarity(txn, person_id, face_ids, centroid)
            if order == "newest":
                newest = np.argsort(-sorted_ids)
                sorted_ids, similarity = sorted_ids[newest], similarity[newest]
            shown = zip(sorted_ids[part].tolist(), similarity[part].tolist(), strict=True)
            faces = [
                face_told(txn, desk.library, face_id, None if each != each else each, constraints)
                for face_id, each in shown
                if txn.faces.get(face_id) is not None
            ]
        return {"person_id": person_id, "total": len(face_ids), "faces": faces}

    def review(self, limit: int = 20) -> list[Answer]:
        """The questions whose answers put most faces right, best first: is this one person, is this face an intruder.

        What was answered does not come back: yes is a merge or a reject, no is apart or an assign.
        """
        part = _page(0, limit)
        with self._desk.store.read() as txn:
            stamp = stamp_of(txn)
        found = self._survey.get(stamp)
        return self._asked(found, part) or self._asked(self._survey.get(stamp, now=True), part)

    def map(self) -> Answer:
        """Everybody who is not hidden on a plane, for looking: who looks alike lies close together."""
        desk = self._desk
        with desk.store.read() as txn:
            stamp = stamp_of(txn)
        plane = self._plane.get(stamp)
        faces = desk.in_gallery(lambda: dict(desk.roster.faces_of))
        covers = {row["person_id"]: row["cover"] for row in desk.crowd.look().rows}
        points = []
        with desk.store.read() as txn:
            for person_id, (x, y) in zip(plane.person_ids.tolist(), plane.places.tolist(), strict=True):
                person = txn.persons.get(person_id)
                if person is not None and not person.hidden and person_id in faces:
                    point = {"person_id": person_id, "x": round(x, 4), "y": round(y, 4), "faces": faces[person_id]}
                    told = {"name": person.name, "named": person.named, "cover": covers.get(person_id)}
                    points.append(point | told)
        return {"points": points}

    def report(self, shown: int = 24, now: bool = True) -> Answer:
        """How far the library is to be trusted: provable errors, likely ones, what changed, what is covered.

        shown: at most so many of each kind; every kind's number is told. now: False, if the likely errors may be those
        of a little while ago; what was answered since is none of them.
        """
        part = _page(0, shown)
        desk = self._desk
        with desk.store.read() as txn:
            stamp = stamp_of(txn)
        found = self._survey.get(stamp, now=now)
        with desk.store.read() as txn:
            counted = desk.in_gallery(lambda: answers.counts(txn, desk.roster))
            told = trust(txn, desk.library, found, desk.book.constraints, part.stop)
            last_id = newest(txn, "applied")
            last = txn.runs.get(last_id)
            changes = changes_since(txn, last_id, last)
        return {"library": answers.printable(str(desk.library)), "counts": counted, **told, "changes": changes}

    # what is made of the whole library

    def _look_over(self, _before: Survey | None) -> Survey:
        desk = self._desk
        picture = desk.in_gallery(desk.roster.picture)
        # Where a library lowered its bound, strangers are rarer in it, but as alike as ever where they are alike.
        link_min = max(desk.book.rules.similarity_link_min, desk.recluster.rules.similarity_link_min)
        with desk.store.read() as txn:
            return survey(txn, picture, replace(desk.book.rules, similarity_link_min=link_min))

    def _lay_out(self, before: Plane | None) -> Plane:
        ids, sums, _ = self._desk.in_gallery(self._desk.roster.centroids.totals)
        return plane_of(ids, sums, before)

    def _asked(self, found: Survey, part: slice) -> list[Answer]:
        desk = self._desk
        with desk.store.read() as txn:
            questions = list(open_questions(txn, found, desk.book.constraints))[part]
            return [question_told(txn, desk.library, found, each) for each in questions]

    def _of(self, person_id: int) -> tuple[Int64, Float32 | None]:
        """A person's faces and its centroid. In the gallery's thread."""
        roster = self._desk.roster
        rows = np.flatnonzero(roster.centroids.ids == person_id)
        centroid = roster.centroids.matrix[rows[0]].copy() if len(rows) else None
        return np.flatnonzero(roster.person_of == person_id), centroid


def _page(offset: int, limit: int) -> slice:
    """Raises RequestError."""
    if offset < 0 or not 0 < limit <= LIMIT_MAX:
        raise RequestError(f"a list begins at 0 or later and holds 1 to {LIMIT_MAX} lines, not {offset} and {limit}")
    return slice(offset, offset + limit)
