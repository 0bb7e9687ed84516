"""The unit file on a real systemd: hardening, start, reload, crash and stop of the real daemon.

tests/system/systemd-lab boots the installed systemd in namespaces of its own. Where that is impossible (not root, no
systemd, ...) everything here is skipped with the lab's reason.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import wait_until

from face_organizer import demo
from face_organizer.errors import FaceOrganizerError

ROOT = Path(__file__).resolve().parents[2]
LAB = Path(__file__).with_name("systemd-lab")
UNIT = "face-organizer.service"
HOME = "/opt/face-organizer"
DROP_IN = f"/run/systemd/system/{UNIT}.d/test.conf"
TRIGGER = "/srv/face-organizer/hang"
INBOX, LIBRARY = "/srv/face-organizer/inbox", "/srv/face-organizer/library"
EXPOSURE_MAX = 1.0
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
        path = "/etc/face-organizer/face-organizer.toml"
        self.run("install", "-D", "-m", "644", f"{HOME}/config/face-organizer.toml", path)
        self.run("sh", "-c", f"echo '{extra}' >>{path}")

    def start(self) -> None:
        self.control("exec", "systemctl", "reset-failed", UNIT)
        self.run("systemctl", "start", UNIT)

    def shell(self, script: str) -> str:
        return self.run("sh", "-c", script)

    def write(self, path: str, text: str) -> None:
        self.feed(text.encode(), "install", "-D", "-m", "644", "/dev/stdin", path)

    def feed(self, data: bytes, *command: str) -> None:
        """A command that reads its standard input."""
        subprocess.run([LAB, "exec", *command], input=data, env=self.environment, check=True)

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

    def left_in_inbox(self) -> list[str]:
        return self.run("find", INBOX, "-type", "f").splitlines()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    machine = Lab(f"face-organizer.{os.getpid()}")
    binds = [f"{ROOT / part}:{HOME}/{part}" for part in ("daemon", "config", "systemd", "tests")]
    up = machine.control(
        "up", *bind_python(tmp_path_factory.mktemp("lab")), *(f for b in binds for f in ("--bind-ro", b))
    )
    if up.returncode == 77:
        pytest.skip(up.stderr.strip())
    assert up.returncode == 0, up.stderr
    try:
        machine.install()
        yield machine
    finally:
        assert machine.control("down").returncode == 0


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


@pytest.fixture
def running(lab: Lab) -> Iterator[Lab]:
    lab.start()
    yield lab
    lab.run("systemctl", "stop", UNIT)


def test_systemd_finds_nothing_to_complain_about(lab: Lab) -> None:
    done = lab.control("exec", "systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}")

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_is_well_hardened(lab: Lab) -> None:
    verdict = lab.run("systemd-analyze", "security", "--no-pager", UNIT).splitlines()[-1]

    print(verdict)  # noqa: T201
    exposure = re.search(r"exposure level for \S+ ([0-9.]+)", verdict)
    assert exposure, verdict
    assert float(exposure[1]) <= EXPOSURE_MAX


def test_start_returns_once_the_daemon_is_ready(lab: Lab) -> None:
    before = len(lab.events("ready"))

    lab.start()

    assert (lab.show("ActiveState"), lab.show("SubState")) == ("active", "running")
    wait_until(lambda: len(lab.events("ready")) == before + 1, within_s=5)
    lab.run("systemctl", "stop", UNIT)


def test_reload_reclusters_in_the_same_process(running: Lab) -> None:
    pid, before = running.show("MainPID"), len(running.events("recluster_finished"))

    running.run("systemctl", "reload", UNIT)

    wait_until(lambda: len(running.events("recluster_finished")) > before, within_s=30)
    assert running.show("MainPID") == pid
    assert running.events("config_reloaded")


def test_a_mistake_in_a_reloaded_configuration_is_told_and_survived(running: Lab) -> None:
    pid = running.show("MainPID")
    try:
        running.configure("levle = 3")
        running.run("systemctl", "reload", UNIT)

        wait_until(lambda: bool(running.events("config_refused")), within_s=30)
    finally:
        running.configure("")
    assert "unknown key levle in [log]" in running.events("config_refused")[-1]["PROBLEM"]
    assert running.show("MainPID") == pid


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of real faces."""
    folder = tmp_path_factory.mktemp("demo") / "images"
    try:
        demo.write_demo_images(folder, seed=4)
    except FaceOrganizerError as error:
        pytest.skip(str(error))
    return folder


def test_images_dropped_into_the_inbox_are_sorted_under_all_that_hardening(running: Lab, images: Path) -> None:
    count = len(list(images.rglob("*.*")))

    running.drop_images(images)

    wait_until(lambda: not running.left_in_inbox(), within_s=120)
    placed = running.run("find", LIBRARY, "-path", "*/person_*/*", "-name", "*.jpg").splitlines()
    assert len(placed) > 0.8 * count
    assert running.run("stat", "-c", "%U", LIBRARY) == "face-organizer"


def test_every_fact_is_a_field_of_the_journal_whatever_the_name_of_the_file(running: Lab) -> None:
    name = b"caf\xe9 \n= \xf0\x9f\x98\x80.jpg"

    running.feed(b"no image", "sh", "-c", f"cat >$(printf '{INBOX}/caf\\351 \\n= \\360\\237\\230\\200.jpg')")

    wait_until(lambda: bool(running.events("image_quarantined")), within_s=60)
    entry = running.events("image_quarantined")[-1]
    assert bytes(entry["IMAGE"]) == INBOX.encode() + b"/" + name
    assert entry["MESSAGE"].startswith("image_quarantined image=")
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) == ("6", "face-organizer")
    found = running.run("journalctl", "-u", UNIT, "EVENT=image_quarantined", f"FILE_ID={entry['FILE_ID']}", "-o", "cat")
    assert found.count("image_quarantined") == 1


def test_a_killed_daemon_comes_back(running: Lab) -> None:
    pid, restarts = running.show("MainPID"), int(running.show("NRestarts"))

    running.run("systemctl", "kill", "--signal", "KILL", UNIT)

    wait_until(lambda: int(running.show("NRestarts")) == restarts + 1, within_s=START_WITHIN_S)
    wait_until(lambda: running.show("ActiveState") == "active", within_s=START_WITHIN_S)
    assert running.show("MainPID") not in {"0", pid}


def test_a_second_daemon_on_the_same_library_gives_up_with_75(running: Lab) -> None:
    second = running.control(
        "exec", f"{HOME}/.venv/bin/face-organizer", "run", "--inbox", INBOX, "--library", LIBRARY, "--once"
    )

    assert second.returncode == 75, second.stderr


def test_a_mistake_in_the_configuration_is_not_tried_again(lab: Lab) -> None:
    try:
        lab.configure("levle = 3")
        start = lab.control("exec", "systemctl", "start", UNIT)
    finally:
        lab.configure("")

    assert start.returncode != 0
    assert (lab.show("ActiveState"), lab.show("ExecMainStatus"), lab.show("NRestarts")) == ("failed", "2", "0")


def test_stop_is_clean(running: Lab) -> None:
    before = len(running.events("stopped"))

    running.run("systemctl", "stop", UNIT)

    assert (running.show("Result"), running.show("ExecMainStatus")) == ("success", "0")
    wait_until(lambda: len(running.events("stopped")) == before + 1, within_s=5)
