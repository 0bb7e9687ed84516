"""The log on stderr."""

from __future__ import annotations

import io
import json
import sys

import pytest
import structlog

from face_organizer.adapters.log import open_log


def test_a_name_commands_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log("pretty", "info")

    log.info("image_placed", image="\x1b[2Jgone\x07\x9b\u202e.jpg", places=["a/\x1b]0;title\x07"])

    told = capsys.readouterr().err
    assert "gone" in told and "title" in told
    assert not set(told.strip()) & set("\x1b\x07\x9b\u202e")
    structlog.reset_defaults()


class Pieces(io.StringIO):
    """A stream that keeps apart what each write brought: where somebody else may write in between."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)


def test_a_line_is_written_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", pieces := Pieces())
    log = open_log("json", "info")

    log.info("image_placed", image="a.jpg")

    (line,) = pieces.written
    assert line.endswith("}\n")
    assert json.loads(line)["image"] == "a.jpg"
    structlog.reset_defaults()
