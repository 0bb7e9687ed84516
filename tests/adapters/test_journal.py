"""What goes into the journal's socket; tests/system/test_service.py asks a real journal what came out."""

from __future__ import annotations

import json
import os
import socket
import struct
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from face_organizer.adapters import log as logs
from face_organizer.adapters.journal import Journal, encoded, is_journal
from face_organizer.adapters.log import open_log

Fields = dict[str, list[bytes]]


def parsed(entry: bytes) -> Fields:
    """What a reader of the native protocol makes of an entry."""
    fields: Fields = defaultdict(list)
    while entry:
        line, _, rest = entry.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if equals:
            entry = rest
        else:
            (size,) = struct.unpack("<Q", rest[:8])
            value, entry = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()].append(value)
    return dict(fields)


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a path short enough for a socket."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def listening(folder: Path) -> socket.socket:
    journald = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journald.bind(str(folder / "socket"))
    journald.settimeout(10)
    return journald


def received(journald: socket.socket) -> Fields:
    data, passed, _, _ = socket.recv_fds(journald, 1_000_000, 1)
    if passed:
        with open(passed[0], "rb") as file:  # noqa: PTH123 - a descriptor
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            data = file.read()
    return parsed(data)


def everything(journald: socket.socket) -> list[Fields]:
    """What has come so far."""
    journald.setblocking(False)
    entries = []
    with suppress(BlockingIOError):
        while True:
            entries.append(received(journald))
    return entries


def test_every_fact_is_a_field_and_the_message_is_a_line_for_people() -> None:
    entry = parsed(encoded("warning", "image_placed", {"image": "a b.jpg", "places": ["x/a", "y/a"], "faces": 2}))

    assert entry == {
        "MESSAGE": [b'image_placed image=a b.jpg places=["x/a", "y/a"] faces=2'],
        "PRIORITY": [b"4"],
        "SYSLOG_IDENTIFIER": [b"face-organizer"],
        "EVENT": [b"image_placed"],
        "IMAGE": [b"a b.jpg"],
        "PLACES": [b"x/a", b"y/a"],
        "FACES": [b"2"],
    }


def test_values_of_any_bytes_come_out_as_they_went_in() -> None:
    name = b"caf\xe9\nEVENT=forged\n\xf0\x9f\x98\x80.jpg"

    entry = parsed(encoded("info", "image_enrolled", {"image": os.fsdecode(name), "clean": True, "nobody": None}))

    assert entry["IMAGE"] == [name]
    assert entry["EVENT"] == [b"image_enrolled"]
    assert entry["CLEAN"] == [b"true"]
    assert "NOBODY" not in entry
    told = r"image_enrolled image=caf\udce9\nEVENT=forged\n😀.jpg clean=true nobody=null"
    assert entry["MESSAGE"] == [told.encode()]


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("message", "F_MESSAGE"),
        ("priority", "F_PRIORITY"),
        ("_pid", "F__PID"),
        ("2nd", "F_2ND"),
        ("commit-ms", "COMMIT_MS"),
        ("exception", "EXCEPTION_TEXT"),
        ("x" * 80, "X" * 64),
    ],
)
def test_no_field_is_one_that_the_journal_refuses_or_reads_otherwise(name: str, field: str) -> None:
    assert field in parsed(encoded("info", "event", {name: "value"}))


@pytest.mark.parametrize("size", [10, 60_000, 1_000_000])
def test_an_entry_of_any_size_stays_one(size: int, folder: Path) -> None:
    with listening(folder) as journald:
        Journal(str(folder / "socket")).write("error", "crashed", {"exception": "line\n" * (size // 5)})

        entry = received(journald)

    assert entry["EXCEPTION_TEXT"] == [b"line\n" * (size // 5)]
    assert entry["EVENT"] == [b"crashed"]


def test_what_the_journal_does_not_take_is_kept_until_it_does(folder: Path) -> None:
    journal = Journal(str(folder / "socket"))

    for number in range(3):
        journal.write("info", "before", {"number": number})

    with listening(folder) as journald:
        journal.flush()
        entries = everything(journald)
        journal.flush()
        assert everything(journald) == []
    assert [entry["NUMBER"] for entry in entries] == [[b"0"], [b"1"], [b"2"]]


def test_a_journal_that_takes_nothing_costs_neither_time_nor_memory_and_what_is_lost_is_counted(folder: Path) -> None:
    with listening(folder) as journald:
        journal = Journal(str(folder / "socket"), backlog_max_bytes=5_000)
        for number in range(2_000):  # far more than the socket holds: a wait here would be for ever
            journal.write("info", "flood", {"number": number, "text": "x" * 400})

        taken: list[Fields] = []
        for _ in range(50):
            taken += everything(journald)
            if taken[-1]["EVENT"] == [b"log_lost"]:
                break
            journal.write("info", "next", {})

    numbers = [int(entry["NUMBER"][0]) for entry in taken if entry["EVENT"] == [b"flood"]]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 1_999
    assert len(numbers) + int(taken[-1]["ENTRIES"][0]) == 2_000


def test_only_the_stream_that_systemd_made_is_the_journal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert is_journal(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
        assert not is_journal(stream.fileno())
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not is_journal(stream.fileno())


def test_the_log_writes_fields_where_stderr_is_the_journal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "is_journal", lambda descriptor: True)
    monkeypatch.setattr(logs, "_journal", lambda: to_journal)
    with listening(folder) as journald:
        monkeypatch.setattr(logs, "Journal", lambda: Journal(str(folder / "socket")))
        to_journal = logs._ToJournal()
        log = open_log("auto", "info")
        try:
            raise RuntimeError("no room")
        except RuntimeError:
            log.error("crashed", image=os.fsdecode(b"\xff.jpg"), exc_info=True)  # type: ignore[call-arg]

        entry = received(journald)

    assert (entry["PRIORITY"], entry["EVENT"], entry["IMAGE"]) == ([b"3"], [b"crashed"], [b"\xff.jpg"])
    assert b"RuntimeError: no room" in entry["EXCEPTION_TEXT"][0]
    assert b"no room" not in entry["MESSAGE"][0]


def test_json_is_json_also_in_the_journal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(logs, "is_journal", lambda descriptor: True)

    open_log("json", "info").info("shown")

    assert json.loads(capsys.readouterr().err)["event"] == "shown"
