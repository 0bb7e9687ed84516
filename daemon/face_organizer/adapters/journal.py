"""Writes to systemd's journal with fields of their own, so that `journalctl EVENT=image_enrolled` finds them.

Room:    adapters (touches the journal's socket)
Imports: stdlib

The protocol is one datagram an entry, or a sealed memory file where that is too large
(https://systemd.io/JOURNAL_NATIVE_PROTOCOL/). Values are bytes of any kind: a name that is not UTF-8 comes back as it
was, and an entry of many lines stays one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import socket
import struct
from array import array
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import RawIOBase
from threading import Lock
from typing import Any

SOCKET = "/run/systemd/journal/socket"
BACKLOG_MAX_BYTES = 16 * 1024 * 1024
"""What is kept while the journal takes nothing; beyond, the oldest entries are lost, and counted."""

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_TAKEN = re.compile(
    r"_|MESSAGE|PRIORITY|EVENT|SYSLOG_|CODE_|COREDUMP_|OBJECT_|INVOCATION_ID|USER_|UNIT|ERRNO|TID|[0-9]"
)
"""How names begin that mean something else to the journal, or that it refuses: ours get F_ before them."""


def is_journal(descriptor: int) -> bool:
    """Does this stream lead into the journal? systemd names the one it made by device and inode."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class Journal:
    """Never fails and never waits: while the journal does not take entries they are kept, for the next write or flush.

    Thread-safe.
    """

    def __init__(self, address: str = SOCKET, backlog_max_bytes: int = BACKLOG_MAX_BYTES) -> None:
        self._address, self._backlog_max_bytes = address, backlog_max_bytes
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = self._lost = 0
        self._lock = Lock()

    def write(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        entry = encoded(level, event, fields)
        with self._lock:
            self._waiting.append(entry)
            self._waiting_bytes += len(entry)
            self._send_waiting()

    def flush(self) -> None:
        """Send what is waiting, as far as the journal takes it."""
        with self._lock:
            self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and self._send(self._waiting[0]):
            self._drop_first()
        while self._waiting_bytes > self._backlog_max_bytes:
            self._drop_first()
            self._lost += 1
        if self._lost and not self._waiting and self._send(encoded("warning", "log_lost", {"entries": self._lost})):
            self._lost = 0

    def _drop_first(self) -> None:
        self._waiting_bytes -= len(self._waiting.popleft())

    def _send(self, entry: bytes) -> bool:
        """False: the journal does not take it now."""
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            with socket.socket(socket.AF_UNIX, kind) as sender:
                try:
                    sender.sendto(entry, self._address)
                except OSError as error:
                    if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                        return False
                    with _sealed(entry) as file:
                        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [file.fileno()]))]
                        sender.sendmsg([], passed, 0, self._address)
        except OSError:
            return False
        return True


@contextmanager
def _sealed(entry: bytes) -> Iterator[RawIOBase]:
    """A file in memory that nobody can change any more: how the journal takes what is too large for a datagram."""
    with open(os.memfd_create("journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb", buffering=0) as file:
        file.write(entry)
        seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
        yield file


def encoded(level: str, event: str, fields: Mapping[str, Any]) -> bytes:
    """One entry. MESSAGE is a line for people; a list becomes as many fields of its name, None no field."""
    entry = bytearray()
    told = " ".join(
        f"{name}={_in_words(value)}" for name, value in fields.items() if name not in ("exception", "stack")
    )
    for name, value in (
        ("MESSAGE", f"{event} {told}".rstrip()),
        ("PRIORITY", _PRIORITIES.get(level, 6)),
        ("SYSLOG_IDENTIFIER", "face-organizer"),
        ("EVENT", event),
        *((_name(name), value) for name, value in fields.items()),
    ):
        for each in _values(value):
            if b"\n" in each:
                entry += name.encode() + b"\n" + struct.pack("<Q", len(each)) + each + b"\n"
            else:
                entry += name.encode() + b"=" + each + b"\n"
    return bytes(entry)


def _name(name: str) -> str:
    """As the journal wants it: A to Z, 0 to 9 and _, at most 64."""
    upper = re.sub(r"[^A-Z0-9_]", "_", name.upper())
    if name == "exception":
        return "EXCEPTION_TEXT"
    return (f"F_{upper}" if _TAKEN.match(upper) else upper)[:64]


def _values(value: Any) -> Iterator[bytes]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _values(item)
    elif isinstance(value, str):
        yield value.encode("utf-8", "surrogateescape")
    elif value is not None:
        yield json.dumps(value, default=str).encode()


def _in_words(value: Any) -> str:
    """On one line, and in UTF-8: journalctl shows nothing else as text."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if text.isprintable() else repr(text)[1:-1]
