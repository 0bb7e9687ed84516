"""Single steps on files that the library is built from: each is all or nothing, and none overwrites.

Room:    adapters (touches)
Imports: stdlib

None takes a path. A path is walked anew by every call, and whoever may write to the library could put a link to
elsewhere in its way between two of them; a Spot is a name in a folder that is held open.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

CHUNK_BYTES = 1 << 20
NAME_BYTES_MAX = 255
SUFFIX_BYTES_MAX = 16

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NO_FOLDER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""Errors of opening a folder that mean that there is none, or a link in its stead."""

_RENAME_NOREPLACE = 1


@dataclass(frozen=True, slots=True)
class Spot:
    """A name in a folder. folder: its descriptor; path: how people call the spot, never given to the system."""

    folder: int
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def beside(self, name: str) -> Spot:
        return Spot(self.folder, self.path.with_name(name))


def open_folder(spot: Spot) -> int | None:
    """A descriptor of the folder at this spot; None where there is none, or a link stands there. Raises OSError."""
    try:
        with _naming(spot):
            return os.open(spot.name, OPEN_FOLDER, dir_fd=spot.folder)
    except OSError as error:
        if error.errno in NO_FOLDER:
            return None
        raise


def status(spot: Spot) -> os.stat_result | None:
    """lstat, or None where there is nothing."""
    try:
        with _naming(spot):
            return os.stat(spot.name, dir_fd=spot.folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def target_of(spot: Spot) -> Path:
    """Where the symbolic link at this spot leads."""
    with _naming(spot):
        return Path(os.readlink(spot.name, dir_fd=spot.folder))


def digest_of(spot: Spot) -> bytes:
    """BLAKE2b, 16 bytes, of a regular file's content: the same name that decoding gives it. Raises OSError."""
    with _reading(spot) as content:
        return _digest_while(content, lambda _: None)


def digest_at(path: Path) -> bytes:
    """digest_of for a path that the user of a command gave. Raises OSError."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return digest_of(Spot(folder, path))
    finally:
        os.close(folder)


def is_one_entry(one: Spot, other: Spot) -> bool:
    """Are these two names of one entry of a folder, as where case does not count? Then to remove one is to remove both.

    Two hard links of one file are two entries. Raises OSError.
    """
    folder, other_folder = os.fstat(one.folder), os.fstat(other.folder)
    if (folder.st_dev, folder.st_ino) != (other_folder.st_dev, other_folder.st_ino):
        return False
    if one.name == other.name:
        return True
    alike = unicodedata.normalize("NFC", one.name).casefold() == unicodedata.normalize("NFC", other.name).casefold()
    return alike and not {one.name, other.name} <= set(os.listdir(one.folder))


def text_of(spot: Spot, size_max_bytes: int) -> bytes | None:
    """A small regular file's content; None where there is none."""
    found = status(spot)
    if found is None or not stat.S_ISREG(found.st_mode) or found.st_size > size_max_bytes:
        return None
    with _reading(spot) as content:
        return content.read(size_max_bytes)


def same_content(one: Spot, other: Spot) -> bool:
    """Do two regular files hold the same bytes? Raises OSError."""
    with _reading(one) as left, _reading(other) as right:
        while True:
            chunk = left.read(CHUNK_BYTES)
            if chunk != right.read(CHUNK_BYTES):
                return False
            if not chunk:
                return True


def numbered(name: str, number: int, ending: str = "") -> str:
    """name, name~2, name~3 before the suffix, and an ending after it; the stem gives way where 255 bytes are exceeded.

    numbered("a.jpg", 1) == "a.jpg"; numbered("a.jpg", 2) == "a~2.jpg"; numbered("a.jpg", 2, ".txt") == "a.jpg~2.txt".
    """
    suffix = ending or Path(name).suffix
    stem = name if ending else name.removesuffix(suffix)
    if len(os.fsencode(suffix)) > SUFFIX_BYTES_MAX:
        stem, suffix = name, ""
    suffix = (f"~{number}" if number > 1 else "") + suffix
    room = NAME_BYTES_MAX - len(os.fsencode(suffix))
    while len(os.fsencode(stem)) > room:
        stem = stem[:-1]
    return stem + suffix


def make_folder(spot: Spot) -> None:
    """A new folder that survives a power cut. Raises FileExistsError."""
    with _naming(spot):
        os.mkdir(spot.name, dir_fd=spot.folder)
        flush_folder(spot.folder)


def link(source: Spot, target: Spot) -> None:
    """A second name for a file, also for a symbolic link itself. Raises FileExistsError where target exists."""
    with _naming(source, target):
        os.link(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder, follow_symlinks=False)


def point(target: Spot, source: Path) -> None:
    """A symbolic link at target that leads to source. Raises FileExistsError where target exists."""
    with _naming(target):
        os.symlink(source, target.name, dir_fd=target.folder)


def unlink(spot: Spot) -> None:
    """Remove a name. Raises OSError."""
    with _naming(spot):
        os.unlink(spot.name, dir_fd=spot.folder)


def rename_new(source: Spot, target: Spot) -> None:
    """Rename, but raise FileExistsError where target exists.

    renameat2(2) does both in one step; where it is lacking (old kernels, some file systems), a look comes first.
    """
    renameat2 = _renameat2()
    if renameat2 is not None:
        names = os.fsencode(source.name), os.fsencode(target.name)
        if renameat2(source.folder, names[0], target.folder, names[1], _RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise OSError(code, os.strerror(code), os.fspath(source.path), None, os.fspath(target.path))
    if status(target) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target.path))
    with _naming(source, target):
        os.rename(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder)


def copy_new(source: Spot, target: Spot, staged: str, digest: bytes) -> None:
    """A durable copy under a name that must be free, with the source's times and permissions.

    staged: a hidden name in target's folder; a leftover of a crash is written over. digest: what the content must be,
    b"" if unknown. Raises OSError (ESTALE where the content is another).
    """
    with _reading(source) as content, _arriving(target.beside(staged), target) as copy:
        found = _digest_while(content, copy.write)
        if digest and found != digest:
            raise OSError(errno.ESTALE, "the content has changed", os.fspath(source.path))
        told = os.fstat(content.fileno())
        copy.flush()
        with _where_there_are_any():
            os.fchmod(copy.fileno(), stat.S_IMODE(told.st_mode) & 0o777)
        with _where_there_are_any():
            os.utime(copy.fileno(), ns=(told.st_atime_ns, told.st_mtime_ns))
        os.fsync(copy.fileno())
    flush_folder(target.folder)


def write_new(text: bytes, target: Spot, staged: str, *, lasting: bool = False) -> None:
    """A file with this text under a name that must be free: whole or not at all. lasting: also after a power cut."""
    with _arriving(target.beside(staged), target) as file:
        file.write(text)
        if lasting:
            file.flush()
            os.fsync(file.fileno())
        with _where_there_are_any():
            os.fchmod(file.fileno(), 0o644)


@contextlib.contextmanager
def _where_there_are_any() -> Iterator[None]:
    """Permissions and times of one's own are not to be had on every file system (FAT, network drives)."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise


def flush_folder(folder: int) -> None:
    """Make an open folder's entries survive a power cut."""
    os.fsync(folder)


@contextlib.contextmanager
def _naming(spot: Spot, other: Spot | None = None) -> Iterator[None]:
    """Let an error name the path, where the system knows only the name in a folder."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            error.filename = os.fspath(spot.path)
        if error.filename2 is not None and other:
            error.filename2 = os.fspath(other.path)
        raise


@contextlib.contextmanager
def _reading(spot: Spot) -> Iterator[IO[bytes]]:
    """Open a regular file; not through a link, and without waiting for a FIFO."""
    with _naming(spot):
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(spot.name, flags, dir_fd=spot.folder)
    with os.fdopen(descriptor, "rb") as content:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(spot.path))
        yield content


@contextlib.contextmanager
def _arriving(staged: Spot, target: Spot) -> Iterator[IO[bytes]]:
    """A new file, filled under one name and then renamed to another. No trace is left of one that failed."""
    with contextlib.suppress(FileNotFoundError):
        unlink(staged)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with _naming(staged):
            descriptor = os.open(staged.name, flags, 0o600, dir_fd=staged.folder)
        with os.fdopen(descriptor, "wb") as file:
            yield file
        rename_new(staged, target)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            unlink(staged)
        raise


def _digest_while(content: IO[bytes], consume: Callable[[bytes], object]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    while chunk := content.read(CHUNK_BYTES):
        digest.update(chunk)
        consume(chunk)
    return digest.digest()


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    """The C library's renameat2, None where it has none."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return lambda *arguments: int(function(*arguments))
