"""How many lists of an inverted file must be searched to find nearly all that an exhaustive search finds.

Room:    adapters (touches FAISS)
Imports: types, faiss, numpy

One exhaustive search of some stored faces tells, for each of the nearest others, how near its list's centre is among
all centres: so many lists have to be searched to find it. The share wanted of these numbers is the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from face_organizer.types import Float32, Int64

NEAREST = 10
"""So many neighbours of each probe must be found, whoever they are."""

RECALL_MIN, RECALL_AIMED = 0.99, 0.993
"""What is promised, and what is tuned for: other probes may find a little less."""

PROBES_AT_ONCE = 4
"""An exhaustive search of these takes some 50 ms where there are 500,000 faces; nobody waits for longer."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a probe of stored faces found. nprobe: the lists that a thorough search looks at; recall: the share it finds
    of what an exhaustive search does; probes: of how many faces; faces: how many there were."""

    nprobe: int
    recall: float
    probes: int
    faces: int


def lists_needed(index: Any, probes: Float32, face_ids: Int64) -> Int64:
    """How many lists must be searched for each of the nearest neighbours of some faces that are in the index.

    probes: float32 (n, d), their vectors; face_ids: int64 (n,). Returns int64 (m,), m <= n * NEAREST.
    """
    found = searched(index, probes, NEAREST + 1, index.nlist)[1]
    _, order = index.quantizer.search(np.ascontiguousarray(probes, np.float32), index.nlist)
    place = np.argsort(order, axis=1)  # of each list, in the order in which they are searched for this probe
    rows, columns = np.nonzero((found >= 0) & (found != face_ids[:, None]))
    return np.asarray(place[rows, lists_of(index, found[rows, columns])] + 1, np.int64)


def lists_of(index: Any, face_ids: Int64) -> Int64:
    """The list that each of these faces lies in, int64 (n,)."""
    lists = index.invlists
    where = np.full(int(face_ids.max(initial=0)) + 1, -1, np.int64)
    for number in range(index.nlist):
        size = lists.list_size(number)
        ids = faiss.rev_swig_ptr(lists.get_ids(number), size) if size else np.empty(0, np.int64)
        where[ids[ids < len(where)]] = number
    return np.asarray(where[face_ids])


def nprobe_for(needed: Int64, share: float) -> int:
    """So many lists that this share of the neighbours is found."""
    return int(np.sort(needed)[min(len(needed) - 1, int(np.ceil(share * len(needed))) - 1)]) if len(needed) else 1


def searched(index: Any, probes: Float32, k: int, nprobe: int) -> tuple[Float32, Int64]:
    """Similarities and face ids, by so many lists; what other searches go by is left alone."""
    parameters = faiss.SearchParametersIVF(nprobe=min(nprobe, index.nlist))  # type: ignore[call-arg]
    similarities, face_ids = index.search(np.ascontiguousarray(probes, np.float32), k, params=parameters)
    return similarities, face_ids
