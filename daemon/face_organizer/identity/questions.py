"""What is worth asking a human: which two persons are one, and which faces are with the wrong person.

Room:    identity (thinks)
Imports: types, clusters, links

Both are one question: are these two groups of faces one person? How likely that is follows from their linkage
(identity/clusters.py) and the bound for links, alike for two persons and for a part of a person and the rest of it
(measured, see docs/search.md). A question is worth the faces that its answer is expected to put right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face_organizer.identity.clusters import linkage
from face_organizer.identity.links import connected
from face_organizer.types import NOBODY, Float32, Int64

EVEN_BELOW, EVEN_WIDTH = 2 / 3, 1 / 3
"""Of the pairs that clustering left apart half are one person so far below the bound for links; a width above that,
three of four are. In deviations of how alike two strangers are: that is what differs from model to model."""

SPREAD = 0.09
"""That deviation, of the default model; where a user gave the bounds, no pack's is known."""

LIKELY_MIN = 0.05
"""What is less likely is not asked."""

SUSPECT_BELOW, ALIKE_ABOVE = 3.0, 0.8
"""From the bound for links, in the same deviations. A face that is no nearer to its person than so much above it is
looked at; with those that are so much alike it is one stranger."""

SUSPECTS_MAX, SUSPECTS_OF_ONE = 4096, 512
"""So many faces are looked at in all, and of one person, those least like their own person."""

_ROWS_AT_ONCE = 1024
_ODDS_OF_3 = float(np.log(3))


@dataclass(frozen=True, slots=True)
class Bound:
    """similarity_link_min: the model pack's; spread: the deviation of the similarities of two strangers."""

    similarity_link_min: float
    spread: float = SPREAD

    def beyond(self, deviations: float) -> float:
        """A similarity so many deviations above the bound."""
        return self.similarity_link_min + deviations * self.spread


@dataclass(frozen=True, slots=True, eq=False)
class Same:
    """Pairs of persons that may be one. a < b: int64 (m,), rows of persons; similarity: float32 (m,), their linkage;
    likely: float32 (m,), that they are one."""

    a: Int64
    b: Int64
    similarity: Float32
    likely: Float32


@dataclass(frozen=True, slots=True, eq=False)
class Stranger:
    """Faces of one person that may be somebody else's. rows: int64 (k,), of suspects, the one least like the person
    first; person: its row; similarity: the linkage with the person's other faces; likely: that they are a stranger's.
    other: the row of the nearest other person, -1 if there is none; other_similarity: to its centroid."""

    rows: Int64
    person: int
    similarity: float
    likely: float
    other: int
    other_similarity: float


def likely_one(linked: Float32, bound: Bound) -> Float32:
    """How likely two groups of faces are one person that clustering has left apart. linked: float32 (m,)"""
    above = linked - np.float32(bound.beyond(-EVEN_BELOW))
    return np.asarray(1 / (1 + np.exp(-above * np.float32(_ODDS_OF_3 / (EVEN_WIDTH * bound.spread)))), np.float32)


def likely_same(sums: Float32, sizes: Int64, bound: Bound) -> Same:
    """Every pair of persons that may well be one.

    sums: float32 (p, d), of the embeddings of each one's founders; sizes: int64 (p,), of how many, 0 for none
    """
    lengths = np.linalg.norm(sums, axis=1)
    unit = sums / np.maximum(lengths, 1e-6)[:, None]
    floor = bound.beyond(-EVEN_BELOW - EVEN_WIDTH / _ODDS_OF_3 * float(np.log(1 / LIKELY_MIN - 1)))
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(unit), _ROWS_AT_ONCE):
        cosines = unit[start : start + _ROWS_AT_ONCE] @ unit[start:].T  # never below the linkage, and cheaper
        found.append(np.stack(np.nonzero(np.triu(cosines >= floor, 1)), axis=1) + start)
    pairs = np.concatenate(found)
    a, b = pairs[(sizes[pairs] > 0).all(axis=1)].T
    own = sizes.astype(np.float32)
    dots = np.einsum("nd,nd->n", sums[a], sums[b])
    linked = linkage(dots, own[a] * own[b], lengths[a] * lengths[b], np.minimum(own[a], own[b]))
    likely = likely_one(linked, bound)
    kept = likely >= LIKELY_MIN
    return Same(a[kept], b[kept], linked[kept], likely[kept])


def suspects(own: Float32, bound: Bound) -> Int64:
    """The faces to look at, least like their own person first. own: float32 (n,), see similarities_without_self"""
    rows = np.flatnonzero(own < bound.beyond(SUSPECT_BELOW))  # NaN never is
    return np.asarray(rows[np.argsort(own[rows], kind="stable")[:SUSPECTS_MAX]])


def likely_strangers(
    vectors: Float32,
    person: Int64,
    founder: NDArray[np.bool_],
    sums: Float32,
    sizes: Int64,
    bound: Bound,
) -> list[Stranger]:
    """Groups of suspects that may well be with the wrong person.

    vectors: float32 (n, d), unit rows, in the order of `suspects`; person: int64 (n,), each one's row in sums;
    founder: bool (n,); sums: float32 (p, d), of the founders' embeddings; sizes: int64 (p,), of how many
    """
    found, halves = [], set[int]()
    for rows in _alike(vectors, person, bound.beyond(ALIKE_ABOVE)):
        whose = int(person[rows[0]])
        linked = _with_the_rest(vectors[rows], founder[rows], whose, sums, sizes)
        if linked is None or whose in halves:
            continue
        stranger = 1 - float(likely_one(np.array([linked], np.float32), bound)[0])
        if stranger >= LIKELY_MIN:
            found.append((rows, whose, linked, stranger))
            if 2 * len(rows) >= sizes[whose]:
                halves.add(whose)  # the other half would be the same question
    nearest = _nearest_other(vectors, [rows for rows, *_ in found], person, sums)
    return [Stranger(*each, *other) for each, other in zip(found, nearest, strict=True)]


def similarities_without_self(
    vectors: NDArray[np.floating], person: Int64, founder: NDArray[np.bool_], sums: Float32, sizes: Int64
) -> Float32:
    """How similar each face is to its person as the others make it, float32 (n,); NaN for nobody's, and for the only
    face that makes its person.

    vectors: (n, d), unit rows, some thousands; person: int64 (n,), the row in sums, -1 for nobody's; founder: bool (n,)
    """
    similarity = np.full(len(vectors), np.nan, np.float32)
    rows = np.flatnonzero(person >= 0)
    rows = rows[sizes[person[rows]] > founder[rows]]
    own = vectors[rows].astype(np.float32)
    others = sums[person[rows]] - own * founder[rows, None]
    similarity[rows] = np.einsum("nd,nd->n", own, others) / np.maximum(np.linalg.norm(others, axis=1), 1e-6)
    return similarity


def rows_of(persons: Int64, person_of: Int64) -> Int64:
    """The row in `persons` (ascending) of each face's person, int64 (n,), -1 for nobody's and for one not there."""
    if len(persons) == 0:
        return np.full(len(person_of), -1, np.int64)
    rows = np.minimum(np.searchsorted(persons, person_of), len(persons) - 1)
    return np.where((persons[rows] == person_of) & (person_of != NOBODY), rows, -1)


def _alike(vectors: Float32, person: Int64, similarity_min: float) -> Iterator[Int64]:
    """The rows of one person that hang together, their order kept."""
    order = np.argsort(person, kind="stable")
    _, starts = np.unique(person[order], return_index=True)
    for part in np.split(order, starts[1:]):
        mine = part[:SUSPECTS_OF_ONE]
        one, other = np.nonzero(np.triu(vectors[mine] @ vectors[mine].T >= similarity_min, 1))
        root = connected(one, other, len(mine))
        for first in np.unique(root).tolist():
            yield mine[root == first]


def _with_the_rest(own: Float32, founder: NDArray[np.bool_], person: int, sums: Float32, sizes: Int64) -> float | None:
    """The linkage of some faces of a person with its others; None where these are fewer. own: float32 (k, d)"""
    rest, others = sums[person] - own[founder].sum(axis=0), int(sizes[person] - founder.sum())
    if others < len(own):
        return None
    total = own.sum(axis=0)
    lengths = np.linalg.norm(total) * np.linalg.norm(rest)
    figures = (total @ rest, others * len(own), lengths, min(others, len(own)))
    return float(linkage(*(np.array([figure], np.float32) for figure in figures))[0])


def _nearest_other(vectors: Float32, groups: list[Int64], person: Int64, sums: Float32) -> list[tuple[int, float]]:
    """The nearest person but its own of each group of faces, and how near."""
    if len(sums) < 2 or not groups:
        return [(-1, -1.0)] * len(groups)
    unit = sums / np.maximum(np.linalg.norm(sums, axis=1), 1e-6)[:, None]
    means = np.stack([vectors[rows].sum(axis=0) for rows in groups])
    means /= np.maximum(np.linalg.norm(means, axis=1), 1e-6)[:, None]
    own = np.array([person[rows[0]] for rows in groups])
    found: list[tuple[int, float]] = []
    for start in range(0, len(means), _ROWS_AT_ONCE):
        cosines = means[start : start + _ROWS_AT_ONCE] @ unit.T
        cosines[np.arange(len(cosines)), own[start : start + _ROWS_AT_ONCE]] = -1
        found += zip(cosines.argmax(axis=1).tolist(), cosines.max(axis=1).tolist(), strict=True)
    return found
