"""Which file system a path lies on, and what that is good for.

Room:    adapters (touches /proc)
Imports: errors, stdlib
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from face_organizer.errors import ConfigError

SHARED = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "afs", "lustre", "vboxsf", "fuse", "gpfs"}
    | {"beegfs", "ocfs2", "gfs2", "coda", "pvfs2", "orangefs", "prl_fs", "vmhgfs", "drvfs"}
)
"""File systems that live elsewhere. Others can write there without inotify telling us, and neither flock nor a memory
map is sure to mean what it means on a local disk. So does every fuse.* one."""

MOUNTS = Path("/proc/self/mountinfo")


def is_shared(kind: str) -> bool:
    """Does such a file system live elsewhere? kind: as in /proc/self/mountinfo."""
    return kind in SHARED or kind.startswith("fuse.")


def file_system_of(path: str, mountinfo: str) -> str:
    """The kind of file system a real path lies on, "" if unknown. mountinfo: the text of /proc/self/mountinfo."""
    best, kind = "", ""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        mount_point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields.split(" ")[4])
        below = mount_point.rstrip("/") + "/"
        if (path + "/").startswith(below) and len(below) >= len(best):
            best, kind = below, rest.split(" ")[0]
    return kind


def kind_at(path: Path) -> str:
    """The kind of file system a path lies on, or will once it is made; "" where nobody says."""
    try:
        mounts = MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return ""
    return file_system_of(os.path.realpath(path), mounts)


def is_mounted(folder: Path | int) -> bool:
    """Does a file system of its own begin at a folder? folder: a path, which may be a link, or a descriptor. Raises
    OSError: NotADirectoryError of a file."""
    above = os.stat("..", dir_fd=folder) if isinstance(folder, int) else os.stat(folder / "..")
    return os.stat(folder).st_dev != above.st_dev


def refuse_unmounted(library: Path, *, was_mounted: bool) -> bool:
    """Does a file system of its own begin at the library? Raises ConfigError where one did, and now there is only the
    empty folder below it."""
    if is_mounted(library):
        return True
    if was_mounted and all(name.startswith(".") for name in os.listdir(library)):
        raise ConfigError(
            f"the library {library} is empty, and was a file system of its own until now: mount that; or, if its"
            " folders are to lie here from now on, put them here first"
        )
    return False


def refuse_shared(state_dir: Path) -> None:
    """Raises ConfigError where a database must not lie: LMDB wants a local disk (lmdb.h, "Caveats")."""
    kind = kind_at(state_dir)
    if is_shared(kind):
        raise ConfigError(
            f"the state folder {state_dir} would lie on {kind}, where locks and memory maps cannot be relied on and"
            " a database gets damaged: set state_dir to a folder on a local disk, and move there what this one holds;"
            " the pictures may stay where they are"
        )
