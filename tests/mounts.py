"""Mounts that only a daemon of a test sees, made and taken out while it runs. Skips where those are forbidden."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from process import Daemon
from support import wait_until


def own_mounts() -> list[str]:
    """How to start a command with mounts of its own; skips where that is forbidden."""
    command = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--user", "--map-root-user"])]
    skip_unless_it_works([*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], "mounts of one's own are forbidden here")
    return command


def seen_read_only(folder: Path) -> list[str]:
    """How to start a command that sees a folder through a read-only mount; skips where that is forbidden."""
    mounted = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    command = [*own_mounts(), "sh", "-c", mounted, str(folder)]
    skip_unless_it_works([*command, "true"], "read-only mounts are forbidden here")
    return command


def without_privileges() -> list[str]:
    """How to start a command that the modes of files hold for, also where the tests run as root."""
    if os.geteuid() != 0:
        return []
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]
    skip_unless_it_works([*command, "true"], "privileges cannot be dropped here")
    return command


def skip_unless_it_works(command: list[str], reason: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"{reason}: {error}")
    if done.returncode != 0:
        pytest.skip(f"{reason}: {done.stderr.strip()}")


def beside(daemon: Daemon, *command: str | Path) -> None:
    """Run a command among the daemon's own mounts; again while a mount is busy."""
    user = [] if os.getuid() == 0 else ["--user", "--preserve-credentials"]
    enter = ["nsenter", "--target", str(daemon.process.pid), "--mount", *user]

    def run() -> bool:
        done = subprocess.run([*enter, *map(str, command)], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or "busy" in done.stderr, (command, done.stderr)
        return done.returncode == 0

    wait_until(run, 30)
