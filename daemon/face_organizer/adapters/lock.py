"""One process owns a library, and one empties an inbox: locks that the kernel lets go of when their holder dies.

Room:    adapters (touches the lock file and the inbox's own descriptor)
Imports: errors, private, stdlib
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from face_organizer.adapters.private import make_private_folder
from face_organizer.errors import DISK_FULL, AlreadyRunningError, NoRoomError, StoreError, why_not_written

LOCKS = Path("/proc/locks")


class LibraryLock:
    """flock on state_dir/lock, held for life. The file stays and holds the pid, for people to read."""

    def __init__(self, state_dir: Path) -> None:
        """Raises AlreadyRunningError with the holder's pid, StoreError where the folder cannot be written, NoRoomError
        where a first start finds a full disk."""
        path = state_dir / "lock"
        self._inbox = -1
        try:
            make_private_folder(state_dir)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise NoRoomError(f"no room in the state folder {state_dir}: {error.strerror}") from error
            raise StoreError(f"cannot write to the state folder {state_dir}: {why_not_written(error)}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(self._descriptor) or os.read(self._descriptor, 32).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise AlreadyRunningError(
                f"another Face Organizer (process {holder or 'unknown'}) owns {state_dir}: commands reach it with"
                f" --library; to stop it: {f'kill {holder}' if holder else 'end it where it was started'}"
            ) from None
        with suppress(OSError):  # a full disk: the lock holds without a word of who has it
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def hold_inbox(self, inbox: Path, *, shared: bool) -> None:
        """Keep others from emptying this inbox into another library, by flock on the folder itself. shared: it is only
        read, and so may others do; whoever moves wants it alone.

        An inbox on a file system of its own is not locked: the descriptor would keep that from being unmounted. Nor is
        one whose file system knows no such lock. Raises AlreadyRunningError with the holder's pid.
        """
        self._inbox = _locked(inbox, os.fstat(self._descriptor).st_dev, shared=shared)

    def release(self) -> None:
        """Let go. Doing it twice changes nothing."""
        for descriptor in (self._inbox, self._descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._inbox = self._descriptor = -1


def refuse_held(inbox: Path, state_dir: Path, *, shared: bool) -> None:
    """Where a new library would not get this inbox, say so before anything is made. Raises as LibraryLock.hold_inbox.

    Of two that start at once one may be refused for the look of the other, never both.
    """
    above = next(folder for folder in (state_dir, *state_dir.parents) if folder.exists())
    if above == state_dir:
        return  # whoever owns this library comes first
    descriptor = _locked(inbox, above.stat().st_dev, shared=shared)
    if descriptor >= 0:
        os.close(descriptor)


def _locked(inbox: Path, device: int, *, shared: bool) -> int:
    """A descriptor that holds the inbox, where that is on this device; else -1. See LibraryLock.hold_inbox."""
    try:
        descriptor = os.open(inbox, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1  # whoever watches it says so
    held = -1
    try:
        if os.fstat(descriptor).st_dev == device:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            held = descriptor
    except BlockingIOError:
        raise AlreadyRunningError(
            f"another Face Organizer (process {_holder(descriptor) or 'unknown'}) sorts the inbox {inbox} into"
            " another library, and each image would end in either: give each library an inbox of its own"
        ) from None
    except OSError:
        return -1
    finally:
        if held < 0:
            os.close(descriptor)
    return held


def _holder(descriptor: int) -> str:
    """Who holds the lock on an open file, as the kernel tells it; "" where it does not (some file systems have device
    numbers of their own). What stands in the file may still be a dead holder's."""
    found = os.fstat(descriptor)
    name = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with contextlib.suppress(OSError):
        for line in LOCKS.read_text().splitlines():
            words = line.split()
            if words[1:2] == ["FLOCK"] and name in words:
                return words[words.index(name) - 1]
    return ""
