"""What the commands share: options, exit codes, ways to print.

Room:    cli (talks)
Imports: errors, app (only when it is needed), names
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from face_organizer import __version__, hints
from face_organizer.errors import AlreadyRunningError, ConfigError, FaceOrganizerError

FAISS_MISSING = "FAISS is not installed: pip install 'face-organizer[cpu]' (or [openvino], [cuda], [faiss-gpu], ...)"
EXIT_FAILURE, EXIT_USAGE, EXIT_RUNNING = 1, 2, 75
F = TypeVar("F", bound=Callable[..., Any])

_COMMANDING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""All control characters but the end of a line, what turns the direction of writing, and bytes that are no UTF-8."""

FOLDER = click.Path(path_type=Path, file_okay=False)
NEW_FILE = click.Path(path_type=Path, dir_okay=False, writable=True)
PICTURE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="face-organizer")
def main() -> None:
    """Drop face images into an inbox; find each in the folder of the person it shows.

    Nobody labels anything. Start with:

    \b
        face-organizer run --inbox inbox --library library

    and copy photos into inbox/. Every command but run talks to the running daemon if there is one.
    """


def as_called(text: str) -> str:
    """A text with the commands in it as this user has to type them, for the library that this command is about."""
    return hints.as_called(text, _library_of)


def _library_of(verb: str) -> str:
    context = click.get_current_context(silent=True)
    library = context.params.get("library") if context is not None else None
    needs = verb in main.commands and any(each.callback is _said for each in main.commands[verb].params)
    return f" --library {shlex.quote(str(library))}" if library is not None and needs else ""


main.help = as_called(main.help or "")


def library_option(command: F) -> F:
    return click.option(
        "--library",
        type=FOLDER,
        callback=_said,
        help="The folder that holds the persons' folders.  [required]",
    )(command)


def _said(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path:
    """Which library; raises UsageError with those that the service has."""
    if value is not None:
        return value
    from face_organizer.app.machine import libraries_served

    known = "".join(f"\n    --library {folder}" for folder in libraries_served().values())
    told = f"The service has{printable(known)}" if known else "It is what `run` was told."
    raise click.MissingParameter(as_called(told), ctx=context, param=parameter)


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, nothing else.")(
        command
    )


@contextmanager
def exits() -> Iterator[None]:
    """Errors become one sentence on stderr and the exit code of their kind."""
    try:
        yield
    except AlreadyRunningError as error:
        fail(error, EXIT_RUNNING)
    except ConfigError as error:
        fail(error, EXIT_USAGE)
    except FaceOrganizerError as error:
        fail(error, EXIT_FAILURE)
    except ModuleNotFoundError as error:
        if error.name != "faiss":
            raise
        fail(FaceOrganizerError(FAISS_MISSING), EXIT_FAILURE)


def fail(error: Exception, code: int) -> None:
    click.echo(f"face-organizer: {printable(as_called(str(error)))}", err=True)
    sys.exit(code)


def print_answer(found: Any, told: str, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        click.echo(printable(as_called(told)))


def printable(text: str) -> str:
    """A text that moves no cursor and changes no colour: a file's name may hold what commands a terminal."""
    return _COMMANDING.sub(lambda found: ascii(found[0])[1:-1], text)


def print_json(answer: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2))
