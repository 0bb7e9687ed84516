"""One daemon, several libraries: they come, change and go by SIGHUP while the others stream on, and one that is lost
takes nobody with it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
import tiny
from disks import Disks
from numbered import OTHER, D, paint
from process import COMMAND, NUMBERED, Daemon, as_json, environment, files_below, organizer
from support import wait_until

from face_organizer.app.opening import open_existing, open_organizer
from face_organizer.config import Config
from face_organizer.config_file import load

Start = Callable[..., Daemon]


class Place:
    """A settings file with a table for each library, and what lies in their folders."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.settings = folder, folder / "settings.toml"

    def has(self, *names: str, **more: str) -> None:
        """Write the file: these libraries. more: further lines of the table of that name."""
        tables = [
            f'[[library]]\nname = "{name}"\ninbox = "{self.inbox(name)}"\nlibrary = "{self.library(name)}"\n'
            + more.get(name, "")
            for name in names
        ]
        written = self.settings.with_suffix(".new")
        written.write_text("\n".join([*tables, more.get("shared", "")]))
        written.replace(self.settings)

    def inbox(self, name: str) -> Path:
        return self.folder / name / "in"

    def library(self, name: str) -> Path:
        return self.folder / name / "out"

    def paint(self, name: str, number: int, person: int = 1) -> Path:
        return paint(self.inbox(name) / f"{number}.png", [person], number)

    def status(self, name: str) -> Any:
        return as_json("status", "--library", self.library(name))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def serving(place: Place, start: Start, *names: str, **more: str) -> Daemon:
    """One daemon for these libraries, ready; see Place.has."""
    place.has(*names, **more)
    daemon = start("--config", place.settings, command=NUMBERED)
    daemon.wait_for("ready")
    return daemon


def placed(daemon: Daemon, name: str) -> int:
    return sum(line["library"] == name for line in daemon.events("image_placed"))


def wait_placed(daemon: Daemon, **images: int) -> None:
    """Until just so many images of each of these libraries were placed."""
    wait_until(lambda: all(placed(daemon, name) == count for name, count in images.items()), within_s=60)


def test_a_library_comes_and_another_goes_by_sighup_while_the_third_streams_on(place: Place, start: Start) -> None:
    place.has("stays", "goes")
    daemon = start("--config", place.settings, command=NUMBERED)
    (ready,) = daemon.wait_for("ready")
    assert ready["libraries"] == ["stays", "goes"]
    assert {line["library"] for line in daemon.events("library_opened")} == {"stays", "goes"}
    for number in range(4):
        place.paint("stays", number)
        place.paint("goes", number)
    wait_placed(daemon, stays=4, goes=4)
    up_s, pid = place.status("stays")["up_s"], daemon.process.pid
    assert place.status("goes")["pid"] == pid

    place.has("stays", "comes")
    place.paint("comes", 1)
    daemon.process.send_signal(signal.SIGHUP)
    for number in range(4, 12):
        place.paint("stays", number)

    daemon.wait_for("config_reloaded")
    wait_placed(daemon, stays=12, comes=1)
    (gone,) = daemon.events("library_closed")
    assert (gone["library"], gone["level"]) == ("goes", "info")
    assert place.status("stays")["up_s"] > up_s  # never closed
    assert place.status("comes")["pid"] == pid
    assert place.status("goes")["running"] is False
    assert organizer("run", "--once", "--config", place.settings, expect=75).stderr.count(str(pid))
    assert daemon.end() == 0
    assert len(files_below(place.library("stays"))) == 12


def test_who_is_looked_for_changes_by_sighup_and_only_that_library_is_opened_anew(place: Place, start: Start) -> None:
    daemon = serving(place, start, "one", "other")
    for number in range(9):
        place.paint("one", number, person=number % 3)
        place.paint("other", number)
    wait_placed(daemon, one=9, other=9)

    place.has("one", "other", one="people = 2\n", shared="[watch]\nsettle_s = 0.2\n[flow]\nlinger_s = 0.01\n")
    daemon.process.send_signal(signal.SIGHUP)

    (reloaded,) = daemon.wait_for("config_reloaded")
    assert (reloaded["applied"], reloaded["needs_restart"]) == (["people", "watch"], ["flow"])
    assert [line["library"] for line in daemon.events("library_opened")] == ["one", "other", "one"]
    wait_until(lambda: len(daemon.events("recluster_finished")) >= 2, within_s=60)
    assert (place.status("one")["people"], place.status("one")["persons"]) == (2, 2)
    assert place.status("other")["people"] == "auto"
    assert daemon.end() == 0


def test_a_library_that_is_lost_is_closed_loudly_the_other_goes_on_and_a_reload_opens_it_again(
    place: Place, start: Start
) -> None:
    daemon = serving(place, start, "lost", "kept")

    place.library("lost").rename(place.folder / "taken")

    (closed,) = daemon.wait_for("library_closed", within_s=60)
    assert (closed["library"], closed["level"]) == ("lost", "error")
    assert "was taken away" in closed["problem"]
    place.paint("kept", 1)
    wait_placed(daemon, kept=1)
    (problem,) = place.status("kept")["problems"]
    assert str(place.library("lost")) in problem and "is closed" in problem

    (place.folder / "taken").rename(place.library("lost"))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("config_reloaded")
    place.paint("lost", 1)
    wait_placed(daemon, lost=1)
    assert place.status("kept")["problems"] == []
    assert daemon.end() == 0


def test_a_pack_that_a_running_daemon_uses_is_not_removed(place: Place, start: Start) -> None:
    own, models_dir = place.folder / "own", place.folder / "models"
    own.mkdir()
    tiny.scrfd(own / "det.onnx")
    tiny.recogniser(own / "r.onnx", dimension=D)
    daemon = serving(place, start, "one", shared=f'[faces]\npack = "{own}"\nmodels_dir = "{models_dir}"\n')

    refused = organizer("models", "remove", own, "--models-dir", models_dir, expect=1)
    assert f"the library {place.library('one')} goes by the model pack {own}" in refused.stderr
    assert daemon.end() == 0
    shutil.rmtree(place.library("one"))
    told = as_json("models", "remove", own, "--models-dir", models_dir)
    assert told["removed"] == []  # nothing was made: what is seen is painted


HANGING = (
    "import sys; from pathlib import Path; sys.path.insert(0, sys.argv.pop(1)); import hang, numbered;"
    "hang.hang_once('face_organizer.pipeline.think:clusters_of_everything', Path(sys.argv.pop(1)));"
    "numbered.main(sys.argv[1:])"
)


def test_a_library_that_goes_while_it_reclusters_and_one_whose_inbox_is_lost_hold_up_no_other(
    place: Place, start: Start
) -> None:
    trigger = place.folder / "hang"
    place.has("goes", "lost", "stays")
    command = [sys.executable, "-c", HANGING, str(Path(__file__).parents[1]), str(trigger)]
    daemon = start("--config", place.settings, command=command)
    daemon.wait_for("ready")
    for number in range(4):
        place.paint("goes", number)
    wait_placed(daemon, goes=4)
    place.inbox("lost").rename(place.folder / "elsewhere")
    trigger.write_text("4")
    asking = subprocess.Popen(
        [*COMMAND, "recluster", "--library", place.library("goes")], env=environment(), stderr=subprocess.PIPE
    )
    wait_until(lambda: not trigger.exists(), within_s=30)  # it is at it

    place.has("lost", "stays")
    daemon.process.send_signal(signal.SIGHUP)
    for number in range(8):
        place.paint("stays", number)
    wait_placed(daemon, stays=8)
    assert not daemon.events("library_closed")  # it still thinks
    (lost,) = daemon.wait_for("inbox_lost")
    assert lost["library"] == "lost"

    (closed,) = daemon.wait_for("library_closed")
    assert (closed["library"], closed["level"]) == ("goes", "info")
    _, said = asking.communicate(timeout=60)
    assert (asking.returncode, b"Traceback" in said) in ((0, False), (1, False))
    daemon.wait_for("config_reloaded")
    (place.folder / "elsewhere").rename(place.inbox("lost"))
    place.paint("lost", 1)
    wait_placed(daemon, lost=1)
    assert daemon.end() == 0
    assert as_json("check", "--library", place.library("goes"))["findings"] == []


def test_one_library_moves_to_another_model_and_the_other_stays_with_its_own(place: Place, start: Start) -> None:
    daemon = serving(place, start, "moves", "stays")
    for number in range(6):
        place.paint("moves", number, person=number % 2)
        place.paint("stays", number)
    wait_placed(daemon, moves=6, stays=6)
    up_s = place.status("stays")["up_s"]

    told = as_json("reembed", "--pack", OTHER, "--library", place.library("moves"), command=NUMBERED)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("config_reloaded")

    assert told["in_use"] == OTHER
    for number in range(6, 9):
        place.paint("moves", number, person=number % 2)
        place.paint("stays", number)
    wait_placed(daemon, moves=9, stays=9)
    assert (place.status("moves")["pack"], place.status("stays")["pack"]) == (OTHER, "opencv-zoo")
    assert place.status("moves")["persons"] == 2
    assert place.status("stays")["up_s"] > up_s
    assert daemon.end() == 0


@pytest.mark.long
def test_with_the_last_library_the_process_ends(place: Place, start: Start) -> None:
    daemon = serving(place, start, "one", "two")

    for name in ("one", "two"):
        place.library(name).rename(place.folder / f"taken_{name}")

    wait_until(lambda: daemon.process.poll() is not None, within_s=60)
    assert daemon.end() == 1


@pytest.mark.long
def test_one_that_cannot_be_opened_keeps_no_other_from_starting(place: Place, start: Start) -> None:
    place.has("held", "free")
    holder = start("--inbox", place.folder / "in", "--library", place.library("held"), command=NUMBERED)
    holder.wait_for("ready")

    daemon = start("--config", place.settings, command=NUMBERED)

    (ready,) = daemon.wait_for("ready")
    assert ready["libraries"] == ["free"]
    (closed,) = daemon.events("library_closed")
    assert str(holder.process.pid) in closed["problem"]
    assert holder.end() == daemon.end() == 0


@pytest.mark.long
def test_a_change_that_cannot_be_made_leaves_the_library_as_it_was(place: Place, start: Start) -> None:
    daemon = serving(place, start, "one")
    (place.folder / "file").write_bytes(b"")

    settings = place.settings.read_text()
    place.settings.write_text(settings.replace(str(place.inbox("one")), str(place.folder / "file" / "in")))
    daemon.process.send_signal(signal.SIGHUP)
    (refused,) = daemon.wait_for("config_refused")
    assert "stay in force" in refused["problem"]
    place.settings.write_text(settings.replace(str(place.inbox("one")), str(place.library("one") / "in")))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("config_refused", count=2)

    place.paint("one", 1)
    wait_placed(daemon, one=1)
    assert daemon.end() == 0


def test_once_sorts_every_library_and_counts_each(place: Place) -> None:
    place.has("one", "two", two='people = 1\nplacement = "copy"\n')
    for number in range(6):
        place.paint("one", number, person=number % 2)
        place.paint("two", number)

    done = organizer("run", "--once", "--config", place.settings, "--json", command=NUMBERED)

    one, two = json.loads(done.stdout)
    assert (one["library"], one["images"], one["persons"]) == ("one", 6, 2)
    assert (two["library"], two["images"], two["persons"]) == ("two", 6, 1)
    assert files_below(place.inbox("one")) == []
    assert len(files_below(place.inbox("two"))) == 6
    stopped = [json.loads(line) for line in done.stderr.splitlines() if '"stopped"' in line]
    assert [line["library"] for line in stopped] == ["one", "two"]


def test_twenty_images_do_not_wait_for_a_full_inbox_beside_theirs(place: Place, start: Start) -> None:
    place.has("full", "small", shared="[watch]\nsettle_s = 0.05\n")
    for number in range(1000):
        place.paint("full", number, person=number % 40)
    for number in range(20):
        paint(place.folder / "twenty" / f"{number}.png", [1], number)
    daemon = start("--config", place.settings, command=NUMBERED)
    daemon.wait_for("ready")
    wait_until(lambda: placed(daemon, "full") >= 50, within_s=60)

    (place.folder / "twenty").rename(place.inbox("small") / "twenty")
    wait_placed(daemon, small=20)

    assert placed(daemon, "full") < 900
    assert daemon.end() == 0


@pytest.mark.long
def test_a_full_disk_pauses_its_own_library_only(place: Place, start: Start) -> None:
    disks = Disks(place.library("full"))
    try:
        disks.fill(place.library("full"), 1_500_000)
        place.has("full", "other", shared="[watch]\ndisk_free_min_bytes = 1_000_000\n")
        daemon = start("--config", place.settings, command=[*disks.within, *NUMBERED])
        daemon.wait_for("ready")
        disks.fill(place.library("full"), 500_000, name=".more")

        for number in range(6):
            place.paint("full", number)
            place.paint("other", number)
        (paused,) = daemon.wait_for("intake_paused")
        wait_placed(daemon, other=6)

        assert paused["library"] == "full"
        assert placed(daemon, "full") == 0
        disks.seen(place.library("full") / ".more").unlink()
        wait_placed(daemon, full=6)
        assert daemon.end() == 0
    finally:
        disks.end()


@pytest.mark.long
def test_after_kill_9_every_library_of_the_process_is_whole(place: Place, start: Start) -> None:
    place.has("one", "two")
    for number in range(300):
        place.paint("one", number, person=number % 9)
        place.paint("two", number, person=number % 5)

    for placed_before in (20, 120):
        daemon = start("--config", place.settings, command=NUMBERED)
        daemon.wait_for("image_placed", count=placed_before)
        daemon.end(signal.SIGKILL)
    organizer("run", "--once", "--config", place.settings, command=NUMBERED)

    for name in ("one", "two"):
        assert sorted(path.name for path in files_below(place.library(name))) == sorted(f"{n}.png" for n in range(300))
        assert as_json("check", "--library", place.library(name))["findings"] == []


def test_the_one_library_of_the_command_line_takes_another_number_of_people_by_sighup(
    tmp_path: Path, inbox: Path, library: Path, start: Start
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("")
    daemon = start("--config", settings, "--inbox", inbox, "--library", library, command=NUMBERED)
    daemon.wait_for("ready")

    settings.write_text('people = 3\nplacement = "copy"\n')
    daemon.process.send_signal(signal.SIGHUP)

    (reloaded,) = daemon.wait_for("config_reloaded")
    assert (reloaded["applied"], reloaded["needs_restart"]) == (["people", "placement"], [])
    assert as_json("status", "--library", library)["people"] == 3
    settings.write_text("[watch]\nsettle_s = 0.3\n")  # left out: it stays
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.wait_for("config_reloaded", count=2)[1]["applied"] == ["watch"]
    assert daemon.end() == 0


def test_a_library_remembers_how_many_people_it_is_for_until_somebody_says_otherwise(tmp_path: Path) -> None:
    def opened(people: int | str | None) -> tuple[object, list[object]]:
        config = load(None, inbox=str(tmp_path / "in"), library=str(tmp_path / "out"), people=people)
        with structlog.testing.capture_logs() as told:
            found = open_organizer(config, structlog.get_logger())
            found.stop()
        return found.config.people, [(each["before"], each["people"]) for each in told if "people" in each]

    assert opened(2) == (2, [])
    assert opened(None) == (2, [])
    existing = open_existing(tmp_path / "out", structlog.get_logger())
    existing.stop()
    assert existing.config.people == 2
    assert opened("auto") == ("auto", [(2, "auto")])
    assert opened(None) == ("auto", [])


def test_a_library_remembers_how_it_places_images_until_somebody_says_otherwise(tmp_path: Path) -> None:
    def settings(placement: str | None, library: str = "out") -> Config:
        return load(None, inbox=str(tmp_path / "in"), library=str(tmp_path / library), placement=placement)

    def opened(placement: str | None) -> tuple[str | None, list[object]]:
        with structlog.testing.capture_logs() as told:
            found = open_organizer(settings(placement), structlog.get_logger())
            open_organizer(settings("copy", "beside it"), structlog.get_logger()).stop()  # nobody empties the inbox
            found.stop()
        changed = [(each["before"], each["placement"]) for each in told if each["event"] == "placement_changed"]
        return found.config.placement, changed

    assert opened("symlink") == ("symlink", [])
    assert opened(None) == ("symlink", [])
    assert opened("copy") == ("copy", [("symlink", "copy")])
    assert opened(None) == ("copy", [])
    with structlog.testing.capture_logs() as told:
        open_organizer(settings("move"), structlog.get_logger()).stop()
        found = open_organizer(settings(None), structlog.get_logger())
        found.stop()
    assert [each["placement"] for each in told if each["event"] == "placement_changed"] == ["move"]
    assert found.config.placement == "move"


def test_an_inbox_that_had_to_be_made_is_mentioned_once(tmp_path: Path) -> None:
    config = load(None, inbox=str(tmp_path / "tpyo"), library=str(tmp_path / "out"))

    for made in ([config.inbox], []):
        with structlog.testing.capture_logs() as told:
            open_organizer(config, structlog.get_logger()).stop()
        assert [each["inbox"] for each in told if each["event"] == "inbox_made"] == made
