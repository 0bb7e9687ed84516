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

_ROW = struct.Struct("<16sBB6x")
_FREE = bytes(_ROW.size)
_AT_WORK, _SUSPECT, _GIVEN_UP = 1, 2, 3


@dataclass(slots=True)
class _Row:
    """number: its place in the file. was_alone: nothing else was at work when the process ended. cause: why it is given
    up, as far as that is known."""

    number: int
    state: int = _AT_WORK
    was_alone: bool = False
    cause: str = ""


class AtWork:
    """A table in a file, with a row for each image from its reading until it has been seen. Any thread.

    Rows that are at work when the file is opened tell that the process before did not end by itself. Those images are
    suspects, until each was at work alone and the process lived. One that was alone when it did not need not be to
    blame, for somebody may have killed it: whoever gives an image up has better reasons. Written without a flush: it is
    to outlive the process, not the machine, for a power cut is no image's doing. Where it cannot be written nobody is
    suspected.
    """

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        self._rows, self._end = _left_by_the_last(path)
        self._free = sorted({*range(self._end)} - {row.number for row in self._rows.values()}, reverse=True)
        self._file = -1
        with suppress(OSError):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for number in self._free:
            self._put(number, _FREE)
        for key, row in self._rows.items():
            self._write(key, row)

    def suspects(self) -> int:
        """How many images may have brought a process down, and have not been tried yet."""
        with self._lock:
            return sum(row.state == _SUSPECT for row in self._rows.values())

    def is_suspect(self, ref: ImageRef) -> bool:
        """Is it to be at work with no other?"""
        row = self._row(ref)
        return row is not None and row.state == _SUSPECT

    def was_alone(self, ref: ImageRef) -> bool:
        """Was nothing else at work when the process before ended?"""
        row = self._row(ref)
        return row is not None and row.was_alone

    def why_given_up(self, ref: ImageRef) -> str:
        """Why this very file (its path, size, time and inode) is not to be looked at; "" where it is."""
        row = self._row(ref)
        return (row.cause or "it brought the program down") if row is not None and row.state == _GIVEN_UP else ""

    def begin(self, ref: ImageRef) -> None:
        """It is at work from now on."""
        self._set(ref, _AT_WORK)

    def give_up(self, ref: ImageRef, cause: str) -> None:
        """It is not to be looked at any more, now and after the next start."""
        self._set(ref, _GIVEN_UP, cause)

    def end(self, refs: Iterable[ImageRef]) -> None:
        """The process has outlived these; nothing is held against them, but against those that are given up."""
        for key in map(_key, refs):
            with self._lock:
                if (row := self._rows.get(key)) is not None and row.state != _GIVEN_UP:
                    self._forget(key, row)

    def close(self, *, as_it_should: bool) -> None:
        """The process ends; as it should: not because of what is at work."""
        with self._lock:
            if as_it_should:
                for key, row in [*self._rows.items()]:
                    if row.state != _GIVEN_UP:
                        self._forget(key, row)
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _row(self, ref: ImageRef) -> _Row | None:
        with self._lock:
            return self._rows.get(_key(ref))

    def _set(self, ref: ImageRef, state: int, cause: str = "") -> None:
        key = _key(ref)
        with self._lock:
            row = self._rows.get(key)
            if row is None:
                row = self._rows[key] = _Row(self._free.pop() if self._free else self._end)
                self._end = max(self._end, row.number + 1)
            row.state, row.cause = state, cause
            self._write(key, row)

    def _forget(self, key: bytes, row: _Row) -> None:
        del self._rows[key]
        self._free.append(row.number)
        self._put(row.number, _FREE)

    def _write(self, key: bytes, row: _Row) -> None:
        self._put(row.number, _ROW.pack(key, row.state, row.was_alone))

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
        if cause := self._at_work.why_given_up(ref):
            raise UnreadableError(
                f"{cause}; to have it tried again, change its date (`touch`) and put it into the inbox"
            )
        self._at_work.begin(ref)
        return self._reader.read(ref)


def _left_by_the_last(path: Path) -> tuple[dict[bytes, _Row], int]:
    """The rows that a process before left, and how many the file has room for. That room is used again, for on a full
    disk there is no other."""
    try:
        data = path.read_bytes()
    except OSError:
        return {}, 0
    rows = [*_ROW.iter_unpack(data[: len(data) // _ROW.size * _ROW.size])]
    at_work = [key for key, state, _ in rows if state == _AT_WORK]
    left = {
        key: _Row(number, _GIVEN_UP if state == _GIVEN_UP else _SUSPECT, bool(was_alone) or at_work == [key])
        for number, (key, state, was_alone) in enumerate(rows)
        if state
    }
    return left, len(rows)


def _key(ref: ImageRef) -> bytes:
    """16 bytes that say which file it is, and nothing of its name."""
    return blake2b(repr((os.fsencode(ref.path), ref.signature)).encode(), digest_size=16).digest()
