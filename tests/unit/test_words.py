"""What commands tell people in words."""

from __future__ import annotations

from face_organizer.cli.words import pairs_in_words


def test_a_status_tells_lists_in_lines_and_nothing_of_what_there_is_nothing_of() -> None:
    told = pairs_in_words(
        {
            "running": True,
            "paused": None,
            "threads": {},
            "problems": ["no room in out", "in is away"],
            "trash": 0,
            "devices": [{"device": "cpu:0", "images": 3, "problem": None}, {"device": "cpu:1", "images": 0}],
            "folders": {"state": "watched", "reason": None, "unclear": []},
        }
    )

    assert told.splitlines() == [
        "running   True",
        "problems  no room in out",
        "          in is away",
        "trash     0",
        "devices   device cpu:0, images 3",
        "          device cpu:1, images 0",
        "folders   state watched",
    ]
