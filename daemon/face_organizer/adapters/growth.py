"""Room for the store: on its disk, in the process's memory, and a moment without readers to grow in.

Room:    adapters (touches the state folder, memory maps)
Imports: stdlib
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK_BYTES = 64 << 10


class Gate:
    """Transactions pass, side by side; now and then somebody wants to be alone.

    Whoever is inside already may enter again: that never waits, so that nobody waits for himself.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._one_at_a_time = threading.Lock()
        self._inside = 0
        self._is_shut = False
        self._mine = threading.local()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Be inside; waits while somebody is alone, or is about to be."""
        depth = getattr(self._mine, "depth", 0)
        with self._changed:
            if depth == 0:
                self._changed.wait_for(lambda: not self._is_shut)
            self._inside += 1
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self, within_s: float) -> Iterator[bool]:
        """Shut the gate and wait so long for those inside to leave. Gives whether all have."""
        with self._one_at_a_time:
            with self._changed:
                self._is_shut = True
                is_alone = self._changed.wait_for(lambda: self._inside == 0, within_s)
            try:
                yield is_alone
            finally:
                with self._changed:
                    self._is_shut = False
                    self._changed.notify_all()


def can_map(size_bytes: int) -> bool:
    """May this process map so much more memory? LMDB's own try would lose the old map where it may not."""
    try:
        mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


def probe_room(folder: Path, size_bytes: int) -> None:
    """Can so much be written to the folder's disk? Leaves nothing behind. Raises OSError where it cannot."""
    path = folder / ".room.part"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(0, size_bytes, CHUNK_BYTES):
            written = 0
            while written < CHUNK_BYTES:  # a write cut short is followed by one that says why
                written += os.write(descriptor, bytes(CHUNK_BYTES - written))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def reserve(path: Path, size_bytes: int) -> None:
    """Let a file have its blocks on disk, so many bytes at least. Raises OSError where there is no room."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    finally:
        os.close(descriptor)
