"""Holds what lies in the library's folders against the places that truth has, as numbers: half a million in arrays.

Room:    pipeline (moves)
Imports: types, records, ports, pulse

A path is 64 bits that stand for it in this process, and so are the size and time of what lies there.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face_organizer.pipeline.pulse import beat
from face_organizer.ports import Transaction, Tree
from face_organizer.records import FileRecord
from face_organizer.types import Int64, Signature

BEAT_EVERY = 1024
ENTRY = np.dtype([("place", np.int64), ("stamp", np.int64)])
PLACED = np.dtype([("place", np.int64), ("stamp", np.int64), ("file_id", np.int64), ("folder", np.int64)])
UNSTAMPED = 0
"""The stamp of what is not compared: a link has a size and a time of its own."""

Rows = NDArray[Any]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """Every place that truth has beside what lies there. placed: PLACED (n,). pending: the ids of files on their way.
    at: the entry nearest to it, (n,). stands: something lies there; ours: its file is on its way; hidden: its folder
    could not be looked into; each (n,)."""

    placed: Rows
    pending: Int64
    at: Int64
    stands: Mask
    ours: Mask
    hidden: Mask

    def known(self) -> int:
        """How many files have a place; one that has several counts once."""
        return len(np.unique(self.placed["file_id"]))

    def gone(self) -> Int64:
        """The files of which people took something from where it was put."""
        return np.unique(self.placed["file_id"][~self.stands & ~self.ours & ~self.hidden])

    def strange(self, lying: Rows) -> frozenset[int]:
        """Where something lies and truth put nothing, by key. lying: ENTRY (m,), as matched."""
        return frozenset(lying["place"][~np.isin(lying["place"], self.placed["place"])].tolist())

    def changed(self, lying: Rows) -> Int64:
        """The files whose size or time is another. lying: ENTRY (m,), as matched."""
        if not len(lying):
            return np.zeros(0, np.int64)
        stamp = lying["stamp"][self.at]
        changed = self.stands & (stamp != self.placed["stamp"]) & (stamp != UNSTAMPED)
        twice = np.isin(self.placed["place"], _repeated(self.placed["place"]))
        return np.unique(self.placed["file_id"][changed & ~(self.ours & twice)])


def entries(tree: Tree) -> Rows:
    """ENTRY (m,): whatever lies in the folders. Raises OSError where the library is away."""

    def rows() -> Iterator[tuple[int, int]]:
        for number, lying in enumerate(tree.walk()):
            if number % BEAT_EVERY == 0:
                beat()
            yield key_of(lying.place), UNSTAMPED if lying.kind == "link" else stamp_of(lying.signature)

    return np.fromiter(rows(), ENTRY)


def match(txn: Transaction, lying: Rows, closed: Collection[str]) -> Matched:
    """lying: ENTRY (m,). closed: the folders that could not be looked into."""
    placed = np.fromiter(_placed(txn), PLACED)
    pending = np.array(txn.pending(txn.pending_count() + 1), np.int64)
    order = np.argsort(lying["place"], kind="stable")
    at = np.searchsorted(lying["place"], placed["place"], sorter=order)
    at = order[np.minimum(at, len(order) - 1)] if len(order) else np.zeros(len(placed), np.int64)
    stands = (lying["place"][at] == placed["place"]) if len(lying) else np.zeros(len(placed), bool)
    hidden = np.isin(placed["folder"], np.array([key_of(folder) for folder in closed], np.int64))
    return Matched(placed, pending, at, stands, np.isin(placed["file_id"], pending), hidden)


def places_of(file: FileRecord) -> tuple[str, ...]:
    return tuple(os.fsdecode(place) for place in file.places)


def folder_of(place: str) -> str:
    return place.partition("/")[0]


def key_of(text: str) -> int:
    """64 bits that stand for a path, in this process."""
    return hash(text)


def stamp_of(signature: Signature) -> int:
    return hash((signature.size_bytes, signature.mtime_ns)) or 1


def _placed(txn: Transaction) -> Iterator[tuple[int, int, int, int]]:
    for number, (file_id, file) in enumerate(txn.files.items()):
        if number % BEAT_EVERY == 0:
            beat()
        if not file.missing:
            stamp = stamp_of(file.signature)
            for place in places_of(file):
                yield key_of(place), stamp, file_id, key_of(folder_of(place))


def _repeated(keys: Int64) -> Int64:
    """Those that are there more than once."""
    found, counts = np.unique(keys, return_counts=True)
    return np.asarray(found[counts > 1])
