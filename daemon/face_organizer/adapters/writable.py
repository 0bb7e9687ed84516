"""Can a library be written to at all? One on a read-only file system, or another user's, can still be asked.

Room:    adapters (touches the file system's permissions)
Imports: stdlib
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


def why_unwritable(*paths: Path) -> str:
    """Why this process may not write to the first of these paths that it may not write to, naming it; "" where it may
    write to all that are there. Nothing is tried: that would leave traces."""
    for path in paths:
        if os.access(path, os.F_OK) and not os.access(path, os.W_OK, effective_ids=True):
            code = errno.EROFS if lies_on_read_only(path) else errno.EACCES
            return f"{path} cannot be written: {os.strerror(code)}"
    return ""


def lies_on_read_only(path: Path) -> bool:
    """Is its file system, or the mount that it is seen through, read-only? Where nobody can tell, it is not."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False
