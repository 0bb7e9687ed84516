"""What commands tell people in words."""

from __future__ import annotations

import pytest

from face_organizer.cli.words import date_in_words, pairs_in_words, rows_in_words, status_in_words, time_in_words

NOVEMBER_S = 1_795_952_502.6


def test_a_status_tells_lists_in_lines_and_nothing_of_what_there_is_nothing_of() -> None:
    told = status_in_words(
        {
            "running": True,
            "paused": None,
            "threads": {},
            "problems": ["no room in out", "in is away"],
            "trash": 0,
            "devices": [{"device": "cpu:0", "state": "working", "working": 1, "images": 3, "problem": None}],
            "in_flight": 2,
            "folders": {"state": "watched", "reason": None, "unclear": []},
        }
    )

    assert told.splitlines() == [
        "running    yes",
        "problems   no room in out",
        "           in is away",
        "trash      0",
        "devices    device cpu:0, state working, images 3",
        "in flight  2",
        "folders    state watched",
    ]


def test_units_go_from_the_names_to_the_values_and_dates_are_dates() -> None:
    told = pairs_in_words(
        {
            "store_bytes": 139_264,
            "up_s": 4000.2,
            "last_run": {"run_id": 3, "seconds": 0.5532, "at_s": NOVEMBER_S},
            "paused": {"free_bytes": 3_500_000_000, "needed_bytes": 0},
            "devices": [{"images_per_s": 2.5}],
            "running": False,
        }
    )

    assert told.splitlines() == [
        "store     139.3 kB",
        "up        1 h 6 min",
        f"last run  run id 3, took 0.553 s, at {date_in_words(NOVEMBER_S)}",
        "paused    free 3.5 GB, needed 0 bytes",
        "devices   images per s 2.5",
        "running   no",
    ]
    assert "November 2026, " in told
    assert str(NOVEMBER_S) not in told


def test_a_table_has_dates_and_nothing_where_nobody_knows_one() -> None:
    rows = [{"run_id": 1, "at_s": 0.0}, {"run_id": 2, "at_s": NOVEMBER_S}]

    assert rows_in_words(rows, ["run_id", "at_s"]).splitlines() == [
        "run_id  at",
        "1",
        f"2       {date_in_words(NOVEMBER_S)}",
    ]


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0, "0 s"), (0.1154, "0.115 s"), (59.9, "59.9 s"), (61, "1 min"), (90_061, "1 d 1 h")]
)
def test_a_time_is_told_as_people_would(seconds: float, told: str) -> None:
    assert time_in_words(seconds) == told
