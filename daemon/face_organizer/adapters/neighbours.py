"""The nearest neighbours of all faces in one go: the graph from nothing, as an inverted file would find it.

Room:    adapters (touches FAISS)
Imports: types, centroids, faiss, numpy

The kept graph is a view of the vectors, and this remakes it. The faces are dealt into lists around k-means centroids,
and each looks through the few lists nearest to it: so does an inverted file, but here all faces that look through one
list do it together, as one matrix product, which is many times faster than a search for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
from numpy.typing import NDArray

from face_organizer.adapters.centroids import Hold, centroids_of, here
from face_organizer.types import Float32, Int64

LISTS_PROBED = 24

_FACES_PER_LIST = 256
_POINTS_PER_LIST = 40
_TRAINING_ROUNDS = 6
_ROWS_AT_ONCE = 8_192
_CELLS_AT_ONCE = 4_000_000

Vectors = NDArray[np.floating]


def neighbours_of_all(
    vectors: Vectors,
    k: int,
    *,
    similarity_min: float,
    image_of: Int64 | None = None,
    lists_probed: int = LISTS_PROBED,
    threads: int = 2,
) -> tuple[NDArray[np.int32], Float32]:
    """The k nearest faces of each face, best first, itself left out.

    vectors:        float16 or float32 (n, d), unit rows
    similarity_min: neighbours below it are left out; what lies above chance costs little, the rest much
    image_of:       int64 (n,), each face's image: faces of one image are not each other's neighbours; None lets them
    returns:        rows int32 (n, k), -1 where there are fewer; similarities float32 (n, k), -1 there
    """
    n = len(vectors)
    rows = np.full((n, k), -1, np.int32)
    similarities = np.full((n, k), -1.0, np.float32)
    if n == 0:
        return rows, similarities
    image_of = np.arange(n) if image_of is None else image_of
    probes = _probes(vectors, lists_probed, threads)
    order = np.argsort(probes[:, 0], kind="stable")
    starts = np.searchsorted(probes[order, 0], np.arange(probes.max() + 2))

    def look_through(listed: Int64, asking: Int64) -> None:
        candidates = vectors[listed].astype(np.float32, copy=False)
        for part in _parts(asking, len(listed)):
            found = vectors[part].astype(np.float32, copy=False) @ candidates.T
            bound = np.maximum(similarities[part].min(axis=1), similarity_min)
            better = np.flatnonzero(found.max(axis=1) > bound)
            if len(better):
                part, found = part[better], found[better]
                found[image_of[part][:, None] == image_of[listed]] = -1
                _keep_best(found, part, listed, rows, similarities)

    members = np.split(order, starts[1:-1])
    with ThreadPoolExecutor(threads) as pool:
        for rank in range(probes.shape[1]):  # the nearest list first: what it finds lets most others be skipped
            asking = np.argsort(probes[:, rank], kind="stable")
            bounds = np.searchsorted(probes[asking, rank], np.arange(1, len(members)))
            # Each face asks one list at a time, so no two threads write to one row.
            list(pool.map(look_through, members, np.split(asking, bounds)))
    rows[similarities < similarity_min] = -1
    similarities[similarities < similarity_min] = -1
    best = np.argsort(-similarities, axis=1, kind="stable")
    return np.take_along_axis(rows, best, axis=1), np.take_along_axis(similarities, best, axis=1)


def lists_of(vectors: Vectors, *, threads: int = 1, hold: Hold = here) -> Float32:
    """The centroids of as many lists as so many faces need: float32 (lists, d). hold: as centroids_of."""
    n = len(vectors)
    lists = max(1, n // _FACES_PER_LIST)
    sample = np.arange(min(n, lists * _POINTS_PER_LIST)) * n // min(n, lists * _POINTS_PER_LIST)
    return centroids_of(vectors[sample].astype(np.float32), lists, rounds=_TRAINING_ROUNDS, threads=threads, hold=hold)


def _probes(vectors: Vectors, lists_probed: int, threads: int) -> NDArray[np.int32]:
    """The lists that each face looks through, nearest first: int32 (n, p). It lies in the first."""
    n, d = vectors.shape
    centroids = lists_of(vectors, threads=threads)
    faiss.omp_set_num_threads(threads)
    quantizer = faiss.IndexFlatIP(d)
    quantizer.add(centroids)
    probes = np.empty((n, min(lists_probed, len(centroids))), np.int32)
    for start in range(0, n, _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        probes[part] = quantizer.search(vectors[part].astype(np.float32), probes.shape[1])[1]
    return probes


def _parts(rows: Int64, width: int) -> Iterator[Int64]:
    """The rows, so many at a time that a table of them by `width` stays small."""
    step = max(1, _CELLS_AT_ONCE // max(1, width))
    for start in range(0, len(rows), step) if width else ():
        yield rows[start : start + step]


def _keep_best(found: Float32, part: Int64, listed: Int64, rows: NDArray[np.int32], similarities: Float32) -> None:
    """Let what was found replace what is worse. found: float32 (len(part), len(listed)), similarities."""
    k = rows.shape[1]
    everything = np.concatenate([similarities[part], found], axis=1)
    best = np.argpartition(everything, -k, axis=1)[:, -k:]
    similarities[part] = np.take_along_axis(everything, best, axis=1)
    fresh = listed[np.maximum(best - k, 0)]
    rows[part] = np.where(best < k, np.take_along_axis(rows[part], np.minimum(best, k - 1), axis=1), fresh)
