"""The truth, in LMDB: one writer, many readers, durable when a transaction returns.

Room:    adapters (touches the LMDB environment)
Owns:    lmdb; the records' bytes
Imports: types, errors, schema, gate, growth, private, msgspec

sync on, no writemap (a full disk would be a SIGBUS), a sparse map that grows (adapters/growth.py). Vectors are float16:
a 2,048-byte float32 vector would overflow to a 4-KiB page of its own. A store does not outlive a fork: the child has no
locks (lmdb.h, "Caveats").
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
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
from face_organizer.adapters.gate import Gate
from face_organizer.adapters.growth import can_map, probe_room, reserve
from face_organizer.adapters.private import keep_private, make_private_folder
from face_organizer.adapters.schema import DATA, META, SCHEMA, backups_of, copy_compact, flush, migrate
from face_organizer.errors import DISK_FULL, NoRoomError, StoreError
from face_organizer.types import (
    AssignmentRecord,
    ChangeRecord,
    DecisionRecord,
    FaceRecord,
    FaceTable,
    FileRecord,
    Float16,
    Float32,
    FormerRecord,
    ImageRecord,
    Int64,
    Neighbours,
    PersonRecord,
    RunRecord,
    Signature,
    UInt8,
)

MAP_SIZE_BYTES = 64 << 30
"""Of address space, not of disk. Where a process may not have so much, less, and the map grows."""
MAP_SIZE_MIN_BYTES = 64 << 20
GROW_WITHIN_S = 5.0
NEW_STORE_BYTES = 256 << 10
"""A store is not begun with less room: one torn at birth could not be opened any more."""
READER_BYTES, TABLE_BYTES = 64, 128
"""What lock.mdb holds for each reader, and besides."""
PAGE_BYTES = 4096
READERS_MAX = 126
"""Transactions that read at once: threads of ours, and programs like mdb_dump. LMDB's own default."""
REWRITING = "rewriting"
ALONE_WITHIN_S = 2.0
RECORDS = {
    "images": ImageRecord,
    "files": FileRecord,
    "faces": FaceRecord,
    "assignments": AssignmentRecord,
    "persons": PersonRecord,
    "runs": RunRecord,
    "decisions": DecisionRecord,
    "changes": ChangeRecord,
}
OTHERS = ("meta", "content", "sources", "pending", "vectors", "edges", "former", "forgotten")
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


class StoreTransaction:
    """One LMDB transaction as tables; see ports.Transaction."""

    def __init__(self, txn: lmdb.Transaction[bytes], dbs: dict[str, Any], dimension: int) -> None:
        self._txn, self._dbs, self._dimension = txn, dbs, dimension
        self.images: Table[ImageRecord] = Table(txn, dbs["images"], ImageRecord)
        self.files: Table[FileRecord] = Table(txn, dbs["files"], FileRecord)
        self.faces: Table[FaceRecord] = Table(txn, dbs["faces"], FaceRecord)
        self.assignments: Table[AssignmentRecord] = Table(txn, dbs["assignments"], AssignmentRecord)
        self.persons: Table[PersonRecord] = Table(txn, dbs["persons"], PersonRecord)
        self.runs: Table[RunRecord] = Table(txn, dbs["runs"], RunRecord)
        self.decisions: Table[DecisionRecord] = Table(txn, dbs["decisions"], DecisionRecord)
        self.changes: Table[ChangeRecord] = Table(txn, dbs["changes"], ChangeRecord)

    # ids

    def last_id(self, table: str) -> int:
        return self._number("meta", b"last:" + table.encode())

    def new_id(self, table: str) -> int:
        key = self.last_id(table) + 1
        self._txn.put(b"last:" + table.encode(), KEY.pack(key), db=self._dbs["meta"])
        return key

    # notes: small facts about the library, by name

    def note(self, name: str) -> bytes:
        return self._txn.get(b"note:" + name.encode(), b"", db=self._dbs["meta"])

    def put_note(self, name: str, value: bytes) -> None:
        self._txn.put(b"note:" + name.encode(), value, db=self._dbs["meta"])

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
        value = self._txn.get(KEY.pack(change_id) + KEY.pack(face_id), db=self._dbs["former"])
        return None if value is None else msgspec.msgpack.decode(value, type=FormerRecord)

    def put_former(self, change_id: int, face_id: int, record: FormerRecord) -> None:
        key = KEY.pack(change_id) + KEY.pack(face_id)
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


class LmdbStore:
    """The open environment. `fingerprint` names the model whose embeddings it holds, `dimension` is their length.

    backup: where the copy of an older schema lies, if this opening migrated it.
    """

    def __init__(self, env: lmdb.Environment, fingerprint: str, dimension: int, backup: Path | None = None) -> None:
        self._folder, self._pid, self._gate = Path(env.path()), os.getpid(), Gate()
        self._use(env)
        self.fingerprint, self.dimension, self.backup = fingerprint, dimension, backup

    def _use(self, env: lmdb.Environment) -> None:
        self._env = env
        self._dbs = {name: env.open_db(name.encode()) for name in (*RECORDS, *OTHERS)}
        self._map_is_full = False

    @contextmanager
    def read(self) -> Iterator[StoreTransaction]:
        """A snapshot for the calling thread; keep it short, it holds old pages alive. Raises StoreError."""
        with self._passing(), self._begin_reading() as txn:
            yield StoreTransaction(txn, self._dbs, self.dimension)

    @contextmanager
    def write(self) -> Iterator[StoreTransaction]:
        """One transaction, durable on leaving; an exception undoes all of it.

        Raises NoRoomError when the disk or the map is full, StoreError when the store fails otherwise.
        """
        try:
            self._grow()
            with self._passing(), self._env.begin(write=True) as txn:
                yield StoreTransaction(txn, self._dbs, self.dimension)
        except lmdb.MapFullError as error:
            self._map_is_full = True
            raise NoRoomError(f"the map of the store {self._folder} is full and must grow", again=True) from error
        except lmdb.Error as error:
            raise fate_of(error, self._folder) from error

    @contextmanager
    def _passing(self) -> Iterator[None]:
        if os.getpid() != self._pid:
            raise StoreError(f"process {os.getpid()} was forked from the one that opened {self._folder}: open it anew")
        with self._gate.passing():
            yield

    def _begin_reading(self) -> lmdb.Transaction[bytes]:
        try:
            return self._env.begin()
        except lmdb.ReadersFullError:
            self.clear_dead_readers()
        try:
            return self._env.begin()
        except lmdb.ReadersFullError as error:
            raise StoreError(
                f"{READERS_MAX} transactions read the store {self._folder} at once: stop the programs that hold it open"
                " (`fuser` tells them)"
            ) from error

    def clear_dead_readers(self) -> int:
        """Free the places of readers that were killed; returns how many. Their snapshots would keep every page alive
        that was in use then, and the file would grow without end. Any thread."""
        with self._passing():
            return int(self._env.reader_check())

    def rewrite(self) -> bool:
        """Write the truth anew, with nothing in it that was deleted, and let it take the old one's place at once.

        False: somebody read for too long, and it is as it was. In the one writer's thread; readers go on meanwhile.
        Raises NoRoomError, StoreError.
        """
        staged = self._folder / REWRITING
        try:
            with self._passing():
                copy_compact(self._env, staged)
            with self._gate.alone(ALONE_WITHIN_S) as is_alone:
                if is_alone:
                    map_size_bytes = int(self._env.info()["map_size"])
                    self._env.close()
                    os.replace(staged / DATA, self._folder / DATA)
                    flush(self._folder)
                    self._use(_open_environment(self._folder, map_size_bytes))
            return is_alone
        except (OSError, lmdb.Error) as error:
            raise fate_of(error, self._folder, "rewrite") from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def backups(self) -> list[Path]:
        """The copies that migrations left beside the store."""
        return backups_of(self._folder)

    def delete_backups(self) -> None:
        """Raises StoreError."""
        for backup in self.backups():
            try:
                shutil.rmtree(backup)
            except OSError as error:
                raise StoreError(f"cannot delete {backup}: {error.strerror}") from error

    def size_bytes(self) -> int:
        with self._passing():
            return int(self._env.info()["last_pgno"] + 1) * int(self._env.stat()["psize"])

    def close(self) -> None:
        self._env.close()

    def _grow(self) -> None:
        """Keep the map at twice what is used: no transaction rewrites more than all there is.

        LMDB wants no transaction open meanwhile. While the map is merely more than half full, a moment without readers
        is waited for from write to write; once it is full, here.
        """
        size, used = int(self._env.info()["map_size"]), self.size_bytes()
        if size >= 2 * used and not self._map_is_full:
            return
        with self._gate.alone(GROW_WITHIN_S if self._map_is_full else 0.0) as is_alone:
            wanted = next((new for new in (2 * size, size + size // 2, size + size // 8) if can_map(new - size)), 0)
            if is_alone and wanted:
                self._env.set_mapsize(wanted - wanted % PAGE_BYTES)
                self._map_is_full = False
        if self._map_is_full and not wanted:
            raise StoreError(f"the store {self._folder} has outgrown the memory that may be mapped (see ulimit -v)")
        if self._map_is_full:
            raise NoRoomError(f"the map of the store {self._folder} is full and read from: it cannot grow just now")


def open_store(folder: Path, fingerprint: str, dimension: int, *, map_size_bytes: int | None = None) -> LmdbStore:
    """Open or create the store in `folder` for the embeddings of one model; one of an older schema is migrated.

    fingerprint "": accept whatever model the store was made with (for commands that embed nothing). map_size_bytes:
    to begin with, MAP_SIZE_BYTES if None.
    Raises StoreError: another model's store, a newer schema, a folder that cannot be used. NoRoomError: a new store
    finds no room; one that is there opens on a full disk too.
    """
    try:
        make_private_folder(folder)
        shutil.rmtree(folder / REWRITING, ignore_errors=True)  # what a crash left
        if not (folder / DATA).exists():
            probe_room(folder, NEW_STORE_BYTES)
        reserve(
            folder / "lock.mdb", READERS_MAX * READER_BYTES + TABLE_BYTES
        )  # LMDB writes to it through memory: no room would be a SIGBUS
        env = _open_environment(folder, map_size_bytes or MAP_SIZE_BYTES)
    except (OSError, lmdb.Error) as error:
        raise fate_of(error, folder, "open") from error
    try:
        env.reader_check()
        found = _agree(env, folder, fingerprint, dimension)
        keep_private(folder)
        return LmdbStore(env, *found)
    except lmdb.Error as error:
        env.close()
        raise fate_of(error, folder, "open") from error
    except BaseException:
        env.close()
        raise


def _open_environment(folder: Path, map_size_bytes: int) -> lmdb.Environment:
    while True:
        try:
            return lmdb.open(
                str(folder),
                map_size=map_size_bytes,
                max_dbs=32,
                max_readers=READERS_MAX,
                mode=0o600,
                sync=True,
                writemap=False,
                readahead=False,
            )
        except lmdb.MemoryError:  # a limit on address space: ulimit -v, a container
            if map_size_bytes <= MAP_SIZE_MIN_BYTES:
                raise
            map_size_bytes //= 4


def fate_of(error: OSError | lmdb.Error, folder: Path, act: str = "write to") -> NoRoomError | StoreError:
    """What a failure of the store means. A write that a full disk cut short comes as EIO: then a try tells."""
    code = error.errno if isinstance(error, OSError) else getattr(error, "code", 0)
    if code == errno.EIO:
        try:
            probe_room(folder, NEW_STORE_BYTES)
        except OSError as why:
            code = why.errno
    if code in DISK_FULL:
        return NoRoomError(f"no room to {act} the store {folder}: {os.strerror(code)}")
    if isinstance(error, lmdb.CorruptedError):
        return StoreError(f"the store {folder} is damaged: {error}; restore it from a backup")
    return StoreError(f"cannot {act} the store {folder}: {error}")


def _agree(env: lmdb.Environment, folder: Path, fingerprint: str, dimension: int) -> tuple[str, int, Path | None]:
    """Write what a new store is for, or check that an old one is for the same, and bring it up to date. Returns
    (fingerprint, dimension, the copy of the old one if there was something to do)."""
    meta = env.open_db(META)
    with env.begin(db=meta, write=True) as txn:
        if txn.get(b"schema") is None:
            if not fingerprint:
                raise StoreError(f"{folder} holds no store yet: run `face-organizer run` first")
            txn.put(b"schema", str(SCHEMA).encode())
            txn.put(b"fingerprint", fingerprint.encode())
            txn.put(b"dimension", str(dimension).encode())
        schema = int(txn.get(b"schema", b"0"))
        known, known_dimension = txn.get(b"fingerprint", b"").decode(), int(txn.get(b"dimension", b"0"))
    if schema > SCHEMA:
        raise StoreError(
            f"the store {folder} was made by a newer Face Organizer (schema {schema}, this knows {SCHEMA})"
        )
    if fingerprint and known != fingerprint:
        raise StoreError(
            f"the store {folder} holds embeddings of the model {known}, not of {fingerprint}: they cannot be compared; "
            f"choose the old model (faces.pack) or a new library folder"
        )
    return known, known_dimension, migrate(env, folder, schema) if schema < SCHEMA else None


def _signed(signature: Signature | None) -> bytes:
    return _SIGNATURE.pack(signature.size_bytes, signature.mtime_ns, signature.inode) if signature else b""


def _path_key(path: bytes) -> bytes:
    """LMDB keys end at 511 bytes, paths at 4,096: keep a digest."""
    return hashlib.blake2b(path, digest_size=16).digest()
