"""Room for the store: on its disk, and in the process's memory.

Room:    adapters (touches the state folder, memory maps)
Imports: stdlib
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

CHUNK_BYTES = 64 << 10


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
