"""What a command leaves for its user: a folder of links to images, a file; and the images that it shows.

Nothing of anybody's is overwritten: a folder of links is a new one, a file takes the place of an earlier one of its
kind.

Room:    adapters (touches a folder or a file that the user names)
Imports: errors, stdlib
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from face_organizer.errors import RequestError

HEAD_BYTES, TAIL_BYTES = 1_000, 1 << 16


class Mark(NamedTuple):
    """By which a file is known to be an earlier result of the same kind. begins: with this. holds: this, near its
    beginning or its end."""

    begins: bytes
    holds: bytes = b""


def refuse_other(path: Path, mark: Mark) -> None:
    """Raises RequestError where something lies at this path that is not empty and has not the mark."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RequestError(f"cannot write {path}: what is there cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        is_ours = stat.S_ISREG(found.st_mode) and _has(file, found.st_size, mark)
    if not is_ours:
        raise RequestError(
            f"{path} is there already, and nothing that this command wrote: it is not overwritten; choose another name,"
            " or move it away"
        )


def _has(file: BinaryIO, size_bytes: int, mark: Mark) -> bool:
    head = file.read(HEAD_BYTES)
    file.seek(max(0, size_bytes - TAIL_BYTES))
    return not head or (head.startswith(mark.begins) and (mark.holds in head or mark.holds in file.read(TAIL_BYTES)))


def link_images(folder: Path, images: Sequence[str]) -> None:
    """Make a new folder with a symbolic link to each image, numbered in their order. Raises RequestError."""
    try:
        folder.mkdir(parents=True)
        for number, image in enumerate(images, start=1):
            (folder / f"{number:04}_{Path(image).name}"[:255]).symlink_to(Path(image).absolute())
    except FileExistsError as error:
        raise RequestError(f"{folder} is there already: name a new folder for the links") from error
    except OSError as error:
        raise RequestError(f"cannot make links in {folder}: {error.strerror}") from error


def image_shown(path: Path, size_max_bytes: int) -> bytes:
    """An image's bytes. Raises OSError, also for what is no file or too large."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > size_max_bytes:
            raise OSError(f"{path} is no file, or too large")
        return file.read()


def write_result(path: Path, content: bytes, mark: Mark) -> None:
    """Write a file whole, in place of an earlier one. Raises RequestError, see refuse_other."""
    with whole_file(path, mark) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path, mark: Mark) -> Iterator[BinaryIO]:
    """A file to write to; it is there whole or not at all, in place of an earlier one. Raises RequestError, see
    refuse_other."""
    refuse_other(path, mark)
    staged = path.with_name(f".{path.name}.part"[-255:])
    try:
        with staged.open("wb") as file:
            yield file
        refuse_other(path, mark)
        os.replace(staged, path)
    except OSError as error:
        raise RequestError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            staged.unlink()
