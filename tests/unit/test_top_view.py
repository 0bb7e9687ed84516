"""What `status --watch` draws."""

from __future__ import annotations

import pytest
from rich.console import Console

from face_organizer.cli.watch import Rates, drawn


def shown(height: int = 30, width: int = 120, **other: object) -> str:
    status = {
        "library": "/lib",
        "inbox_state": {"state": "watched", "reason": None},
        "pid": 7,
        "up_s": 3700.0,
        "device": "openvino",
        "reclustering": False,
        "paused": None,
        "problems": [],
        "notices": [],
        "proposal": None,
        "decisions": 3,
        "in_flight": 5,
        "pending": 2,
        "queues": {"decode": 4, "sink": 0},
        "index": {"recall": 0.993},
        **dict.fromkeys(
            ("images", "faces", "persons", "outliers", "no_face", "quarantined", "duplicates", "trash"), 1234
        ),
        **other,
    }
    people = {"total": 2, "people": [{"name": "Alice\x1b[31m", "faces": 9}]}
    events = [{"number": n, "event": f"event_{n}", "fields": {"image": f"{n}.jpg"}} for n in range(60)]
    console = Console(width=width, height=height, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        console.print(drawn(status, people, events, Rates(), height))
        return console.export_text()


def test_rates_are_of_what_came_between_looks() -> None:
    rates = Rates()
    assert rates.per_second(1) is None

    for now, images, faces in ((10.0, 100, 200), (12.0, 120, 220), (14.0, 120, 280)):
        rates.note(now, images, faces)

    assert (rates.per_second(1), rates.per_second(1, looks=60)) == (0.0, 5.0)
    assert rates.per_second(2, looks=60) == 20.0
    assert rates.line() == "█ "


@pytest.mark.parametrize("height", [20, 30, 50])
def test_everything_fits_the_screen(height: int) -> None:
    lines = shown(height).splitlines()

    assert len(lines) <= max(height, 24)
    assert max(map(len, lines)) <= 120
    assert "event_59" in "\n".join(lines)


def test_a_name_commands_no_terminal() -> None:
    assert "Alice\\x1b[31m" in shown()


def test_what_is_wrong_is_on_the_screen() -> None:
    text = shown(paused={"folder": "/lib"}, problems=["the disk is odd"], proposal={"run_id": 4})

    assert "paused: no room in /lib" in text
    assert "the disk is odd" in text
    assert "cuda:0 is not used" in shown(notices=["cuda:0 is not used: no driver"])
    assert "run 4" in text
