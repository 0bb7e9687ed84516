"""`status --watch` in a real terminal, beside a real daemon."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest
from process import COMMAND, NUMBERED, Daemon, environment, organizer

CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """A command in a terminal of 120 columns and 30 lines."""

    def __init__(self, *arguments: str | Path) -> None:
        self.screen, self.inside = pty.openpty()
        termios.tcsetwinsize(self.inside, (30, 120))
        self.settings = termios.tcgetattr(self.inside)
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=self.inside,
            stdout=self.inside,
            stderr=self.inside,
            env=environment() | {"TERM": "xterm-256color"},
            start_new_session=True,
        )
        self.shown = ""

    def until(self, text: str, within_s: float = 60.0) -> None:
        """Read until the terminal has shown a text."""
        deadline = monotonic() + within_s
        while text not in CONTROL.sub("", self.shown):
            assert monotonic() < deadline, self.shown
            ready, _, _ = select.select([self.screen], [], [], 0.2)
            if ready:
                self.shown += os.read(self.screen, 1 << 16).decode(errors="replace")

    def press(self, key: bytes) -> None:
        os.write(self.screen, key)

    def end(self) -> int:
        """Read on until it has ended; its exit status."""
        deadline = monotonic() + 30
        while self.process.poll() is None:
            assert monotonic() < deadline, self.shown
            if select.select([self.screen], [], [], 0.1)[0]:
                self.shown += os.read(self.screen, 1 << 16).decode(errors="replace")
        return self.process.returncode


@contextmanager
def terminal(*arguments: str | Path) -> Iterator[Terminal]:
    made = Terminal(*arguments)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()
        os.close(made.screen)
        os.close(made.inside)


def test_it_shows_a_running_daemon_until_q_is_pressed_and_leaves_the_terminal_as_it_was(
    inbox: Path, tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    library = tmp_path / "library"
    daemon = start("--inbox", inbox, "--library", library, command=NUMBERED)
    daemon.wait_for("ready")

    with terminal("status", "--watch", "--every", "0.2", "--library", library) as watched:
        watched.until("images/s lately")
        (inbox / "broken.jpg").write_bytes(b"no image")
        daemon.wait_for("image_quarantined")
        watched.until("image_quarantined")
        watched.until("image=broken.jpg")
        watched.press(b"q")

        assert watched.end() == 0
        assert "\x1b[?1049l" in watched.shown  # the screen of before
        assert termios.tcgetattr(watched.inside) == watched.settings

    with terminal("status", "--watch", "--every", "0.2", "--library", library) as watched:
        watched.until("images/s lately")
        watched.process.send_signal(signal.SIGINT)
        assert watched.end() == 0

    with terminal("status", "--watch", "--every", "0.2", "--library", library) as watched:
        watched.until("images/s lately")
        daemon.end()
        assert watched.end() == 1
        watched.until("running until now")


def test_without_a_daemon_or_a_terminal_it_says_what_to_do(inbox: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    with terminal("status", "--watch", "--library", library) as watched:
        assert watched.end() == 1
        watched.until("start one with")

    refused = organizer("status", "--watch", "--library", library, expect=2)
    assert "needs a terminal" in refused.stderr


@pytest.mark.parametrize("option", ["--json"])
def test_it_is_for_people_only(tmp_path: Path, option: str) -> None:
    assert "--json" in organizer("status", "--watch", option, "--library", tmp_path, expect=2).stderr
