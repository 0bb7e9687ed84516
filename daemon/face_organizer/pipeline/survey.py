"""The whole library looked over: how many faces each person has, who stands for it, and what is worth asking a human.

Room:    pipeline (moves)
Imports: types, ports, identity, messages, pulse, roster
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from face_organizer.identity.questions import (
    SPREAD,
    Bound,
    likely_same,
    likely_strangers,
    rows_of,
    similarities_without_self,
    suspects,
)
from face_organizer.pipeline.messages import Rules
from face_organizer.pipeline.pulse import beat
from face_organizer.pipeline.roster import Picture
from face_organizer.ports import Transaction
from face_organizer.types import Float32, Int64


@dataclass(frozen=True, slots=True)
class SameQuestion:
    """Are persons a and b one? b: the one with fewer faces. similarity: their linkage. gain: the faces that asking is
    expected to put right."""

    a: int
    b: int
    similarity: float
    gain: float


@dataclass(frozen=True, slots=True)
class IntruderQuestion:
    """Are these faces, which look alike, somebody else than the person they are with? The least like it first.
    similarity: with the person's other faces; other: the nearest other person, 0 for none."""

    face_ids: tuple[int, ...]
    person_id: int
    similarity: float
    other: int
    other_similarity: float
    gain: float


Question = SameQuestion | IntruderQuestion


@dataclass(frozen=True, slots=True)
class Portrait:
    """A person in figures. cover: the face nearest to its centroid."""

    faces: int
    images: int
    cover: int


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """portraits: of every person. questions: the one that puts most faces right first. twice: int64 (m,), the faces
    that share an image and a person with another, which cannot be. similarity: float32 (n,), of every face to its
    person's other faces, NaN where there are none; in the order of face_ids, int64 (n,)."""

    portraits: dict[int, Portrait]
    questions: tuple[Question, ...]
    twice: Int64
    face_ids: Int64
    similarity: Float32

    def similarity_of(self, face_id: int) -> float | None:
        """None where there is nothing to compare the face with."""
        similarity = float(self.similarity[int(self.face_ids.searchsorted(face_id))])
        return None if similarity != similarity else similarity


def survey(txn: Transaction, picture: Picture, rules: Rules) -> Survey:
    """Look the library over: seconds for half a million faces. picture: taken before txn began."""
    row = rows_of(picture.person_ids, picture.person_of)
    similarity, nearness = np.full((2, len(row)), np.nan, np.float32)
    for face_ids, vectors in txn.vector_chunks():
        beat()
        at = np.minimum(np.searchsorted(picture.face_ids, face_ids), max(0, len(row) - 1))
        there = (picture.face_ids[at] == face_ids) if len(row) else np.zeros(len(face_ids), np.bool_)
        at, own = at[there], vectors[there]
        similarity[at] = similarities_without_self(own, row[at], picture.founder[at], picture.sums, picture.sizes)
        nearness[at] = np.einsum("nd,nd->n", own, picture.sums[row[at]]) * (row[at] >= 0)
    questions: list[Question] = [*_same(picture, row, rules), *_intruders(txn, picture, row, similarity, rules)]
    questions.sort(key=lambda each: (-each.gain, -each.similarity))
    return Survey(_portraits(picture, row, nearness), tuple(questions), _twice(picture), picture.face_ids, similarity)


def _same(picture: Picture, row: Int64, rules: Rules) -> Iterator[SameQuestion]:
    """Pairs that share an image are two persons, and need no question."""
    beat()
    found = likely_same(picture.sums, picture.sizes, _bound(rules))
    faces = np.bincount(row[row >= 0], minlength=len(picture.person_ids))
    asked = set(found.a.tolist()) | set(found.b.tolist())
    images = {each: set(picture.image_of[row == each].tolist()) for each in asked} if rules.one_face_per_image else {}
    for a, b, similarity, likely in zip(
        found.a.tolist(), found.b.tolist(), found.similarity.tolist(), found.likely.tolist(), strict=True
    ):
        if images and not images[a].isdisjoint(images[b]):
            continue
        large, small = sorted((a, b), key=lambda each: (-faces[each], each))
        large_id, small_id = picture.person_ids[[large, small]].tolist()
        yield SameQuestion(large_id, small_id, similarity, likely * int(faces[small]))


def _intruders(
    txn: Transaction, picture: Picture, row: Int64, similarity: Float32, rules: Rules
) -> Iterator[IntruderQuestion]:
    beat()
    rows = suspects(similarity, _bound(rules))
    found = likely_strangers(
        txn.vectors(picture.face_ids[rows]),
        row[rows],
        picture.founder[rows],
        picture.sums,
        picture.sizes,
        _bound(rules),
    )
    for each in found:
        yield IntruderQuestion(
            tuple(picture.face_ids[rows[each.rows]].tolist()),
            int(picture.person_ids[each.person]),
            each.similarity,
            int(picture.person_ids[each.other]) if each.other >= 0 else 0,
            each.other_similarity,
            each.likely * len(each.rows),
        )


def _bound(rules: Rules) -> Bound:
    return Bound(rules.similarity_link_min, rules.impostors.sd if rules.impostors else SPREAD)


def _portraits(picture: Picture, row: Int64, nearness: Float32) -> dict[int, Portrait]:
    """nearness: float32 (n,), to the person's centroid, in any unit. A founder goes before any other as the cover."""
    with_person = np.flatnonzero(row >= 0)
    order = with_person[
        np.lexsort((-np.nan_to_num(nearness[with_person]), ~picture.founder[with_person], row[with_person]))
    ]
    persons, first, faces = np.unique(row[order], return_index=True, return_counts=True)
    pairs = np.unique(np.stack([row[with_person], picture.image_of[with_person]], axis=1), axis=0)
    images = np.bincount(pairs[:, 0], minlength=len(picture.person_ids))
    covers = picture.face_ids[order[first]]
    return {
        int(picture.person_ids[person]): Portrait(count, int(images[person]), cover)
        for person, count, cover in zip(persons.tolist(), faces.tolist(), covers.tolist(), strict=True)
    }


def _twice(picture: Picture) -> Int64:
    with_person = np.flatnonzero(picture.person_of != 0)
    pairs = np.stack([picture.image_of[with_person], picture.person_of[with_person]], axis=1)
    _, inverse, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(picture.face_ids[with_person[counts[inverse.ravel()] > 1]])
