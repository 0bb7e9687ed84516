"""The log on a terminal."""

from __future__ import annotations

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
