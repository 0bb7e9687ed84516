"""A folder outside the inbox and the library, and whether anything there was touched."""

from __future__ import annotations

import os
from pathlib import Path


def make_elsewhere(folder: Path, files: dict[str, bytes], mtime_ns: int) -> Path:
    """A folder with these files, beside what we might take for our own."""
    folder.mkdir()
    ours = {"a.jpg.reason.txt": b"mine", ".face-organizer-7.part": b"also mine", "secret": b"s"}
    for name, content in (files | ours).items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o604)
        os.utime(folder / name, ns=(mtime_ns, mtime_ns))
    (folder / "empty").mkdir()
    return folder


def state_of(folder: Path) -> dict[str, object]:
    """Everything that a change could touch: names, contents, modes, times, how many names a file has."""
    told: dict[str, object] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        found = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        told[str(path)] = (found.st_ino, found.st_mode, found.st_nlink, found.st_mtime_ns, found.st_ctime_ns, content)
    return told
