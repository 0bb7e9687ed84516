"""A library's file system that is taken out while the daemon runs: nothing is lost or laid beside it, and it goes on.

The real process, real mounts in a namespace of its own; the test itself sees what lies below the mounts.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from mounts import beside, own_mounts
from numbered import paint
from process import NUMBERED, Daemon, as_json, files_below, organizer
from support import wait_until

from face_organizer.adapters.control import ask

SETTINGS = """
[watch]
settle_s = 0.05
[folders]
settle_s = 0.3
"""
PEOPLE = {f"{who}{nth}.png": (who, 10 * who + nth) for who in range(2) for nth in range(4)}


class World:
    """A daemon whose library is a file system of its own. state: where it keeps its state."""

    def __init__(self, folder: Path, start: Callable[..., Daemon], state: Path | None = None) -> None:
        self.inbox, self.library, self.disk = folder / "inbox", folder / "library", folder / "disk"
        for each in (self.inbox, self.library, self.disk):
            each.mkdir()
        settings = folder / "settings.toml"
        settings.write_text((f'state_dir = "{state}"\n' if state else "") + SETTINGS)
        mount = f'mount -t tmpfs tmpfs {self.disk}; mount -B {self.disk} {self.library}; exec "$@"'
        self.command = ["run", "--config", settings, "--inbox", self.inbox, "--library", self.library]
        shell = [*own_mounts(), "sh", "-ec", mount, "sh"]
        self.daemon = start(*self.command[1:], command=[*shell, *NUMBERED])
        self.daemon.wait_for("ready")
        for name, (who, number) in PEOPLE.items():
            paint(self.inbox / name, [who], number)
        self.daemon.wait_for("image_placed", len(PEOPLE))
        wait_until(lambda: not any(self.inbox.iterdir()), 20)

    def below(self) -> list[Path]:
        """What lies in the folder that the library's file system hides."""
        return list(self.library.iterdir())


def test_a_library_that_is_unmounted_is_waited_for_and_nothing_is_laid_below_it(
    tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    state = tmp_path / "state"
    world = World(tmp_path, start, state)
    daemon = world.daemon

    beside(daemon, "umount", world.library)
    assert daemon.wait_for("library_lost")[0]["cause"] == "its file system is not mounted"
    paint(world.inbox / "late.png", [0], 77)
    problem = daemon.wait_for("placement_failed")[0]["problem"]
    assert problem == f"cannot place late.png: the library {world.library} is away: its file system is not mounted"
    assert world.below() == [] and (world.inbox / "late.png").exists()
    status = ask(state, "status")
    assert (status["folders"]["state"], status["problems"]) == ("lost", [problem])

    beside(daemon, "mount", "-B", world.disk, world.library)
    daemon.wait_for("library_back")
    daemon.wait_for("image_placed", len(PEOPLE) + 1)
    wait_until(lambda: ask(state, "status")["pending"] == 0 and not any(world.inbox.iterdir()), 20)
    assert ask(state, "check")["findings"] == [] and ask(state, "history") == []
    assert daemon.events("image_missing") == [] and world.below() == []
    assert daemon.end() == 0
    paint(world.inbox / "later.png", [0], 78)
    refused = organizer(*world.command, "--once", command=NUMBERED, expect=2)  # here nothing is mounted
    assert "was a file system of its own until now: mount that" in refused.stderr
    assert files_below(world.library) == [] and (world.inbox / "later.png").exists()


def test_one_that_is_pulled_out_with_its_state_stops_the_daemon_and_the_next_start_goes_on(
    tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may enter the mounts of another process so")
    world = World(tmp_path, start)
    daemon = world.daemon
    holder = Popen(["nsenter", "--target", str(daemon.process.pid), "--mount", "cat"], stdin=PIPE)  # keeps the disk

    try:
        beside(daemon, "umount", "--lazy", world.library)
        paint(world.inbox / "late.png", [0], 77)
        wait_until(lambda: daemon.process.poll() is not None, 40)

        assert daemon.process.returncode == 1
        assert "was taken away while it was in use" in daemon.events("text")[-1]["text"]
        assert world.below() == [] and (world.inbox / "late.png").exists()
        within = ["nsenter", "--target", str(holder.pid), "--mount", f"--wd={Path.cwd()}"]
        subprocess.run([*within, "mount", "-B", world.disk, world.library], check=True)
        summary = as_json(*world.command, "--once", within=within, command=NUMBERED)
        assert (summary["images"], summary["duplicates"]) == (len(PEOPLE) + 1, 0)
        assert as_json("check", "--library", world.library, within=within, command=NUMBERED)["findings"] == []
        assert as_json("history", "--library", world.library, within=within, command=NUMBERED) == []
        assert world.below() == [] and not any(world.inbox.iterdir())
    finally:
        holder.communicate()
