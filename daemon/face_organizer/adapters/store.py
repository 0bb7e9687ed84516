"""The truth, in LMDB: one writer, many readers, durable when a transaction returns.

Room:    adapters (touches the LMDB environment)
Owns:    the LMDB environment
Imports: errors, disk, gate, growth, private, schema, transaction, lmdb

sync on, no writemap (a full disk would be a SIGBUS), a sparse map that grows (adapters/growth.py). A store does not
outlive a fork: the child has no locks (lmdb.h, "Caveats"). What lies in it: adapters/transaction.py.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from face_organizer.adapters.disk import flush
from face_organizer.adapters.gate import Gate
from face_organizer.adapters.growth import can_map, probe_room, reserve
from face_organizer.adapters.private import keep_private, make_private_folder
from face_organizer.adapters.schema import DATA, META, agree, backups_of, copy_compact
from face_organizer.adapters.transaction import TABLES, StoreTransaction, note_key
from face_organizer.errors import DISK_FULL, NoRoomError, RequestError, StoreError

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


class LmdbStore:
    """The open environment. `fingerprint` names the model whose embeddings it holds, `dimension` is their length.

    backup: where the copy of an older schema lies, if this opening migrated it. unwritable: why it can only be read,
    "" where it can be written.
    """

    def __init__(
        self,
        env: lmdb.Environment,
        fingerprint: str,
        dimension: int,
        backup: Path | None = None,
        *,
        unwritable: str = "",
    ) -> None:
        self.folder, self._pid, self._gate = Path(env.path()), os.getpid(), Gate()
        self.fingerprint, self.dimension, self.backup, self.unwritable = fingerprint, dimension, backup, unwritable
        self._use(env)

    def _use(self, env: lmdb.Environment) -> None:
        self._env = env
        self._dbs = {name: env.open_db(name.encode(), create=not self.unwritable) for name in TABLES}
        self._map_is_full = False
        self._inode = os.stat(self.folder / DATA).st_ino

    @contextmanager
    def read(self) -> Iterator[StoreTransaction]:
        """A snapshot for the calling thread; keep it short, it holds old pages alive. Raises StoreError."""
        try:
            with self._passing(), self._begin_reading() as txn:
                yield StoreTransaction(txn, self._dbs)
        except lmdb.Error as error:  # another thread's commit failed so badly that nothing may be read any more
            raise fate_of(error, self.folder, "read") from error

    @contextmanager
    def write(self) -> Iterator[StoreTransaction]:
        """One transaction, durable on leaving; an exception undoes all of it.

        Raises NoRoomError when the disk or the map is full, StoreError when the store fails otherwise, RequestError
        where it can only be read.
        """
        self.refuse_unwritable()
        try:
            self._grow()
            with self._passing(), self._env.begin(write=True) as txn:
                yield StoreTransaction(txn, self._dbs)
        except lmdb.MapFullError as error:
            self._map_is_full = True
            raise NoRoomError(f"the map of the store {self.folder} is full and must grow", again=True) from error
        except lmdb.Error as error:
            raise fate_of(error, self.folder) from error

    def refuse_unwritable(self) -> None:
        """Raises RequestError where the store can only be read."""
        if self.unwritable:
            raise RequestError(
                f"this library can be asked, and not changed: {self.unwritable}. Give the command where it can be"
                " written, as a user who may; or copy the library to such a place, and change the copy"
            )

    @contextmanager
    def _passing(self) -> Iterator[None]:
        if os.getpid() != self._pid:
            raise StoreError(f"process {os.getpid()} was forked from the one that opened {self.folder}: open it anew")
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
                f"{READERS_MAX} transactions read the store {self.folder} at once: stop the programs that hold it open"
                " (`fuser` tells them)"
            ) from error

    def must_be_there(self) -> None:
        """Raises StoreError where what is open is not what lies there any more: what is written now nobody would find,
        and another process could begin anew beside us."""
        with self._passing():
            try:
                is_there = os.stat(self.folder / DATA).st_ino == self._inode
            except OSError:
                is_there = False
        if not is_there:
            raise StoreError(
                f"the store {self.folder} was taken away while it was in use: put it back and start again, or start "
                "without it to begin anew"
            )

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
        staged = self.folder / REWRITING
        try:
            with self._passing():
                copy_compact(self._env, staged)
            with self._gate.alone(ALONE_WITHIN_S) as is_alone:
                if is_alone:
                    map_size_bytes = int(self._env.info()["map_size"])
                    self._env.close()
                    os.replace(staged / DATA, self.folder / DATA)
                    flush(self.folder)
                    self._use(_open_environment(self.folder, map_size_bytes))
            return is_alone
        except (OSError, lmdb.Error) as error:
            raise fate_of(error, self.folder, "rewrite") from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def backups(self) -> list[Path]:
        """The copies that migrations left beside the store."""
        return backups_of(self.folder)

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
            raise StoreError(f"the store {self.folder} has outgrown the memory that may be mapped (see ulimit -v)")
        if self._map_is_full:
            raise NoRoomError(f"the map of the store {self.folder} is full and read from: it cannot grow just now")


def open_store(
    folder: Path,
    fingerprint: str,
    dimension: int,
    *,
    any_model: bool = False,
    map_size_bytes: int | None = None,
    unwritable: str = "",
) -> LmdbStore:
    """Open or create the store in `folder` for the embeddings of one model; one of an older schema is migrated.

    fingerprint "": only one that is there, of whatever model (for commands that embed nothing). any_model: one that is
    there may be of another model, if it tells which pack that is. map_size_bytes:
    to begin with, MAP_SIZE_BYTES if None. unwritable: why it can only be read; then nothing at all is written, and the
    caller keeps those away who would write, for LMDB's own table of readers is a file to write to, too.
    Raises StoreError: another model's store, a newer schema (an older one, where it can only be read), a folder that
    cannot be used. NoRoomError: a new store
    finds no room; one that is there opens on a full disk too.
    """
    try:
        if not unwritable:
            _make_ready(folder)
        env = _open_environment(folder, map_size_bytes or MAP_SIZE_BYTES, reading=bool(unwritable))
    except (OSError, lmdb.Error) as error:
        raise fate_of(error, folder, "open") from error
    try:
        found = agree(env, folder, fingerprint, dimension, any_model=any_model, unwritable=unwritable)
        if not unwritable:
            env.reader_check()
            keep_private(folder)
        return LmdbStore(env, *found, unwritable=unwritable)
    except lmdb.Error as error:
        env.close()
        raise fate_of(error, folder, "open") from error
    except BaseException:
        env.close()
        raise


def _make_ready(folder: Path) -> None:
    """Raises OSError."""
    make_private_folder(folder)
    shutil.rmtree(folder / REWRITING, ignore_errors=True)  # what a crash left
    if not (folder / DATA).exists():
        probe_room(folder, NEW_STORE_BYTES)
    # LMDB writes to it through memory: no room would be a SIGBUS
    reserve(folder / "lock.mdb", READERS_MAX * READER_BYTES + TABLE_BYTES)


def note_in(folder: Path, name: str) -> bytes:
    """A note of the store in `folder`, whoever owns that; b"" where there is none, or it cannot be read. Nothing is
    changed: one of an older schema stays so."""
    try:
        with lmdb.open(str(folder), readonly=True, create=False, max_dbs=1, max_readers=READERS_MAX) as env:
            meta = env.open_db(META, create=False)
            with env.begin(db=meta) as txn:
                return bytes(txn.get(note_key(name), b""))
    except lmdb.Error:
        return b""


def _open_environment(folder: Path, map_size_bytes: int, *, reading: bool = False) -> lmdb.Environment:
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
                readonly=reading,
                create=not reading,
                lock=not reading,
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
