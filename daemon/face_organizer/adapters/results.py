"""What a command leaves for its user: a folder of links to images, a file; and the images that it shows.

Room:    adapters (touches a folder or a file that the user names)
Imports: errors, stdlib
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from face_organizer.errors import RequestError


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


def write_result(path: Path, content: bytes) -> None:
    """Write a file whole, in place of the one that was there. Raises RequestError."""
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to; it is there whole or not at all, in place of the one that was there. Raises RequestError."""
    staged = path.with_name(f".{path.name}.part"[-255:])
    try:
        with staged.open("wb") as file:
            yield file
        os.replace(staged, path)
    except OSError as error:
        raise RequestError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            staged.unlink()
