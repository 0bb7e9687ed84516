"""Messages name commands the way this user types them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import face_organizer
from face_organizer.adapters.log import open_log
from face_organizer.cli import main
from face_organizer.cli.ask import status
from face_organizer.cli.shared import as_called
from face_organizer.hints import COMMAND

ROOT = Path(face_organizer.__file__).parent


def hints() -> list[tuple[str, str]]:
    """Every command that a text of ours names, and the rest of its line; X for what is only known then."""
    found = []
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(
                str(part.value)
                if isinstance(part, ast.Constant)
                else " X "
                if isinstance(part, ast.FormattedValue)
                else ""
                for part in parts
            )
            found += [(hint[2], hint[3]) for hint in COMMAND.finditer(text)]
    return found


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


def test_every_hint_names_a_command_and_options_that_there_are() -> None:
    assert len(hints()) > 40
    for verb, rest in hints():
        assert verb in main.commands, verb
        command = main.commands[verb]
        if isinstance(command, click.Group):
            assert rest.split()[0] in command.commands, (verb, rest)
            command = command.commands[rest.split()[0]]
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z][a-z-]*", rest.partition("#")[0])) <= options, (verb, rest)


def test_every_hint_of_a_command_says_its_library_where_that_is_needed() -> None:
    needing = {name for name, each in main.commands.items() if any("[required]" in (getattr(option, "help", "") or "")
               for option in each.params)}  # fmt: skip
    assert {"people", "history", "runs", "recluster", "reembed", "undo"} <= needing

    with click.Context(status) as context:
        context.params["library"] = Path("/some/my photos")
        for verb, rest in hints():
            told = as_called(f"`face-organizer {verb}{rest}`")
            assert ("--library" in told) or verb not in needing, told
            assert told.count("--library") <= 1
        assert as_called("`face-organizer undo 3`") == "`face-organizer undo 3 --library '/some/my photos'`"


def test_the_log_names_commands_that_way_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACE_ORGANIZER_CALLED", "scripts/run")

    open_log("json", "info").warning("it_happened", remedy="`face-organizer recluster --library out` helps")

    assert "`scripts/run recluster --library out` helps" in capsys.readouterr().err
