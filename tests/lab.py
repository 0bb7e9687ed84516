"""A machine with a real systemd, thrown away at the end, and our service on it: systemd-lab as an object."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAB = Path(__file__).with_name("system") / "systemd-lab"
UNIT = "face-organizer.service"
HOME = "/opt/face-organizer"
CONFIG = "/etc/face-organizer/face-organizer.toml"
DROP_IN = f"/run/systemd/system/{UNIT}.d/test.conf"
TRIGGER = "/srv/face-organizer/hang"
INBOX, LIBRARY = "/srv/face-organizer/inbox", "/srv/face-organizer/library"
START_WITHIN_S = 60  # on a busy machine; the networks are converted at the first start


class Lab:
    """A machine with our unit installed by install-service."""

    def __init__(self, name: str) -> None:
        self.environment = os.environ | {"SYSTEMD_LAB_NAME": name}

    def control(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([LAB, *words], env=self.environment, capture_output=True, text=True, check=False)

    def run(self, *command: str) -> str:
        """What a command says, which must succeed."""
        done = self.control("exec", *command)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}\n{self.tell()}"
        return done.stdout.strip()

    def show(self, name: str) -> str:
        return self.run("systemctl", "show", "--value", "--property", name, UNIT)

    def tell(self) -> str:
        return self.control("exec", "journalctl", "-u", UNIT, "-o", "cat", "-n", "20", "--no-pager").stdout

    def events(self, name: str) -> list[dict[str, Any]]:
        """The journal's entries of this event, oldest first. A value that is not UTF-8 is a list of its bytes."""
        lines = self.run("journalctl", "-u", UNIT, f"EVENT={name}", "-o", "json", "--all", "--no-pager").splitlines()
        return [json.loads(line) for line in lines]

    def install(self, *options: str) -> None:
        self.run(f"{HOME}/.venv/bin/face-organizer", "install-service", *options)

    def configure(self, extra: str) -> None:
        """The shipped configuration with `extra` at its end, where it belongs to the last table."""
        self.write(CONFIG, (ROOT / "config" / "face-organizer.toml").read_text() + extra + "\n")

    def start(self) -> None:
        """Doing it twice changes nothing; what failed before is forgotten."""
        self.control("exec", "systemctl", "reset-failed", UNIT)
        self.run("systemctl", "start", UNIT)

    def stop(self) -> None:
        self.control("exec", "systemctl", "stop", UNIT)
        self.control("exec", "systemctl", "reset-failed", UNIT)

    def shell(self, script: str) -> str:
        return self.run("sh", "-c", script)

    def write(self, path: str, text: str) -> None:
        self.feed(text.encode(), "install", "-D", "-m", "644", "/dev/stdin", path)

    def feed(self, data: bytes, *command: str) -> None:
        """A command that reads its standard input."""
        subprocess.run([LAB, "exec", *command], input=data, env=self.environment, check=True)

    def drop_in_hang(self, name: str, *, watchdog_s: float) -> None:
        """Let MODULE:NAME hang once the trigger is there: see tests/hang.py."""
        hang = f"{HOME}/.venv/bin/python -P {HOME}/tests/hang.py {name} {TRIGGER}"
        run = f"run --config {CONFIG} --inbox {INBOX} --library {LIBRARY}"
        self.drop_in(
            f"ExecStart=\nExecStart={hang} {run}\nWatchdogSec={watchdog_s}\nEnvironment=PYTHONPATH={HOME}/daemon\n"
        )

    def drop_in(self, text: str) -> None:
        """Change the unit until drop_out()."""
        self.write(DROP_IN, f"[Service]\n{text}")
        self.run("systemctl", "daemon-reload")

    def drop_out(self) -> None:
        self.run("rm", "-f", DROP_IN, TRIGGER)
        self.run("systemctl", "daemon-reload")

    def drop_images(self, folder: Path) -> None:
        """Into the inbox, under a name that is settled when it is whole."""
        archive = shutil.make_archive(str(folder), "tar", folder)
        self.feed(Path(archive).read_bytes(), "tar", "-x", "--no-overwrite-dir", "-C", INBOX)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.run(f"{HOME}/.venv/bin/face-organizer", "status", "--json", "--library", LIBRARY)
        )
        return found

    def names_below(self, folder: str, pattern: str) -> set[str]:
        """Of files: one with several people is in several folders, under one name."""
        return set(self.run("find", folder, "-type", "f", "-name", pattern, "-printf", "%f\\n").splitlines())

    def left_in_inbox(self) -> list[str]:
        return self.run("find", INBOX, "-type", "f").splitlines()


def bind_python(folder: Path) -> list[str]:
    """This Python and its packages as the .venv in /opt: the unit sees nothing below /root, /home and /tmp."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix)
    seen_as = base if base.is_relative_to("/usr") else Path("/opt/python")
    venv = folder / "venv"
    (venv / "lib" / version / "site-packages").mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to(seen_as / "bin" / version)
    (venv / "pyvenv.cfg").write_text(f"home = {seen_as / 'bin'}\ninclude-system-site-packages = false\n")
    command = venv / "bin" / "face-organizer"
    command.write_text(
        f"#!{HOME}/.venv/bin/python\nimport sys\nsys.path.insert(0, '{HOME}/daemon')\n"
        "from face_organizer.__main__ import main\nsys.exit(main())\n"
    )
    command.chmod(0o755)
    binds = ["--bind", f"{venv}:{HOME}/.venv"]
    binds += ["--bind-ro", f"{sysconfig.get_path('platlib')}:{HOME}/.venv/lib/{version}/site-packages"]
    return binds if seen_as == base else [*binds, "--bind-ro", f"{base}:{seen_as}"]


@contextmanager
def booted(folder: Path) -> Iterator[Lab]:
    """The machine, with our service installed on it. folder: an empty one, for the .venv."""
    machine = Lab(f"face-organizer.{os.getpid()}")
    binds = [f"{ROOT / part}:{HOME}/{part}" for part in ("daemon", "config", "systemd", "tests")]
    up = machine.control("up", *bind_python(folder), *(f for b in binds for f in ("--bind-ro", b)))
    if up.returncode == 77:
        pytest.skip(up.stderr.strip())
    assert up.returncode == 0, up.stderr
    try:
        machine.install()
        yield machine
    finally:
        assert machine.control("down").returncode == 0
