"""Keeps with their person the faces that a re-clustering would take away by a hair.

Room:    identity (thinks)
Imports: types, records, calibrate, clusters, numpy

A face whose linkage lies near the bound changes sides with every face that comes and with every move of a library's own
bound, although nothing was learned about it. So there are two bounds, a little apart: one to come together, and a lower
one to part (hysteresis). How far apart: as far as the bound itself is uncertain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face_organizer.identity.calibrate import PERSONS_FOR_HALF
from face_organizer.identity.clusters import linkage
from face_organizer.records import UNBORN
from face_organizer.types import NOBODY, Int64

UNCERTAIN = 0.2
"""The error of a bound that one person would give, if it had the whole say (`held_back`): half of the way (calibrate's
FOLLOWED) of four deviations between strangers, .09 each, whose own error is some 1.2 / sqrt(persons)."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The faces of a run, one row each. vectors: (n, d), unit rows; founder: bool (n,), who shapes a person; before:
    bool (n,), who was there at the last run, and of whom no human said anything; labels: int64 (n,), the run's
    clusters, -1 for none; image_of: int64 (n,), two faces of one image are two persons, None: they need not be."""

    vectors: NDArray[np.floating]
    founder: NDArray[np.bool_]
    before: NDArray[np.bool_]
    labels: Int64
    image_of: Int64 | None = None


def held_back(persons: int) -> float:
    """How much must speak for parting in a library of so many persons (whoever is nobody counts as one)."""
    return float(UNCERTAIN * np.sqrt(persons) / (persons + PERSONS_FOR_HALF))


def steadied(
    person_of: Int64,
    current: Int64,
    seen: Seen,
    *,
    similarity_link_min: float,
    similarity_join_min: float,
    faces_min: int,
) -> Int64:
    """Who everybody is, with those back that left their person without good reason: a new array, int64 (n,).

    Founders that left a person together stay if they are linked to the rest of it, or to those of the rest who were
    there before, by similarity_link_min less `held_back`, and to those that they would go to by no more than that more;
    any other face, if it is as similar to the centroid by similarity_join_min. A person that would fall apart into
    faces of nobody keeps what is so linked to its largest part. A person that another takes over as a whole, and faces
    that become a new person with others, are not looked at.

    person_of, current: int64 (n,), after the run and before, 0 for nobody, new persons from UNBORN on
    """
    assert len(person_of) == len(current) == len(seen.vectors), (person_of.shape, current.shape, seen.vectors.shape)
    hold = held_back(len(np.unique(seen.labels)))
    kept = person_of.copy()
    groups = _Groups(person_of, kept)
    left = np.flatnonzero((current != NOBODY) & (person_of != current) & seen.before)
    for person, rows in _grouped(current[left], left):
        parts = _parts(rows, seen)
        rest = groups.of(person)
        if len(rest) == 0:  # it would be nobody any more
            if (person_of[current == person] != NOBODY).any() or not seen.founder[parts[0]].all():
                continue
            rest = parts.pop(0)
        for part in parts:
            to = int(person_of[part[0]])
            beside = np.setdiff1d(groups.of(to), part)
            if to >= UNBORN and len(beside):
                continue
            needed = similarity_link_min if seen.founder[part[0]] else similarity_join_min
            older = rest[seen.before[rest] & (current[rest] == person)]
            linked = max(_linked(part, rest, seen), _linked(part, older, seen))
            if linked >= max(needed, _linked(part, beside, seen)) - hold and not _share_image(part, rest, seen):
                rest = np.concatenate([rest, part])
        if len(rest) >= faces_min:
            kept[rest] = person
    return kept


class _Groups:
    """The faces of each person after the run, less those that went back."""

    def __init__(self, person_of: Int64, kept: Int64) -> None:
        self._order = np.argsort(person_of, kind="stable")
        self._sorted, self._kept = person_of[self._order], kept

    def of(self, person: int) -> Int64:
        if person == NOBODY:
            return np.empty(0, np.int64)
        first, last = np.searchsorted(self._sorted, [person, person + 1])
        rows = self._order[first:last]
        there: Int64 = rows[self._kept[rows] == person]
        return there


def _grouped(keys: Int64, rows: Int64) -> Iterator[tuple[int, Int64]]:
    """The rows of each key."""
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    yield from zip(found.tolist(), np.split(rows[order], starts[1:]), strict=False)


def _parts(rows: Int64, seen: Seen) -> list[Int64]:
    """What left one person, taken apart: founders that are still together, and every other face alone. Founders and
    larger parts first, then older ones."""
    label = np.where(seen.founder[rows] & (seen.labels[rows] >= 0), seen.labels[rows], -2 - np.arange(len(rows)))
    parts = [part for _, part in _grouped(label, rows)]
    return sorted(parts, key=lambda part: (not seen.founder[part[0]], -len(part), int(part[0])))


def _linked(part: Int64, rest: Int64, seen: Seen) -> float:
    """How strongly the part is linked to the founders of the rest; a face that is none, its similarity to the centroid.
    -1 where there are none."""
    rest = rest[seen.founder[rest]]
    if len(rest) == 0:
        return -1.0
    a, b = (seen.vectors[rows].astype(np.float32).sum(axis=0) for rows in (part, rest))
    dot, lengths = np.atleast_1d(a @ b), np.atleast_1d(np.linalg.norm(a) * np.linalg.norm(b))
    if not seen.founder[part[0]]:
        return float(dot[0] / max(lengths[0], 1e-6))
    sizes = np.array([len(part) * len(rest)], np.float32)
    return float(linkage(dot, sizes, lengths, np.array([min(len(part), len(rest))], np.float32))[0])


def _share_image(part: Int64, rest: Int64, seen: Seen) -> bool:
    return seen.image_of is not None and bool(np.isin(seen.image_of[part], seen.image_of[rest]).any())
