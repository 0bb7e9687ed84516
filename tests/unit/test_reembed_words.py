"""What a move to another model tells whoever waits for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import structlog

from face_organizer.app.moving import _target
from face_organizer.cli.reembed import progress_bar
from face_organizer.cli.words import reembed_in_words
from face_organizer.config import Config, FacesConfig
from face_organizer.errors import ConfigError
from face_organizer.hints import as_called

BESIDE: dict[str, Any] = {
    "pack": "mine",
    "state": "filling",
    "done": 3,
    "images": 12,
    "by_landmarks": 0,
    "new_faces": 0,
    "waits": None,
    "problem": None,
    "paused": None,
    "found": {},
}


def test_that_it_waits_for_room_is_said_at_once_and_once(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[dict[str, Any]] = [
        BESIDE | {"paused": paused} for paused in ("d is full", "d is full", None, "d is full")
    ]

    with progress_bar() as tick:
        for beside in told:
            tick({"beside": beside})

    said = capsys.readouterr().err
    assert said.splitlines() == ["face-organizer: it waits for room, and goes on by itself: d is full"] * 2


@pytest.mark.parametrize(
    ("beside", "hint"),
    [
        ({"state": "ready", "waits": "only a comparison was asked for"}, "--switch"),
        ({"state": "kept"}, "--pack mine"),
        ({"state": "kept"}, "--discard"),
    ],
)
def test_a_hint_can_be_typed_as_it_stands(monkeypatch: pytest.MonkeyPatch, beside: dict[str, Any], hint: str) -> None:
    monkeypatch.setenv("FACE_ORGANIZER_CALLED", "scripts/run")
    told = {"in_use": "opencv-zoo", "beside": BESIDE | beside, "comparison": None}

    said = as_called(reembed_in_words(told), lambda verb: " --library 'my photos'")

    assert f"`scripts/run reembed {hint} --library 'my photos'`" in said


@pytest.mark.parametrize("wanted", ["/nowhere/mine", "bufalo_l"])
def test_a_pack_to_move_to_that_is_not_there_is_refused_by_the_name_of_the_option(wanted: str, tmp_path: Path) -> None:
    config = Config(library=str(tmp_path), faces=FacesConfig(models_dir=str(tmp_path)))

    with pytest.raises(ConfigError, match=f"^--pack {wanted}: there is no ") as refused:
        _target(config, wanted, structlog.get_logger(), threads=1)

    assert "faces.pack" not in str(refused.value)
