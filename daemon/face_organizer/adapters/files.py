"""Single steps on files that the library is built from: each is all or nothing, and none overwrites.

Room:    adapters (touches)
Imports: stdlib
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

CHUNK_BYTES = 1 << 20
NAME_BYTES_MAX = 255
SUFFIX_BYTES_MAX = 16

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1


def status(path: Path) -> os.stat_result | None:
    """lstat, or None where there is nothing."""
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def digest_of(path: Path) -> bytes:
    """BLAKE2b, 16 bytes, of a regular file's content: the same name that decoding gives it. Raises OSError."""
    with _reading(path) as content:
        return _digest_while(content, lambda _: None)


def same_content(one: Path, other: Path) -> bool:
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


def rename_new(source: Path, target: Path) -> None:
    """Rename, but raise FileExistsError where target exists.

    renameat2(2) does both in one step; where it is lacking (old kernels, some file systems), a look comes first.
    """
    renameat2 = _renameat2()
    if renameat2 is not None:
        paths = os.fsencode(source), os.fsencode(target)
        if renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise OSError(code, os.strerror(code), os.fspath(source), None, os.fspath(target))
    if status(target) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target))
    source.rename(target)


def copy_new(source: Path, target: Path, staged: Path, digest: bytes) -> None:
    """A durable copy under a name that must be free, with the source's times and permissions.

    staged: a hidden name in target's folder; a leftover of a crash is written over. digest: what the content must be,
    b"" if unknown. Raises OSError (ESTALE where the content is another).
    """
    with _reading(source) as content, _arriving(staged, target) as copy:
        found = _digest_while(content, copy.write)
        if digest and found != digest:
            raise OSError(errno.ESTALE, "the content has changed", os.fspath(source))
        told = os.fstat(content.fileno())
        copy.flush()
        with _where_there_are_any():
            os.fchmod(copy.fileno(), stat.S_IMODE(told.st_mode))
        with _where_there_are_any():
            os.utime(copy.fileno(), ns=(told.st_atime_ns, told.st_mtime_ns))
        os.fsync(copy.fileno())
    flush_folder(target.parent)


def write_new(text: bytes, target: Path, staged: Path) -> None:
    """A file with this text under a name that must be free: whole or not at all."""
    with _arriving(staged, target) as file:
        file.write(text)
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


def flush_folder(folder: Path) -> None:
    """Make the folder's entries survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file; not through a link, and without waiting for a FIFO."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as content:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        yield content


@contextlib.contextmanager
def _arriving(staged: Path, target: Path) -> Iterator[IO[bytes]]:
    """A new file, filled under one name and then renamed to another. No trace is left of one that failed."""
    staged.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(staged, flags, 0o600), "wb") as file:
            yield file
        rename_new(staged, target)
    except OSError:
        staged.unlink(missing_ok=True)
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
