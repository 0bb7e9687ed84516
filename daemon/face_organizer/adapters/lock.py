"""One process owns a library: a lock that the kernel lets go of when its holder dies.

Room:    adapters (touches the lock file)
Imports: errors, stdlib
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from face_organizer.errors import DISK_FULL, AlreadyRunningError, NoRoomError, StoreError


class LibraryLock:
    """flock on state_dir/lock, held for life. The file stays and holds the pid, for people to read."""

    def __init__(self, state_dir: Path) -> None:
        """Raises AlreadyRunningError with the holder's pid, StoreError where the folder cannot be written, NoRoomError
        where a first start finds a full disk."""
        path = state_dir / "lock"
        try:
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise NoRoomError(f"no room in the state folder {state_dir}: {error.strerror}") from error
            raise StoreError(f"cannot write to the state folder {state_dir}: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise AlreadyRunningError(f"another Face Organizer (process {holder}) owns {state_dir}") from None
        with suppress(OSError):  # a full disk: the lock holds without a word of who has it
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go. Doing it twice changes nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
