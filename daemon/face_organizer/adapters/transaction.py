"""One transaction of the truth, as tables: what lies under which key, and in which bytes.

Room:    adapters (touches an LMDB transaction)
Owns:    the records' bytes
Imports: types, records, errors, columns, lmdb, msgspec

Records are msgpack under an id of 8 bytes; vectors are float16: a 2,048-byte float32 vector would overflow to a 4-KiB
page of its own.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

import lmdb
import msgspec
import numpy as np

from face_organizer.adapters.columns import (
    EDGE_ID,
    EDGE_SIMILARITY,
    Page,
    edge_table,
    edges_of,
    face_table,
    ids_of,
    look_table,
    vectors_of,
    without_edges,
)
from face_organizer.errors import StoreError
from face_organizer.records import (
    AssignmentRecord,
    ChangeRecord,
    DecisionRecord,
    FaceRecord,
    FileRecord,
    FormerRecord,
    ImageRecord,
    ModelRecord,
    PersonRecord,
    RunRecord,
)
from face_organizer.types import FaceTable, Float16, Float32, Int64, Neighbours, Signature, UInt8

OF_A_MODEL = ("faces", "vectors", "edges")
"""The tables that a face-recognition model fills. There are two of each, so that another model's can be made beside."""

TABLES = (
    *("images", "files", "faces", "assignments", "persons", "runs", "decisions", "changes", "models"),  # records by id
    *("meta", "content", "sources", "pending", "vectors", "edges", "former", "forgotten"),
    *(f"{name}_1" for name in OF_A_MODEL),
)
KEY = struct.Struct(">Q")
KEY_MAX = (1 << 64) - 1
_PAIR = struct.Struct(">QQ")
_SIGNATURE = struct.Struct(">Qqq")
RECORDS_AT_ONCE = 4096

R = TypeVar("R")


class Table(Generic[R]):
    """Records by id; see ports.Table."""

    def __init__(self, txn: lmdb.Transaction[bytes], db: Any, record: type[R]) -> None:
        self._txn, self._db = txn, db
        self._decode = msgspec.msgpack.Decoder(record).decode

    def get(self, key: int) -> R | None:
        if not 0 <= key <= KEY_MAX:
            return None
        value = self._txn.get(KEY.pack(key), db=self._db)
        return None if value is None else self._decode(value)

    def items(self, start: int = 0) -> Iterator[tuple[int, R]]:
        with self._txn.cursor(self._db) as cursor:
            if cursor.set_range(KEY.pack(start)):
                for key, value in cursor:
                    yield KEY.unpack(key)[0], self._decode(value)

    def count(self) -> int:
        return self._txn.stat(self._db)["entries"]

    def put(self, key: int, record: R) -> None:
        self._txn.put(KEY.pack(key), msgspec.msgpack.encode(record), db=self._db)

    def delete(self, key: int) -> None:
        self._txn.delete(KEY.pack(key), db=self._db)


def note_key(name: str) -> bytes:
    """Where a note lies in the table of what the store is for."""
    return b"note:" + name.encode()


class StoreTransaction:
    """One LMDB transaction as tables; see ports.Transaction. slot: whose faces, vectors and graph it shows, those of
    the model in use if None."""

    def __init__(self, txn: lmdb.Transaction[bytes], tables: dict[str, Any], slot: int | None = None) -> None:
        self._txn, self._tables = txn, tables
        self.models: Table[ModelRecord] = Table(txn, tables["models"], ModelRecord)
        in_use = int(txn.get(b"slot", b"0", db=tables["meta"]))
        self.slot = in_use if slot is None else slot
        self._dimension = int(txn.get(b"dimension", b"0", db=tables["meta"]))
        if self.slot != in_use:
            model = self.models.get(self.slot)
            self._dimension = model.dimension if model is not None else 0
        dbs = self._dbs = tables | ({name: tables[f"{name}_1"] for name in OF_A_MODEL} if self.slot else {})
        self.images: Table[ImageRecord] = Table(txn, dbs["images"], ImageRecord)
        self.files: Table[FileRecord] = Table(txn, dbs["files"], FileRecord)
        self.faces: Table[FaceRecord] = Table(txn, dbs["faces"], FaceRecord)
        self.assignments: Table[AssignmentRecord] = Table(txn, dbs["assignments"], AssignmentRecord)
        self.persons: Table[PersonRecord] = Table(txn, dbs["persons"], PersonRecord)
        self.runs: Table[RunRecord] = Table(txn, dbs["runs"], RunRecord)
        self.decisions: Table[DecisionRecord] = Table(txn, dbs["decisions"], DecisionRecord)
        self.changes: Table[ChangeRecord] = Table(txn, dbs["changes"], ChangeRecord)

    # two models

    def beside(self) -> StoreTransaction:
        return StoreTransaction(self._txn, self._tables, 1 - self.slot)

    def clear_beside(self) -> None:
        other = self.beside()
        for name in OF_A_MODEL:
            self._txn.drop(other._dbs[name], delete=False)
        self.models.delete(other.slot)

    def switch(self) -> None:
        slot = 1 - self.slot
        model = self.models.get(slot)
        assert model is not None, "there is no model beside"
        for key, value in (("slot", slot), ("fingerprint", model.fingerprint), ("dimension", model.dimension)):
            self._txn.put(key.encode(), str(value).encode(), db=self._tables["meta"])

    # ids

    def last_id(self, table: str) -> int:
        return self._number("meta", b"last:" + table.encode())

    def new_id(self, table: str) -> int:
        key = self.last_id(table) + 1
        self._txn.put(b"last:" + table.encode(), KEY.pack(key), db=self._dbs["meta"])
        return key

    # notes: small facts about the library, by name

    def note(self, name: str) -> bytes:
        return self._txn.get(note_key(name), b"", db=self._dbs["meta"])

    def put_note(self, name: str, value: bytes) -> None:
        self._txn.put(note_key(name), value, db=self._dbs["meta"])

    # content and sources: which image, which file

    def image_of_content(self, digest: bytes) -> int:
        return self._number("content", digest)

    def put_content(self, digest: bytes, image_id: int) -> None:
        self._txn.put(digest, KEY.pack(image_id), db=self._dbs["content"])

    def delete_content(self, digest: bytes) -> None:
        self._txn.delete(digest, db=self._dbs["content"])

    def file_of_source(self, source: bytes) -> int:
        return self._number("sources", _path_key(source))

    def put_source(self, source: bytes, file_id: int) -> None:
        self._txn.put(_path_key(source), KEY.pack(file_id), db=self._dbs["sources"])

    def delete_source(self, source: bytes) -> None:
        self._txn.delete(_path_key(source), db=self._dbs["sources"])

    # pending placements

    def pending(self, limit: int, start: int = 0) -> list[int]:
        found: list[int] = []
        with self._txn.cursor(self._dbs["pending"]) as cursor:
            more = cursor.set_range(KEY.pack(start))
            while more and len(found) < limit:
                found.append(KEY.unpack(cursor.key())[0])
                more = cursor.next()
        return found

    def pending_count(self) -> int:
        return self._txn.stat(self._dbs["pending"])["entries"]

    def set_pending(self, file_id: int, is_pending: bool) -> None:
        if is_pending:
            self._txn.put(KEY.pack(file_id), b"", db=self._dbs["pending"])
        else:
            self._txn.delete(KEY.pack(file_id), db=self._dbs["pending"])

    # what changes found, to be taken back exactly

    def former(self, change_id: int, face_id: int) -> FormerRecord | None:
        value = self._txn.get(_PAIR.pack(change_id, face_id), db=self._dbs["former"])
        return None if value is None else msgspec.msgpack.decode(value, type=FormerRecord)

    def put_former(self, change_id: int, face_id: int, record: FormerRecord) -> None:
        key = _PAIR.pack(change_id, face_id)
        self._txn.put(key, msgspec.msgpack.encode(record), db=self._dbs["former"])

    def formers(self) -> Iterator[tuple[int, int, FormerRecord]]:
        decode = msgspec.msgpack.Decoder(FormerRecord).decode
        with self._txn.cursor(self._dbs["former"]) as cursor:
            for key, value in cursor:
                yield *_PAIR.unpack(key), decode(value)

    def delete_former(self, change_id: int, face_id: int) -> None:
        self._txn.delete(_PAIR.pack(change_id, face_id), db=self._dbs["former"])

    # files that show somebody who was forgotten, by a digest of where they lie

    def put_forgotten(self, path: bytes, signature: Signature | None = None) -> None:
        self._txn.put(_path_key(path), _signed(signature), db=self._dbs["forgotten"])

    def is_forgotten(self, path: bytes, signature: Signature | None = None) -> bool:
        return self._txn.get(_path_key(path), db=self._dbs["forgotten"]) == _signed(signature)

    # vectors

    def face_ids(self) -> Int64:
        pages = [ids_of(keys) for keys, _ in self._pages("vectors", 0)]
        return np.concatenate([np.empty(0, np.int64), *pages])

    def put_face_vector(self, face_id: int, vector: Float32) -> None:
        assert vector.shape == (self._dimension,), vector.shape
        self._txn.put(KEY.pack(face_id), vector.astype("<f2").tobytes(), db=self._dbs["vectors"])

    def vectors(self, face_ids: Sequence[int] | Int64) -> Float32:
        out = np.empty((len(face_ids), self._dimension), np.float32)
        for row, face_id in enumerate(face_ids):
            value = self._txn.get(KEY.pack(int(face_id)), db=self._dbs["vectors"])
            if value is None:
                raise StoreError(f"face {face_id} has no embedding in the store")
            out[row] = np.frombuffer(value, "<f2")
        return out

    def vector_chunks(self, start: int = 0, chunk: int = 16_384) -> Iterator[tuple[Int64, Float32]]:
        for keys, values in self._pages("vectors", start, chunk):
            yield ids_of(keys), vectors_of(values, self._dimension).astype(np.float32)

    # everything at once, from a face on

    def vectors_from(self, start: int = 0) -> tuple[Int64, Float16]:
        ids = np.empty(self._txn.stat(self._dbs["vectors"])["entries"], np.int64)
        vectors = np.empty((len(ids), self._dimension), np.float16)
        filled = 0
        for keys, values in self._pages("vectors", start):
            rows = slice(filled, filled + len(keys))
            ids[rows], vectors[rows] = ids_of(keys), vectors_of(values, self._dimension)
            filled += len(keys)
        return ids[:filled], vectors[:filled]

    def looks(self) -> tuple[Int64, UInt8]:
        return look_table(self._pages("images", 0))

    def face_table(self, start: int = 0) -> FaceTable:
        return face_table(self._pages("faces", start), self._pages("assignments", start))

    def _pages(self, db: str, start: int, at_once: int | None = None) -> Iterator[Page]:
        """The keys and values of a table in key order, some thousands at a time."""
        with self._txn.cursor(self._dbs[db]) as cursor:
            items = iter(cursor) if cursor.set_range(KEY.pack(start)) else iter(())
            while page := list(islice(items, at_once or RECORDS_AT_ONCE)):
                keys, values = zip(*page, strict=True)
                yield list(keys), list(values)

    def delete_vectors(self, face_ids: Sequence[int]) -> None:
        for face_id in face_ids:
            for db in ("vectors", "edges"):
                self._txn.delete(KEY.pack(face_id), db=self._dbs[db])
        gone = np.array(face_ids, np.int64)
        rows = [row for keys, values in self._pages("edges", 0) for row in without_edges(keys, values, gone)]
        for key, value in rows:
            self._txn.put(key, value, db=self._dbs["edges"])

    # the kNN graph

    def put_neighbours(self, face_id: int, neighbours: Int64, similarities: Float32) -> None:
        kept = neighbours >= 0
        value = neighbours[kept].astype(EDGE_ID).tobytes() + similarities[kept].astype(EDGE_SIMILARITY).tobytes()
        self._txn.put(KEY.pack(face_id), value, db=self._dbs["edges"])

    def neighbours(self, k: int, start: int = 0) -> Neighbours:
        return edge_table(self._pages("edges", start), k)

    def neighbours_of(self, face_ids: Sequence[int] | Int64, k: int) -> Neighbours:
        ids = np.asarray(face_ids, np.int64)
        values = [self._txn.get(KEY.pack(face_id), b"", db=self._dbs["edges"]) for face_id in ids.tolist()]
        return Neighbours(ids, *edges_of(values, k))

    def _number(self, db: str, key: bytes) -> int:
        value = self._txn.get(key, db=self._dbs[db])
        return 0 if value is None else int(KEY.unpack(value)[0])


def _signed(signature: Signature | None) -> bytes:
    return _SIGNATURE.pack(signature.size_bytes, signature.mtime_ns, signature.inode) if signature else b""


def _path_key(path: bytes) -> bytes:
    """LMDB keys end at 511 bytes, paths at 4,096: keep a digest."""
    return hashlib.blake2b(path, digest_size=16).digest()
