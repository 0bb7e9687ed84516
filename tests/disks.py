"""Small disks of a test's own: tmpfs in a mount namespace that nobody else sees, and that ends with the test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

HOLD = 'for disk in "$@"; do mount -t tmpfs -o size=2M none "$disk" || exit 1; done; echo ready; exec cat'


class Disks:
    """Folders that are disks of 2 MB each, for processes started `within`; the test looks at them through seen()."""

    def __init__(self, *folders: Path) -> None:
        """Skips the test where disks cannot be made."""
        if os.geteuid() != 0:
            pytest.skip("only root may make disks")
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", HOLD, "sh", *map(str, folders)]
        try:
            self._holder = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        except FileNotFoundError:
            pytest.skip("unshare (util-linux) is not installed")
        assert self._holder.stdout is not None
        if self._holder.stdout.readline().strip() != "ready":
            _, why = self._holder.communicate()
            pytest.skip(f"no disks can be made here: {why.strip()}")

    @property
    def within(self) -> Sequence[str]:
        """What runs a command where the disks are."""
        return ("nsenter", "--target", str(self._holder.pid), "--mount", f"--wd={Path.cwd()}")

    def seen(self, path: Path) -> Path:
        """The same path, as seen from here."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def resize(self, folder: Path, size: str) -> None:
        self.run("mount", "-o", f"remount,size={size}", str(folder))

    def run(self, *command: str) -> None:
        """Run a command where the disks are."""
        subprocess.run([*self.within, *command], check=True)

    def fill(self, folder: Path, leaving_bytes: int, name: str = ".ballast") -> Path:
        """Put a file there that leaves so many bytes free; returns it."""
        ballast = self.seen(folder) / name
        told = os.statvfs(ballast.parent)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, told.f_bavail * told.f_frsize - leaving_bytes)
        return ballast

    def free_bytes(self, folder: Path) -> int:
        told = os.statvfs(self.seen(folder))
        return told.f_bavail * told.f_frsize

    def end(self) -> None:
        """The disks are gone with the last process that sees them."""
        self._holder.communicate()
