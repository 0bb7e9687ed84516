"""Many records at once: the bytes that the store keeps, as columns. A Python step for each of half a million records
would take longer than the clustering they are read for.

Room:    adapters (thinks for the store)
Imports: types, msgspec
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress

import msgspec
import numpy as np
from numpy.typing import NDArray

from face_organizer.types import FaceTable, Float16, Float32, Int64, Neighbours, UInt8

EDGE_ID, EDGE_SIMILARITY = np.dtype("<u4"), np.dtype("<f2")
LOOK_BYTES = 16
EDGE_BYTES = EDGE_ID.itemsize + EDGE_SIMILARITY.itemsize


Page = tuple[Sequence[bytes], Sequence[bytes]]
"""The keys and the values of some records, in key order."""


class _Face(msgspec.Struct, gc=False):
    """What of a FaceRecord is read for all faces; the rest is skipped over."""

    image_id: int
    founder: bool
    quality: float


class _Image(msgspec.Struct, gc=False):
    """What of an ImageRecord is read for all images."""

    look: bytes = b""


class _Assignment(msgspec.Struct, gc=False):
    """What of an AssignmentRecord is read for all faces."""

    person_id: int


_face = msgspec.msgpack.Decoder(_Face).decode
_image = msgspec.msgpack.Decoder(_Image).decode
_assignment = msgspec.msgpack.Decoder(_Assignment).decode


def ids_of(keys: Sequence[bytes]) -> Int64:
    """The ids that these keys stand for, int64 (n,)."""
    return np.frombuffer(b"".join(keys), ">u8").astype(np.int64)


def vectors_of(values: Sequence[bytes], dimension: int) -> Float16:
    """Embeddings as stored: float16 (n, d)."""
    return np.frombuffer(b"".join(values), "<f2").reshape(len(values), dimension)


def edges_of(values: Sequence[bytes], k: int) -> tuple[Int64, Float32]:
    """The k nearest of each face: ids int64 (n, k), -1 where there are fewer; similarities float32 (n, k), 0 there."""
    neighbours = np.full((len(values), k), -1, np.int64)
    similarities = np.zeros((len(values), k), np.float32)
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    for length in np.unique(lengths).tolist():  # nearly all have the same
        rows = np.flatnonzero(lengths == length)
        table = np.frombuffer(b"".join(compress(values, lengths == length)), np.uint8).reshape(len(rows), length)
        stored = length // EDGE_BYTES
        split, kept = stored * EDGE_ID.itemsize, min(stored, k)
        neighbours[rows, :kept] = np.ascontiguousarray(table[:, :split]).view(EDGE_ID)[:, :kept]
        similarities[rows, :kept] = np.ascontiguousarray(table[:, split:]).view(EDGE_SIMILARITY)[:, :kept]
    return neighbours, similarities


def edge_table(pages: Iterable[Page], k: int) -> Neighbours:
    """The graph of all these faces."""
    columns = [(ids_of(keys), *edges_of(values, k)) for keys, values in pages]
    nothing = (np.empty(0, np.int64), np.empty((0, k), np.int64), np.empty((0, k), np.float32))
    return Neighbours(*(np.concatenate(column) for column in zip(nothing, *columns, strict=True)))


def look_table(images: Iterable[Page]) -> tuple[Int64, UInt8]:
    """The images that have a look: ids int64 (n,), and looks uint8 (n, LOOK_BYTES)."""
    ids, looks = [np.empty(0, np.int64)], [b""]
    for keys, values in images:
        of_page = [_image(value).look for value in values]
        has = [len(each) == LOOK_BYTES for each in of_page]
        ids.append(ids_of(list(compress(keys, has))))
        looks += compress(of_page, has)
    return np.concatenate(ids), np.frombuffer(b"".join(looks), np.uint8).reshape(-1, LOOK_BYTES)


def face_table(faces: Iterable[Page], assignments: Iterable[Page]) -> FaceTable:
    """All these faces, and whose they are: nobody's where no assignment tells."""
    columns = [_face_columns(keys, values) for keys, values in (([], []), *faces)]
    face_ids, image_of, founder, quality = (np.concatenate(column) for column in zip(*columns, strict=True))
    person_of = np.zeros(len(face_ids), np.int64)
    for keys, values in assignments:
        persons = np.fromiter((_assignment(value).person_id for value in values), np.int64, len(values))
        ids = ids_of(keys)
        rows = np.searchsorted(face_ids, ids)
        known = np.zeros(len(ids), np.bool_) if len(face_ids) == 0 else face_ids[rows % len(face_ids)] == ids
        person_of[rows[known]] = persons[known]  # a model beside may not have seen every face yet
    return FaceTable(face_ids, image_of, founder, quality, person_of)


def _face_columns(keys: Sequence[bytes], values: Sequence[bytes]) -> tuple[Int64, Int64, NDArray[np.bool_], Float32]:
    faces, n = [_face(value) for value in values], len(values)
    return (
        ids_of(keys),
        np.fromiter((face.image_id for face in faces), np.int64, n),
        np.fromiter((face.founder for face in faces), np.bool_, n),
        np.fromiter((face.quality for face in faces), np.float32, n),
    )


def without_edges(keys: Sequence[bytes], values: Sequence[bytes], gone: Int64) -> Iterable[tuple[bytes, bytes]]:
    """The rows of the graph that lead to faces which are gone, without those edges: (key, value)."""
    counts = [len(value) // EDGE_BYTES for value in values]
    ids = np.frombuffer(b"".join(v[: n * EDGE_ID.itemsize] for v, n in zip(values, counts, strict=True)), EDGE_ID)
    hit = np.isin(ids, gone)
    ends = np.cumsum(counts)
    for row in np.unique(np.searchsorted(ends, np.flatnonzero(hit), side="right")).tolist():
        n = counts[row]
        kept = ~hit[ends[row] - n : ends[row]]
        similarities = np.frombuffer(values[row], EDGE_SIMILARITY, n, n * EDGE_ID.itemsize)
        yield keys[row], np.frombuffer(values[row], EDGE_ID, n)[kept].tobytes() + similarities[kept].tobytes()
