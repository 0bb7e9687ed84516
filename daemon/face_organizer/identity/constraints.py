"""What humans decided about faces, as constraints that every clustering must respect.

Room:    identity (thinks)
Imports: types, records, numpy

Decisions are the truth, constraints are a view of them: folded anew whenever one is made or taken back. They speak of
faces and persons only, never of similarities, so they outlive every bound and every model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np

from face_organizer.records import DecisionRecord
from face_organizer.types import NOBODY, Int64, PersonId


@dataclass(frozen=True, slots=True)
class Constraints:
    """confirmed: face -> the person it is. rejected: face -> the persons it is not. A face is in one or both, but
    never confirmed as a person that it was rejected from."""

    confirmed: Mapping[int, int] = field(default_factory=dict)
    rejected: Mapping[int, frozenset[int]] = field(default_factory=dict)

    def anchors(self, face_ids: Int64) -> Int64:
        """int64 (n,): the person each face was confirmed to be, 0 for none. face_ids: ascending."""
        anchors = np.zeros(len(face_ids), np.int64)
        confirmed = np.fromiter(self.confirmed.keys(), np.int64, len(self.confirmed))
        persons = np.fromiter(self.confirmed.values(), np.int64, len(self.confirmed))
        if len(face_ids):
            rows = np.minimum(np.searchsorted(face_ids, confirmed), len(face_ids) - 1)
            there = face_ids[rows] == confirmed
            anchors[rows[there]] = persons[there]
        return anchors

    def rejections(self, face_ids: Int64) -> Int64:
        """int64 (r, 2): (row in face_ids, a person that the face is not), rows in order. face_ids: ascending."""
        pairs = []
        for face_id in sorted(self.rejected):
            row = int(np.searchsorted(face_ids, face_id))
            if row < len(face_ids) and face_ids[row] == face_id:
                pairs += [(row, person_id) for person_id in sorted(self.rejected[face_id])]
        return np.array(pairs, np.int64).reshape(-1, 2)

    def speaks_of(self, persons: AbstractSet[int]) -> bool:
        """Was anything that still holds said of one of these persons?"""
        if not persons:
            return False
        of_anybody = any(not others.isdisjoint(persons) for others in self.rejected.values())
        return of_anybody or not persons.isdisjoint(self.confirmed.values())

    def persons(self) -> frozenset[int]:
        """Persons with a confirmed face."""
        return frozenset(self.confirmed.values())


def fold(decisions: Iterable[DecisionRecord], merged_into: Mapping[int, int]) -> Constraints:
    """The constraints that all decisions make together. In order: the later one wins where two contradict each other.

    merged_into: person -> who took it over: what was said of a person holds for the heir.
    """
    confirmed: dict[int, int] = {}
    rejected: dict[int, set[int]] = {}
    said: dict[int, int] = {}  # the person that was named then, whoever took that over since
    for decision in decisions:
        if decision.undone_by:
            continue
        for verdict in decision.verdicts:
            person_id = heir(verdict.person_id, merged_into)
            for face_id in verdict.face_ids:
                if verdict.is_person:
                    confirmed[face_id], said[face_id] = person_id, verdict.person_id
                    rejected.get(face_id, set()).discard(person_id)
                elif confirmed.get(face_id) != person_id or verdict.person_id in (person_id, said[face_id]):
                    rejected.setdefault(face_id, set()).add(person_id)
                    if confirmed.get(face_id) == person_id:
                        del confirmed[face_id]
    return Constraints(confirmed, {face_id: frozenset(persons) for face_id, persons in rejected.items() if persons})


def heir(person_id: int, merged_into: Mapping[int, int]) -> int:
    """Who this person is today: follows 12 -> 7 -> 3 to its end."""
    seen = {person_id}
    while (following := merged_into.get(person_id, 0)) and following not in seen:
        person_id = following
        seen.add(person_id)
    return person_id


def enforce(person_of: Int64, anchor_of: Int64, rejections: Int64) -> Int64:
    """The same persons, with the last word given to humans.

    A confirmed face is who it was confirmed to be; a face that landed with a person it is not becomes nobody.
    person_of, anchor_of: int64 (n,), 0 for none; rejections: int64 (r, 2) as Constraints.rejections. Returns (n,).
    """
    assert len(person_of) == len(anchor_of), (person_of.shape, anchor_of.shape)
    enforced = np.where(anchor_of != 0, anchor_of, person_of)
    rows, persons = rejections[:, 0], rejections[:, 1]
    enforced[rows[enforced[rows] == persons]] = NOBODY
    return enforced


def allowed(face_id: int, person_ids: Int64, constraints: Constraints, taken: AbstractSet[int]) -> Int64:
    """The rows of person_ids that a face may join: not those it was rejected from, not those of its image's others."""
    barred = constraints.rejected.get(face_id, frozenset()) | taken
    return np.array(
        [row for row, person_id in enumerate(person_ids.tolist()) if PersonId(person_id) not in barred], int
    )
