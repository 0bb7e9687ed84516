"""Keeps the state folder to its owner: embeddings of faces are nobody else's business, whatever the umask.

Room:    adapters (touches the state folder)
Imports: stdlib
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

FOLDER, FILE = 0o700, 0o600


def make_private_folder(path: Path) -> None:
    """A folder that only its owner enters, made if it is not there. Raises OSError."""
    path.mkdir(mode=FOLDER, parents=True, exist_ok=True)
    _only(path, FOLDER)


def touch_private(path: Path) -> None:
    """An empty file that only its owner reads, for somebody to write to who asks for no mode. Raises OSError."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE))


def write_private(path: Path, content: bytes) -> None:
    """A file that only its owner reads. Raises OSError."""
    touch_private(path)
    path.write_bytes(content)


def replace_private(path: Path, content: bytes) -> None:
    """The same in place of the file that was there: whole or not at all, also for whoever looks meanwhile."""
    staged = path.with_name(f".{path.name}.part")
    try:
        write_private(staged, content)
        os.replace(staged, path)
    except OSError:
        with contextlib.suppress(OSError):
            staged.unlink()
        raise


def keep_private(folder: Path) -> None:
    """Take everything below a folder, and the folder, from all but the owner: what an older version, or a library that
    knows no modes, has left there. What is not ours stays as it is."""
    for path in _below(folder):
        _only(path, FOLDER if path.is_dir() else FILE)


def _below(folder: Path) -> Iterator[Path]:
    yield folder
    for path, folders, files in os.walk(folder):
        yield from (Path(path, name) for name in (*folders, *files) if not Path(path, name).is_symlink())


def _only(path: Path, mode: int) -> None:
    with contextlib.suppress(OSError):  # gone, another's, or a file system without modes
        if stat.S_IMODE(path.stat().st_mode) & ~mode:
            path.chmod(mode)
