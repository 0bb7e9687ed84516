"""What a move to another model tells whoever waits for it."""

from __future__ import annotations

from typing import Any

import pytest

from face_organizer.cli.reembed import progress_bar

BESIDE = {"state": "filling", "done": 3, "images": 12, "paused": None}


def test_that_it_waits_for_room_is_said_at_once_and_once(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[dict[str, Any]] = [
        BESIDE | {"paused": paused} for paused in ("d is full", "d is full", None, "d is full")
    ]

    with progress_bar() as tick:
        for beside in told:
            tick({"beside": beside})

    said = capsys.readouterr().err
    assert said.splitlines() == ["face-organizer: it waits for room, and goes on by itself: d is full"] * 2
