"""Messages name commands the way this user types them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from face_organizer.cli.ask import status
from face_organizer.cli.shared import as_called


def test_commands_in_messages_are_called_as_the_user_called_us(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "no run 7: `face-organizer runs` lists them"
    cure = "    $ face-organizer models verify\nsystemctl start face-organizer\npip install 'face-organizer[cpu]'"
    monkeypatch.delenv("FACE_ORGANIZER_CALLED", raising=False)
    assert (as_called(message), as_called(cure)) == (message, cure)

    monkeypatch.setenv("FACE_ORGANIZER_CALLED", "./scripts/run")

    assert as_called(message) == "no run 7: `./scripts/run runs` lists them"
    assert as_called(cure) == cure.replace("$ face-organizer models", "$ ./scripts/run models")


def test_an_error_on_the_terminal_is_told_that_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACE_ORGANIZER_CALLED", "scripts/run")

    told = CliRunner().invoke(status, ["--library", str(tmp_path)])

    assert told.exit_code == 1
    assert "start with `scripts/run run --inbox DIR" in told.stderr
