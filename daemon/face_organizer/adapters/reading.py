"""The bytes of one file below a folder that anybody may write to.

Room:    adapters (touches)
Imports: types, errors, stdlib

Nothing here follows a symbolic link, waits for a FIFO or opens a device. Each folder on the way is opened from the one
above it, so that none can be exchanged for a link between the look and the opening.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from pathlib import Path

from face_organizer.errors import DeniedError, GoneError, ItemError, UnreadableError
from face_organizer.types import ImageRef, Signature

OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
OPEN_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

NOT_REGULAR = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV})
"""Errors of opening something that has become a link, a FIFO or a device since we looked."""

KINDS = {
    stat.S_IFIFO: "a FIFO (named pipe)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFDIR: "a folder",
}


def read_settled(root: Path, ref: ImageRef, size_max_bytes: int) -> bytes:
    """The bytes of a regular file below root that still has the signature it settled with. Thread-safe.

    Raises GoneError; DeniedError with the cause: permissions, a failing disk; UnreadableError: a link (the file, or a
    folder above it), a FIFO, a device, the size, or (unfinished) a change since it settled.
    """
    assert ref.path.is_relative_to(root), ref.path
    try:
        above = open_below(root, ref.path.parent)
        try:
            return _read(above, ref, size_max_bytes)
        finally:
            os.close(above)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _lost_on_the_way(root, ref.path) from error
    except OSError as error:
        kind = UnreadableError if error.errno in NOT_REGULAR else DeniedError
        raise kind(cause_of(error, ref.path)) from error


def read_now(root: Path, path: Path, size_max_bytes: int) -> bytes:
    """The bytes of a regular file below root, as it is just now. Raises as read_settled does."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise GoneError(f"{path} is gone") from error
    except OSError as error:
        raise DeniedError(cause_of(error, path)) from error
    signature = Signature(found.st_size, found.st_mtime_ns, found.st_ino)
    return read_settled(root, ImageRef(path, signature), size_max_bytes)


def cause_of(error: OSError, path: Path) -> str:
    """The cause of an OSError in words; for a refusal with mode and owner, which is what one needs to mend it."""
    cause = (error.strerror or str(error)).lower()
    if not isinstance(error, PermissionError):
        return cause
    try:
        found = path.lstat()
    except OSError:
        return f"{cause}: a folder above it does not let us in"
    return f"{cause}: its mode is {stat.filemode(found.st_mode)} and its owner is {_owner(found.st_uid)}"


def open_below(root: Path, folder: Path) -> int:
    """A descriptor of a folder below root, reached without passing a link. Where root itself lies may be linked."""
    above = os.open(root, OPEN_FOLDER & ~os.O_NOFOLLOW)
    for part in folder.relative_to(root).parts:
        try:
            below = os.open(part, OPEN_FOLDER, dir_fd=above)
        finally:
            os.close(above)
        above = below
    return above


def _read(above: int, ref: ImageRef, size_max_bytes: int) -> bytes:
    # A look before opening, because opening a device may already do something; and one at what was opened.
    name = ref.path.name
    _refuse_strange(ref.path, os.stat(name, dir_fd=above, follow_symlinks=False), size_max_bytes)
    with os.fdopen(os.open(name, OPEN_FILE, dir_fd=above), "rb") as file:
        before = os.fstat(file.fileno())
        _refuse_strange(ref.path, before, size_max_bytes)
        data = file.read(before.st_size + 1)
        after = os.fstat(file.fileno())
    settled = ref.signature.size_bytes, ref.signature.mtime_ns
    if settled != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
        raise UnreadableError("the file changed while it was being read", unfinished=True)
    return data


def _refuse_strange(path: Path, found: os.stat_result, size_max_bytes: int) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise UnreadableError(f"a symbolic link to {_target(path)}: links are not followed")
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableError(f"not a regular file but {KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}")
    if found.st_size > size_max_bytes:
        raise UnreadableError(
            f"the file has {found.st_size / 1e6:,.1f} MB, more than the allowed {size_max_bytes / 1e6:,.1f}"
        )


def _lost_on_the_way(root: Path, path: Path) -> ItemError:
    """Gone, or below a folder that has become a link?"""
    for folder in path.parents:
        if folder != root and folder.is_relative_to(root) and folder.is_symlink():
            return UnreadableError(f"its folder {folder} is a symbolic link: links are not followed")
    return GoneError(f"{path} is gone")


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return "somewhere"


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
