"""Many records at once: the bytes that the store keeps, as columns. A Python step for each of half a million records
would take longer than the clustering they are read for.

Room:    adapters (thinks for the store)
Imports: types, msgspec
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import msgspec
import numpy as np

from face_organizer.types import Float16, Float32, Int64

EDGE_ID, EDGE_SIMILARITY = np.dtype("<u4"), np.dtype("<f2")
EDGE_BYTES = EDGE_ID.itemsize + EDGE_SIMILARITY.itemsize


class FaceColumns(msgspec.Struct):
    """What of a FaceRecord is read for all faces; the rest is skipped over."""

    image_id: int
    founder: bool
    quality: float


class AssignmentColumns(msgspec.Struct):
    """What of an AssignmentRecord is read for all faces."""

    person_id: int


decode_face = msgspec.msgpack.Decoder(FaceColumns).decode
decode_assignment = msgspec.msgpack.Decoder(AssignmentColumns).decode


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
