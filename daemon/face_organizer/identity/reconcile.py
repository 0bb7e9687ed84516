"""Carries the persons over to new clusters: clusters come and go with a run, a person_id never changes meaning.

Room:    identity (thinks)
Imports: types, constraints, links, pairing, numpy, scipy

An optimal one-to-one matching of clusters to persons on the faces they share (Kuhn-Munkres), taken apart into the
connected parts of who shares anything with whom; faces that a human confirmed go before any count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from face_organizer.identity.constraints import enforce
from face_organizer.identity.links import connected
from face_organizer.identity.pairing import paired
from face_organizer.types import NOBODY, Int64

_KEPT_SHARE_MIN = 0.2
"""A person goes on only where at least this share of its faces goes. One stray face of a hundred that left for another
person must not make the stray's new cluster that person."""


CONFIRMED_WEIGHT = 1e6
"""What a human confirmed goes before any number of faces that nobody looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Reconciled:
    """What a re-clustering means for the persons. All ids are person ids.

    person_of: int64 (n,), the new person of each face, 0 for nobody. born: new persons. merged: vanished person -> the
    person most of its faces went to. split: persons that lost a group of faces_min faces or more to other persons, but
    go on. vanished: persons without a face and without a successor. moved: faces that had a person and changed it.
    """

    person_of: Int64
    born: tuple[int, ...]
    merged: Mapping[int, int]
    split: tuple[int, ...]
    vanished: tuple[int, ...]
    moved: int


def reconcile(
    face_ids: Int64,
    labels: Int64,
    current: Int64,
    *,
    faces_min: int,
    named: AbstractSet[int],
    next_person_id: int,
    anchor_of: Int64 | None = None,
    rejections: Int64 | None = None,
) -> Reconciled:
    """Give every cluster the person it continues, or a new one.

    A person goes on where its confirmed faces are, if other faces of it are there too; else where most of its faces
    are. (One face that a human took from Bob and gave to Alice must not make a hundred faces of Bob Alice's.) Humans
    have the last word on every single face. A named person never vanishes: where no cluster continues it, its faces
    stay with it. A cluster of fewer than faces_min faces becomes nobody unless it continues a named person.

    face_ids: int64 (n,), distinct; labels: int64 (n,), cluster of each face, -1 for none; current: int64 (n,), person
    of each face, 0 for nobody; named: those with confirmed faces are among them; next_person_id: larger than any id
    ever given; anchor_of: int64 (n,), the person that a human confirmed each face to be, 0 for none; rejections: int64
    (r, 2), (row, a person that the face is not)
    """
    assert len(face_ids) == len(labels) == len(current), (len(face_ids), len(labels), len(current))
    assert next_person_id > int(current.max(initial=0)), (next_person_id, int(current.max(initial=0)))
    anchor_of = np.zeros_like(current) if anchor_of is None else anchor_of
    rejections = np.empty((0, 2), np.int64) if rejections is None else rejections
    clusters, cluster_of = _numbered(labels, nothing=-1)
    persons, person_at = _numbered(current, nothing=int(NOBODY))
    isnamed = np.isin(persons, np.fromiter(named, np.int64, len(named)))

    person_of_cluster = np.full(len(clusters), int(NOBODY), np.int64)
    shared = _shared(cluster_of, person_at, len(clusters), len(persons))
    if anchor_of.any():
        shared = _weighed(shared, cluster_of, person_at, anchor_of, persons)
    for cluster, person in _matching(shared, isnamed):
        person_of_cluster[cluster] = persons[person]
    homeless = persons[isnamed & ~np.isin(persons, person_of_cluster)]
    stay = (anchor_of != NOBODY) | np.isin(current, homeless)

    going = (cluster_of >= 0) & ~stay
    sizes = np.bincount(cluster_of[going], minlength=len(clusters))
    too_small = (sizes < faces_min) & ~np.isin(person_of_cluster, persons[isnamed])
    births = _in_order_of_birth(cluster_of[going], face_ids[going], (person_of_cluster == NOBODY) & ~too_small)
    born = next_person_id + np.arange(len(births))
    person_of_cluster[births] = born
    person_of_cluster[too_small] = NOBODY

    person_of = np.where(stay, current, int(NOBODY))
    person_of[going] = person_of_cluster[cluster_of[going]]
    person_of = enforce(person_of, anchor_of, rejections)
    return told(person_of, current, tuple(born.tolist()), faces_min)


def told(person_of: Int64, current: Int64, born: tuple[int, ...], faces_min: int) -> Reconciled:
    """A change, told person by person. person_of, current: int64 (n,), 0 for nobody."""
    persons, _ = _numbered(current, nothing=int(NOBODY))
    changed = (current != NOBODY) & (current != person_of)
    alive = set(np.unique(person_of).tolist())
    merged: dict[int, int] = {}
    split = []
    vanished = [id_ for id_ in persons.tolist() if id_ not in alive]
    for old, heirs, counts in _departures(current[changed], person_of[changed]):
        if old in alive:
            if (counts[heirs != NOBODY] >= faces_min).any():
                split.append(old)
        elif heirs[counts.argmax()] != NOBODY:
            merged[old] = int(heirs[counts.argmax()])
    return Reconciled(
        person_of=person_of,
        born=born,
        merged=merged,
        split=tuple(split),
        vanished=tuple(id_ for id_ in vanished if id_ not in merged),
        moved=int(changed.sum()),
    )


def _numbered(keys: Int64, *, nothing: int) -> tuple[Int64, Int64]:
    """The distinct keys but `nothing`, and each key's place among them, -1 for `nothing`."""
    distinct = np.unique(keys[keys != nothing])
    if len(distinct) == 0:
        return distinct, np.full(len(keys), -1, np.int64)
    place = np.minimum(np.searchsorted(distinct, keys), len(distinct) - 1)
    return distinct, np.where(distinct[place] == keys, place, -1)


def _shared(cluster_of: Int64, person_at: Int64, clusters: int, persons: int) -> scipy.sparse.csr_array:
    """How many faces each cluster shares with each person, cells too small to carry a person left out."""
    both = (cluster_of >= 0) & (person_at >= 0)
    ones = np.ones(int(both.sum()), np.int64)
    table = (
        scipy.sparse.coo_array((ones, (cluster_of[both], person_at[both])), shape=(clusters, persons)).tocsr().tocoo()
    )
    whole = np.bincount(person_at[both], minlength=persons)
    carried = table.data >= _KEPT_SHARE_MIN * whole[table.col]
    cells = (table.data[carried], (table.row[carried], table.col[carried]))
    return scipy.sparse.csr_array(cells, shape=(clusters, persons))


def _weighed(
    shared: scipy.sparse.csr_array, cluster_of: Int64, person_at: Int64, anchor_of: Int64, persons: Int64
) -> scipy.sparse.csr_array:
    """The same table, with a weight beyond any count where a cluster holds confirmed faces of a person and others of
    it: the others count once more, CONFIRMED_WEIGHT times."""
    clusters = shared.shape[0]
    anchored = np.flatnonzero((anchor_of != NOBODY) & (cluster_of >= 0) & np.isin(anchor_of, persons))
    held = scipy.sparse.csr_array(
        (np.ones(len(anchored)), (cluster_of[anchored], np.searchsorted(persons, anchor_of[anchored]))),
        shape=(clusters, len(persons)),
    )
    other = np.flatnonzero((anchor_of == NOBODY) & (cluster_of >= 0) & (person_at >= 0))
    others = scipy.sparse.csr_array(
        (np.ones(len(other)), (cluster_of[other], person_at[other])), shape=(clusters, len(persons))
    )
    return scipy.sparse.csr_array(shared + CONFIRMED_WEIGHT * others.multiply(held > 0))


def _matching(shared: scipy.sparse.csr_array, isnamed: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """The (cluster, person) pairs that keep the most faces. Between equals: the named, then the older person."""
    clusters, persons = shared.shape
    cells = shared.tocoo()
    part_of = connected(cells.row, cells.col + clusters, clusters + persons)
    order = np.argsort(part_of[cells.row], kind="stable")
    _, starts = np.unique(part_of[cells.row][order], return_index=True)
    # The bonus of a person is worth less than one face even when every pair of a part earns it.
    bonus = (isnamed + 0.5 / (1 + np.arange(persons))) / (4.0 * (persons + 1))
    for part in np.split(order, starts[1:]) if len(order) else ():
        row, column, overlap = cells.row[part], cells.col[part], cells.data[part]
        rows, row_at = np.unique(row, return_inverse=True)
        columns, column_at = np.unique(column, return_inverse=True)
        gain = np.zeros((len(rows), len(columns)))
        gain[row_at, column_at] = overlap + bonus[column]
        for r, c in zip(*paired(gain), strict=True):
            if gain[r, c] > 0:
                yield int(rows[r]), int(columns[c])


def _in_order_of_birth(cluster_of: Int64, face_ids: Int64, new: NDArray[np.bool_]) -> Int64:
    """The new clusters, the one with the oldest face first: the same faces give the same ids whatever the labels."""
    oldest = np.full(len(new), np.iinfo(np.int64).max)
    np.minimum.at(oldest, cluster_of, face_ids)
    candidates = np.flatnonzero(new)
    return candidates[np.argsort(oldest[candidates], kind="stable")]


def _departures(old: Int64, new: Int64) -> Iterable[tuple[int, Int64, Int64]]:
    """For each old person: where its faces went, and how many to each."""
    pairs, counts = np.unique(np.stack([old, new], axis=1), axis=0, return_counts=True)
    ids, starts, lengths = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    for id_, start, length in zip(ids.tolist(), starts.tolist(), lengths.tolist(), strict=True):
        part = slice(start, start + length)
        yield id_, pairs[part, 1], counts[part]
