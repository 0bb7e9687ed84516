"""Which images are at work, on disk: so that one that brings the process down is known at the next start.

Room:    adapters (touches)
Imports: types, errors, ports, stdlib

A crash in a decoder or a driver, a hang that the watchdog ends, the kernel's out-of-memory killer: none of them leaves
anybody who could tell which image it was about. (Queues know it as the poison message, and give up after so many
deliveries: RabbitMQ's delivery limit, the dead letters of SQS.)
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import Lock

from face_organizer.errors import UnreadableError
from face_organizer.ports import ImageReader
from face_organizer.types import ImageRef

DEATHS_MAX = 2
"""An image that was alone at work so many times when the process ended is not looked at any more."""

_ROW = struct.Struct("<16sBB6x")
_FREE = bytes(_ROW.size)


@dataclass(slots=True)
class _Row:
    """number: its place in the file. deaths: how often the process ended while nothing else was at work. is_suspect:
    it was at work when one ended."""

    number: int
    deaths: int = 0
    is_suspect: bool = False


class AtWork:
    """A table in a file, with a row for each image from its reading until it has been seen. Any thread.

    Rows that are at work when the file is opened tell that the process before did not end by itself. Those images are
    suspects, until each was at work by itself and the process lived. Written without a flush: it is to outlive the
    process, not the machine, for a power cut is no image's doing. Where it cannot be written nobody is suspected.
    """

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        self._rows = _suspects(path)
        self._end, self._free = len(self._rows), list[int]()
        self._file = -1
        with suppress(OSError):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        for key, row in self._rows.items():
            self._write(key, row, is_at_work=False)

    def suspects(self) -> int:
        """How many images may have brought a process down, and have not been tried yet."""
        with self._lock:
            return sum(row.is_suspect and row.deaths < DEATHS_MAX for row in self._rows.values())

    def is_suspect(self, ref: ImageRef) -> bool:
        """Is it to be at work with no other?"""
        with self._lock:
            row = self._rows.get(_key(ref))
        return row is not None and row.is_suspect and row.deaths < DEATHS_MAX

    def is_given_up(self, ref: ImageRef) -> bool:
        """Has this very file (its path, size, time and inode) brought the process down by itself, DEATHS_MAX times?"""
        with self._lock:
            row = self._rows.get(_key(ref))
        return row is not None and row.deaths >= DEATHS_MAX

    def begin(self, ref: ImageRef) -> None:
        """It is at work from now on."""
        key = _key(ref)
        with self._lock:
            row = self._rows.get(key)
            if row is None:
                row = self._rows[key] = _Row(self._free.pop() if self._free else self._end)
                self._end = max(self._end, row.number + 1)
            self._write(key, row, is_at_work=True)

    def end(self, refs: Iterable[ImageRef]) -> None:
        """The process has outlived these; nothing is held against them, but against those that are given up."""
        for key in map(_key, refs):
            with self._lock:
                if (row := self._rows.get(key)) is not None and row.deaths < DEATHS_MAX:
                    self._forget(key, row)

    def close(self, *, as_it_should: bool) -> None:
        """The process ends; as it should: not because of what is at work."""
        with self._lock:
            if as_it_should:
                for key, row in [*self._rows.items()]:
                    if row.deaths < DEATHS_MAX:
                        self._forget(key, row)
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _forget(self, key: bytes, row: _Row) -> None:
        del self._rows[key]
        self._free.append(row.number)
        self._put(row.number, _FREE)

    def _write(self, key: bytes, row: _Row, *, is_at_work: bool) -> None:
        self._put(row.number, _ROW.pack(key, 1 + is_at_work, row.deaths))

    def _put(self, number: int, row: bytes) -> None:
        if self._file >= 0:
            with suppress(OSError):
                os.pwrite(self._file, row, number * _ROW.size)


class WaryReader:
    """The port ImageReader over another: what is read is at work, and what is given up is not read."""

    def __init__(self, reader: ImageReader, at_work: AtWork) -> None:
        self._reader, self._at_work = reader, at_work

    def read(self, ref: ImageRef) -> bytes:
        """As the other reader's. Raises UnreadableError, too, for what brings the process down."""
        if self._at_work.is_given_up(ref):
            raise UnreadableError(
                f"the program ended {DEATHS_MAX} times while it was looking at this image and no other; to have it"
                " tried again, change its date (`touch`) and put it into the inbox"
            )
        self._at_work.begin(ref)
        return self._reader.read(ref)


def _suspects(path: Path) -> dict[bytes, _Row]:
    """The rows that a process before left, if it did. One that was alone at work has one death more."""
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    left = [row for row in _ROW.iter_unpack(data[: len(data) // _ROW.size * _ROW.size]) if row[1]]
    at_work = [key for key, state, _ in left if state > 1]
    return {
        key: _Row(number, min(deaths + (at_work == [key]), DEATHS_MAX), is_suspect=True)
        for number, (key, _, deaths) in enumerate(left)
    }


def _key(ref: ImageRef) -> bytes:
    """16 bytes that say which file it is, and nothing of its name."""
    return blake2b(repr((os.fsencode(ref.path), ref.signature)).encode(), digest_size=16).digest()
