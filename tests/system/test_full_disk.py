"""The real process on real disks of 2 MB that are full: it pauses, loses nothing, and goes on by itself."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from disks import Disks
from process import COMMAND, Daemon, as_json, drop, files_below, organizer
from support import wait_until

pytestmark = pytest.mark.timeout(400)

IMAGES = 100
WITHIN_S = 100.0


class Place:
    """An inbox on a large disk; library and state, each on a small one or not."""

    def __init__(self, folder: Path, small: set[str], free_min_bytes: int) -> None:
        self.inbox, self.library, self.state = folder / "inbox", folder / "library", folder / "state"
        self.inbox.mkdir()
        own_state = "state" in small
        self.small = [path for name, path in (("library", self.library), ("state", self.state)) if name in small]
        self.disks = Disks(*self.small)
        self._config = folder / "config.toml"
        state_dir = f'state_dir = "{self.state}"\n' if own_state else ""
        self._config.write_text(f"{state_dir}[watch]\ndisk_free_min_bytes = {free_min_bytes}\n")

    def drop(self, faces: list[Path], count: int = IMAGES) -> set[str]:
        """So many images, each with content of its own; returns their names."""
        names = []
        for number in range(count):
            face = faces[number % len(faces)]
            names.append(f"{number:03}_{face.name}")
            (self.inbox / names[-1]).write_bytes(face.read_bytes() + b"\0" * (number // len(faces)))
        return set(names)

    def fill(self, leaving_bytes: int) -> None:
        for folder in self.small:
            self.disks.fill(folder, leaving_bytes)

    def make_room(self) -> None:
        for folder in self.small:
            self.disks.resize(folder, "64M")

    @property
    def folders(self) -> tuple[str | Path, ...]:
        return ("--inbox", self.inbox, "--library", self.library, "--config", self._config)

    @property
    def command(self) -> list[str]:
        return [*self.disks.within, *COMMAND]

    def ask(self, *words: str | Path, expect: int | None = 0) -> Any:
        return as_json(*words, "--library", self.library, expect=expect, within=self.disks.within)

    def in_library(self) -> list[str]:
        return [path.name for path in files_below(self.disks.seen(self.library)) if not path.name.startswith(".")]

    def leftovers(self) -> list[str]:
        """Half-written files, anywhere."""
        return [str(path) for folder in self.small for path in self.disks.seen(folder).rglob("*.part")]

    def holds_everything_once(self, names: set[str]) -> bool:
        return sorted(self.in_library()) == sorted(names) and files_below(self.inbox) == []


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    made = Place(tmp_path, *request.param)
    yield made
    made.disks.end()


@pytest.fixture
def told_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """Everything that was sent to systemd until now."""
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.setblocking(False)

        def told() -> list[str]:
            while True:
                try:
                    heard.append(listener.recv(4096).decode())
                except BlockingIOError:
                    return heard

        yield told


def about_intake(daemon: Daemon) -> list[str]:
    return [line["event"] for line in list(daemon.lines) if line["event"].startswith("intake_")]


@pytest.mark.parametrize(
    ("place", "leaving_bytes"),
    [
        pytest.param(({"library"}, 0), 400_000, id="library", marks=pytest.mark.long),
        pytest.param(({"state"}, 0), 300_000, id="state", marks=pytest.mark.long),
        pytest.param(({"library", "state"}, 0), 300_000, id="both"),
    ],
    indirect=["place"],
)
def test_a_disk_that_runs_full_pauses_intake_and_with_room_everything_is_done_by_itself(
    place: Place,
    leaving_bytes: int,
    faces: list[Path],
    start: Callable[..., Daemon],
    told_systemd: Callable[[], list[str]],
) -> None:
    names = place.drop(faces)
    place.fill(leaving_bytes)
    daemon = start(*place.folders, command=place.command)

    (paused,) = daemon.wait_for("intake_paused", within_s=WITHIN_S)
    assert {"what", "folder", "free_bytes", "needed_bytes", "problem"} <= paused.keys()
    wait_until(lambda: any("STATUS=paused, no room in" in line for line in told_systemd()), within_s=30)
    status = place.ask("status")
    assert status["running"] is True
    assert status["paused"]["folder"].startswith(tuple(map(str, place.small)))
    assert status["images"] < IMAGES
    assert set(place.in_library()) | {path.name for path in files_below(place.inbox)} == names

    place.make_room()

    daemon.wait_for("intake_resumed", within_s=WITHIN_S)
    wait_until(lambda: place.holds_everything_once(names), WITHIN_S, lambda: daemon.lines[-3:])
    wait_until(lambda: place.ask("status")["pending"] == 0, within_s=30)
    status = place.ask("status")
    assert (status["images"], status["duplicates"], status["paused"]) == (IMAGES, 0, None)
    assert place.ask("check")["findings"] == []
    assert daemon.end() == 0
    assert about_intake(daemon) == ["intake_paused", "intake_resumed"]
    assert daemon.events("placement_failed") == []
    assert place.leftovers() == []


@pytest.mark.parametrize("place", [({"library", "state"}, 600_000)], indirect=True)
def test_the_mark_stops_intake_before_any_write_is_refused(
    place: Place, faces: list[Path], start: Callable[..., Daemon]
) -> None:
    names = place.drop(faces)
    place.fill(1_000_000)
    daemon = start(*place.folders, command=place.command)

    (paused,) = daemon.wait_for("intake_paused", within_s=WITHIN_S)
    assert paused["what"] == "library"
    wait_until(lambda: place.ask("status")["in_flight"] == 0, within_s=WITHIN_S)
    assert "disk_free_min_bytes" in place.ask("status")["paused"]["problem"]
    wait_until(lambda: place.ask("status")["pending"] == 0, within_s=30)
    free = place.disks.free_bytes(place.library)
    assert 500_000 < free < 1_000_000  # a file takes whole pages, and folders take some

    place.make_room()

    wait_until(lambda: place.holds_everything_once(names), WITHIN_S, lambda: daemon.lines[-3:])
    assert daemon.end() == 0
    assert about_intake(daemon) == ["intake_paused", "intake_resumed"]


@pytest.mark.parametrize("place", [({"library"}, 1 << 30)], indirect=True)
def test_once_without_room_says_what_is_left_and_fails_and_does_it_when_there_is_room(
    place: Place, faces: list[Path]
) -> None:
    names = place.drop(faces, 5)

    refused = organizer("run", "--once", *place.folders, expect=1, within=place.disks.within)

    assert '"left_in_inbox": 5' in refused.stderr
    assert refused.stderr.count("intake_paused") == 1
    assert {path.name for path in files_below(place.inbox)} == names
    place.disks.resize(place.library, "2G")
    organizer("run", "--once", *place.folders, within=place.disks.within)
    assert place.holds_everything_once(names)


@pytest.mark.parametrize("place", [({"library"}, 0)], indirect=True)
def test_a_full_disk_at_the_start_a_decision_and_a_kill(
    place: Place, faces: list[Path], start: Callable[..., Daemon]
) -> None:
    place.fill(0)
    refused = organizer("run", *place.folders, expect=1, within=place.disks.within)
    assert "no room" in refused.stderr
    assert "Traceback" not in refused.stderr
    place.disks.resize(place.library, "4M")
    names = place.drop(faces, 8)
    organizer("run", "--once", *place.folders, within=place.disks.within)
    person = place.ask("people")[0]["folder"]
    more = place.disks.fill(place.library, 0, name=".more")

    daemon = start(*place.folders, command=place.command)
    daemon.wait_for("ready")
    names |= place.drop(faces, 20)
    daemon.wait_for("intake_paused", within_s=WITHIN_S)
    told = organizer("name", person, "Alice", "--library", place.library, expect=1, within=place.disks.within)
    assert "no room" in told.stderr
    is_kept = "is kept" in told.stderr  # there was room to write it down, but not to do it
    daemon.end(signal.SIGKILL)
    again = start(*place.folders, command=place.command)
    again.wait_for("intake_paused", within_s=WITHIN_S)
    more.unlink()

    again.wait_for("intake_resumed", within_s=WITHIN_S)
    wait_until(lambda: files_below(place.inbox) == [], WITHIN_S, lambda: again.lines[-3:])
    if not is_kept:
        organizer("name", person, "Alice", "--library", place.library, within=place.disks.within)
    alice = place.disks.seen(place.library) / "Alice"
    wait_until(lambda: alice.is_dir() and place.ask("status")["pending"] == 0, WITHIN_S)
    assert again.end() == 0
    assert not (alice.parent / person).exists()
    assert sorted(place.in_library()) == sorted(names)
    assert place.ask("check")["findings"] == []
    assert place.ask("status")["images"] == 20


@pytest.mark.long
def test_a_log_on_a_full_disk_loses_lines_and_nothing_else(faces: list[Path], tmp_path: Path) -> None:
    inbox, library, logs = tmp_path / "inbox", tmp_path / "library", tmp_path / "logs"
    drop(faces[:5], inbox)
    disks = Disks(logs)
    disks.fill(logs, leaving_bytes=0)
    into_the_log = ["sh", "-c", f'exec "$@" 2>{logs}/log', "sh"]

    organizer("run", "--once", "--inbox", inbox, "--library", library, within=[*disks.within, *into_the_log])

    assert (disks.seen(logs) / "log").stat().st_size == 0
    disks.end()
    assert [path.name for path in files_below(library)] == [path.name for path in faces[:5]]
    assert files_below(inbox) == []


def test_the_mark_can_be_moved_while_it_runs(faces: list[Path], tmp_path: Path, start: Callable[..., Daemon]) -> None:
    inbox, library, config = tmp_path / "inbox", tmp_path / "library", tmp_path / "config.toml"
    drop(faces[:3], inbox)
    config.write_text(f"[watch]\ndisk_free_min_bytes = {1 << 60}\n")
    daemon = start("--inbox", inbox, "--library", library, "--config", config)
    (paused,) = daemon.wait_for("intake_paused")
    assert (paused["what"], paused["folder"]) == ("library", str(library))
    assert paused["needed_bytes"] > 1 << 60
    assert daemon.events("image_enrolled") == []

    config.write_text("[watch]\ndisk_free_min_bytes = 1\n")
    daemon.process.send_signal(signal.SIGHUP)

    daemon.wait_for("image_placed", count=3)
    assert daemon.end() == 0
    assert about_intake(daemon) == ["intake_paused", "intake_resumed"]
