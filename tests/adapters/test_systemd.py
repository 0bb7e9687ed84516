from __future__ import annotations

import io
import json
import os
import socket
from pathlib import Path

import pytest

from face_organizer.adapters.log import open_log
from face_organizer.adapters.systemd import notify, watchdog_period_s


def test_a_notification_is_one_datagram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        notify("READY=1", "STATUS=watching")

        assert systemd.recv(1000) == b"READY=1\nSTATUS=watching"


def test_without_systemd_telling_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    notify("READY=1")


def test_the_watchdog_period_is_ours_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_period_s() == 60.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_period_s() is None
    monkeypatch.delenv("WATCHDOG_USEC")
    assert watchdog_period_s() is None


def test_a_log_line_is_valid_json_whatever_the_name_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log("json", "info")

    log.info("image_enrolled", image=os.fsdecode(b"caf\xe9\n\xf0\x9f\x98\x80.jpg"), places=[os.fsdecode(b"\xff")])

    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert entry["event"] == "image_enrolled"
    assert entry["level"] == "info"
    assert entry["image"] == "caf\\udce9\n😀.jpg"
    assert entry["places"] == ["\\udcff"]


def test_the_level_decides_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log("json", "warning")

    log.info("hidden")
    log.warning("shown")

    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["shown"]


def test_a_log_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb", buffering=0) as full:
        monkeypatch.setattr("sys.stderr", io.TextIOWrapper(full, write_through=True))
        open_log("json", "info").info("lost")

    open_log("json", "info").info("lost too, for it is closed")
