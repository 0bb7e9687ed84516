"""Every thread of the daemon is watched, and one that hangs is named; test_service.py shows what systemd does then."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from process import Daemon, as_json, drop, organizer
from support import wait_until
from watchdog.utils import BaseThread

from face_organizer.adapters.log import open_log
from face_organizer.app import libraries, serve
from face_organizer.app.opening import open_organizer
from face_organizer.config_file import load

HANG = Path(__file__).parents[1] / "hang.py"


def test_every_thread_of_the_daemon_has_a_pulse(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    config = load(None, inbox=str(tmp_path / "inbox"), library=str(tmp_path / "library"))
    daemon = open_organizer(config, open_log("json", "error"))
    try:
        daemon.start(watching=True)

        wait_until(lambda: threads_since(before) == set(daemon.status.answer()["threads"]), within_s=20)
        watched = daemon.status.answer()["threads"]
        assert {"decode-0", "see-openvino-0", "sink", "place", "ingest", "recluster", "control"} <= set(watched)
        assert daemon.pulses.hung(after_s=60.0) == []
    finally:
        daemon.stop()
    assert set(daemon.pulses.states()) <= {"control"}


def threads_since(before: set[threading.Thread]) -> set[str]:
    """Without watchdog's, which ingest supervises, and helpers for whom a thread with a pulse waits."""
    ours = [each for each in threading.enumerate() if each not in before and not isinstance(each, BaseThread)]
    return {each.name for each in ours if not each.name.startswith("ThreadPoolExecutor")}


def test_a_thread_that_hangs_is_logged_once_with_its_stack_and_shown_by_status(
    faces: list[Path], tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    inbox, library, trigger = tmp_path / "inbox", tmp_path / "library", tmp_path / "hang"
    (tmp_path / "config.toml").write_text("[flow]\nhung_after_s = 3\n")
    command = [sys.executable, str(HANG), "face_organizer.pipeline.read:Decode.__call__", str(trigger)]
    daemon = start("--config", tmp_path / "config.toml", "--inbox", inbox, "--library", library, command=command)
    daemon.wait_for("ready")

    trigger.write_text("6")
    drop(faces[:2], inbox)

    (told,) = daemon.wait_for("thread_hung")
    assert told["thread"] == "decode-0"
    assert "hanging" in told["stack"]
    assert as_json("status", "--library", library)["threads"]["decode-0"]["state"] == "working"
    daemon.wait_for("thread_gets_on")
    daemon.wait_for("image_placed", count=2)
    assert len(daemon.events("thread_hung")) == 1
    assert daemon.end() == 0


@pytest.mark.long
def test_without_systemd_a_run_that_hangs_says_so_too(faces: list[Path], tmp_path: Path) -> None:
    inbox, library, trigger = tmp_path / "inbox", tmp_path / "library", tmp_path / "hang"
    (tmp_path / "config.toml").write_text("[flow]\nhung_after_s = 1\n")
    drop(faces[:2], inbox)
    trigger.write_text("4")

    done = organizer(
        *("run", "--once", "--config", tmp_path / "config.toml", "--inbox", inbox, "--library", library),
        command=[sys.executable, str(HANG), "face_organizer.pipeline.place:Placer.place_all", str(trigger)],
    )

    assert '"thread": "place"' in done.stderr


def test_what_kills_the_daemon_is_one_line_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fall(*arguments: object) -> None:
        raise RuntimeError("line one\nline two")

    monkeypatch.setattr(libraries, "open_organizer", fall)

    with pytest.raises(RuntimeError):
        serve.run_daemon({"": load(None)}, open_log("json", "info"), lambda: {"": load(None)})

    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "crashed"
    assert "line one\nline two" in json.loads(line)["exception"]
