"""One process owns a library, and one empties an inbox: locks that the kernel lets go of when their holder dies.

Room:    adapters (touches the lock file and the inbox's own descriptor)
Imports: errors, private, writable, stdlib
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from face_organizer.adapters.private import make_private_folder
from face_organizer.adapters.writable import lies_on_read_only, why_unwritable
from face_organizer.errors import (
    DISK_FULL,
    AlreadyRunningError,
    NoRoomError,
    NotAnsweringError,
    StoreError,
    why_not_written,
)

LOCKS = Path("/proc/locks")


class LibraryLock:
    """flock on state_dir/lock, held for life. The file stays and holds the pid, for people to read.

    unwritable: why nothing can be written there, see why_unwritable; "" where it can. Then the lock is shared with
    others who only read, and whoever writes, through another mount or as another user, is kept away as ever.
    """

    def __init__(self, state_dir: Path, *, reading: bool = False) -> None:
        """reading: where nothing can be written, what is there is to be read.

        Raises AlreadyRunningError (reading: NotAnsweringError) with the holder's pid, StoreError where the folder
        cannot be written (or, reading, read), NoRoomError where a first start finds a full disk."""
        self._state, self._inbox = state_dir, -1
        truth = state_dir / "truth"
        self.unwritable = why_unwritable(state_dir, self._path, truth, *truth.glob("*.mdb")) if reading else ""
        self._descriptor = self._opened_to_read() if self.unwritable else self._opened()
        if self._descriptor < 0:
            return
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_SH if self.unwritable else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            problem = self._told_of_holder(reading=reading)
            os.close(self._descriptor)
            raise problem from None
        if not self.unwritable:
            with suppress(OSError):  # a full disk: the lock holds without a word of who has it
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    @property
    def _path(self) -> Path:
        return self._state / "lock"

    def _opened(self) -> int:
        try:
            make_private_folder(self._state)
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise NoRoomError(f"no room in the state folder {self._state}: {error.strerror}") from error
            raise StoreError(f"cannot write to the state folder {self._state}: {why_not_written(error)}") from error

    def _opened_to_read(self) -> int:
        """-1 where there is none and nobody can make one."""
        try:
            return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            if lies_on_read_only(self._state):
                return -1
            raise StoreError(
                f"{self._path} is not there, so that nobody can tell whether somebody writes to this library just now:"
                " make that file, empty, or copy the library, and ask the copy"
            ) from error
        except OSError as error:
            raise StoreError(
                f"cannot read {self._path}: {error.strerror}; give the command as the user whose library it is, or let"
                " this one read all of its state folder"
            ) from error

    def _told_of_holder(self, *, reading: bool) -> AlreadyRunningError:
        kind, holder = _holder(self._descriptor)
        holder = holder or os.read(self._descriptor, 32).decode(errors="replace").strip()
        who, kill = f"process {holder or 'unknown'}", f"kill {holder}" if holder else "end it where it was started"
        if kind == "READ":
            return AlreadyRunningError(
                f"another Face Organizer ({who}) reads {self._state} just now: try again; to stop it: {kill}"
            )
        if self.unwritable:
            return AlreadyRunningError(
                f"another Face Organizer ({who}) writes to {self._state}, and you cannot ask it: give the command as"
                " its user (sudo -u USER ...), or when it has ended"
            )
        if reading:
            return NotAnsweringError(
                f"another Face Organizer ({who}) has {self._state} and answers no command just now: it opens or closes"
                f" the library, or works on it alone; try again in a while; to stop it: {kill}"
            )
        return AlreadyRunningError(
            f"another Face Organizer ({who}) owns {self._state}: commands reach it with --library; to stop it: {kill}"
        )

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
            f"another Face Organizer (process {_holder(descriptor)[1] or 'unknown'}) sorts the inbox {inbox} into"
            " another library, and each image would end in either: give each library an inbox of its own"
        ) from None
    except OSError:
        return -1
    finally:
        if held < 0:
            os.close(descriptor)
    return held


def _holder(descriptor: int) -> tuple[str, str]:
    """Who holds the lock on an open file, as the kernel tells it: "READ" or "WRITE", and the process. ("", "") where it
    does not (some file systems have device numbers of their own). What stands in the file may still be a dead holder's.
    """
    found = os.fstat(descriptor)
    name = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with contextlib.suppress(OSError):
        for line in LOCKS.read_text().splitlines():
            words = line.split()
            if words[1:2] == ["FLOCK"] and name in words:
                before = words.index(name)
                return words[before - 2], words[before - 1]
    return "", ""
