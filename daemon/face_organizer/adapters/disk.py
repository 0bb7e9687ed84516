"""Disks: how much room one has, which one a folder lies on, and what it keeps through a power cut.

Room:    adapters (touches the file system's figures, and lets it flush)
Imports: stdlib
"""

from __future__ import annotations

import os
from pathlib import Path


def free_bytes(folder: Path) -> int | None:
    """What an ordinary user may still write there; None where nobody can tell (the folder is away)."""
    try:
        told = os.statvfs(folder)
    except OSError:
        return None
    return told.f_bavail * told.f_frsize


def same_disk(one: Path, other: Path) -> bool:
    """Do both lie on one file system, so that a file goes from here to there without a copy?"""
    try:
        return one.stat().st_dev == other.stat().st_dev
    except OSError:
        return False


def flush(path: Path) -> None:
    """Make a file, or a folder's entries, survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
