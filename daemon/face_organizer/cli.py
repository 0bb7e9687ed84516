"""The command line: argv <-> calls.

Room:    cli (talks)
Imports: commands, serve, demo, names

Exit codes: 0 done; 1 a failure that the message explains; 2 bad usage or configuration; 75 already running.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from face_organizer import __version__
from face_organizer.commands import answer, packs, verify_packs
from face_organizer.config import Config, load
from face_organizer.errors import AlreadyRunningError, ConfigError, FaceOrganizerError

EXIT_FAILURE, EXIT_USAGE, EXIT_RUNNING = 1, 2, 75
F = TypeVar("F", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


class PeopleType(click.ParamType[int | str]):
    """auto, elbow, or how many."""

    name = "auto|elbow|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value in ("auto", "elbow"):
            return str(value)
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f'{value!r} is neither "auto" nor "elbow" nor a number of people from 1 on', param, ctx)
        return int(value)


def library_option(command: F) -> F:
    return click.option("--library", type=FOLDER, required=True, help="The folder that holds the persons' folders.")(
        command
    )


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, nothing else.")(
        command
    )


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="face-organizer")
def main() -> None:
    """Drop face images into an inbox; find each in the folder of the person it shows.

    Nobody labels anything. Start with:

    \b
        face-organizer run --inbox inbox --library library

    and copy photos into inbox/. Every command but run talks to the running daemon if there is one.
    """


@main.command()
@click.option("--inbox", type=FOLDER, help="Where images are dropped.  [default: inbox]")
@click.option("--library", type=FOLDER, help="Where the persons' folders appear.  [default: library]")
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path, dir_okay=False), help="A TOML file; see config/."
)
@click.option(
    "--people",
    type=PeopleType(),
    help='"auto" finds out who is there; N sorts into exactly N people; "elbow" chooses N by the k-means elbow.',
)
@click.option("--placement", type=click.Choice(["move", "hardlink", "symlink", "copy"]), help="move empties the inbox.")
@click.option("--once", is_flag=True, help="Sort what is in the inbox now, re-cluster, and exit.")
@json_option
def run(
    inbox: Path | None,
    library: Path | None,
    config_path: Path | None,
    people: int | str | None,
    placement: str | None,
    once: bool,
    as_json: bool,
) -> None:
    """Watch the inbox and sort what arrives, until stopped (SIGTERM, Ctrl-C).

    SIGHUP reads the configuration again and re-clusters.
    """
    from face_organizer.serve import open_log, run_daemon, run_once

    def configured() -> Config:
        return load(
            config_path,
            inbox=str(inbox) if inbox else None,
            library=str(library) if library else None,
            people=people,
            placement=placement,
        )

    with exits():
        config = configured()
        bar = once and sys.stderr.isatty()
        log = open_log(config.log.format, "warning" if bar else config.log.level)  # a line an image would drown the bar
        if not once:
            run_daemon(config, log, configured)
            return
        with progress_bar() as tick:
            summary, code = run_once(config, log, tick)
        if as_json:
            print_json(summary)
        elif code == 0:
            click.echo(in_words(summary, config.library_path))
        sys.exit(code)


@main.command()
@click.option("--folder", type=FOLDER, default=Path("demo"), show_default=True, help="Where to make inbox and library.")
@click.option("--people", type=PeopleType(), default="auto", show_default=True)
def demo(folder: Path, people: int | str) -> None:
    """Sort some real faces that come with installed packages, and print the tree."""
    from face_organizer.demo import write_demo_images
    from face_organizer.serve import open_log, run_once

    with exits():
        inbox, library = folder / "inbox", folder / "library"
        images = write_demo_images(inbox, seed=0)
        click.echo(f"{images} images dropped into {inbox}")
        config = load(None, inbox=str(inbox), library=str(library), people=people)
        with progress_bar() as tick:
            summary, code = run_once(config, open_log("auto", "warning"), tick)
        click.echo(in_words(summary, library))
        print_tree(library)
        sys.exit(code)


@main.command()
@library_option
@json_option
def status(library: Path, as_json: bool) -> None:
    """How it stands: counts, queues, the last re-clustering."""
    with exits():
        found = answer(library, "status")
        if as_json:
            print_json(found)
        else:
            print_pairs(found)


@main.command(name="people")
@library_option
@json_option
def people_command(library: Path, as_json: bool) -> None:
    """Everybody who was found, most faces first."""
    with exits():
        found = answer(library, "people")
        if as_json:
            print_json(found)
        else:
            print_rows(found, ["person_id", "name", "folder", "faces", "images", "cover"])


@main.command()
@library_option
@json_option
def recluster(library: Path, as_json: bool) -> None:
    """Look at all faces again and put right what streaming got wrong. Persons keep their ids."""
    with exits():
        found = answer(library, "recluster")
        if as_json:
            print_json(found)
        else:
            print_pairs(found)


@main.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@library_option
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="At most so many hits.")
@click.option(
    "--similarity-min", type=click.FloatRange(-1, 1), help="Only faces at least so similar.  [default: the pack's]"
)
@json_option
def search(photos: tuple[Path, ...], library: Path, top: int, similarity_min: float | None, as_json: bool) -> None:
    """Find the images of whoever is in PHOTO."""
    with exits():
        contents = [(ascii(str(photo)), base64.b64encode(read(photo)).decode()) for photo in photos]
        found = answer(library, "search", photos=contents, top=top, similarity_min=similarity_min)
        if as_json:
            print_json(found)
        else:
            print_rows(found, ["similarity", "person", "image"])


@main.command()
@library_option
@click.option("--repair", is_flag=True, help="Remake index and folders from the truth. Truth itself is never changed.")
@json_option
def check(library: Path, repair: bool, as_json: bool) -> None:
    """Compare the truth with the index and the folders. Exit 0: they agree (or were repaired)."""
    with exits():
        found = answer(library, "check", repair=repair)
        if as_json:
            print_json(found)
        else:
            print_rows(found["findings"], ["kind", "what", "problem"])
            click.echo(f"{len(found['findings'])} findings" + (", repaired" if found["repaired"] else ""))
        sys.exit(0 if found["clean"] else EXIT_FAILURE)


@main.group()
def models() -> None:
    """The model packs: which networks find and recognise faces."""


@models.command(name="list")
@json_option
def list_models(as_json: bool) -> None:
    """Every pack there is, with its licence."""
    with exits():
        rows = packs()
        if as_json:
            print_json(rows)
        else:
            print_rows(rows, ["name", "detector", "dimension", "fingerprint", "licence"])


@models.command(name="verify")
@json_option
def verify_models(as_json: bool) -> None:
    """Check the files of every pack against their checksums."""
    with exits():
        rows = verify_packs()
        if as_json:
            print_json(rows)
        else:
            print_rows(rows, ["name", "ok", "problem"])
        sys.exit(0 if all(row["ok"] for row in rows) else EXIT_FAILURE)


# what the commands share


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


def fail(error: Exception, code: int) -> None:
    click.echo(f"face-organizer: {error}", err=True)
    sys.exit(code)


def read(photo: Path) -> bytes:
    try:
        return photo.read_bytes()
    except OSError as error:
        raise FaceOrganizerError(f"cannot read {photo}: {error.strerror}") from error


class Progressing(Protocol):
    """Something with a beginning and an end."""

    @property
    def taken_in(self) -> int: ...
    def waiting_in_inbox(self) -> int: ...


@contextmanager
def progress_bar() -> Iterator[Callable[[Progressing], None]]:
    """A bar with rate and time left, on a terminal; silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda organizer: None
        return
    columns = (
        TextColumn("sorting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} images/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("sorting", total=None, rate=0.0)
        total: int | None = None

        def tick(organizer: Progressing) -> None:
            nonlocal total
            total = organizer.waiting_in_inbox() if total is None else total
            rate = progress.tasks[0].speed or 0.0
            progress.update(task, total=total, completed=min(organizer.taken_in, total), rate=rate)

        yield tick


def print_json(answer: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2))


def print_pairs(answer: dict[str, Any]) -> None:
    width = max(map(len, answer))
    for key, value in answer.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        click.echo(f"{key:<{width}}  {shown}")


def print_rows(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Aligned columns, never cut: paths are there to be copied."""
    cells = [columns, *(["" if row[column] is None else str(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def print_tree(library: Path) -> None:
    """Folders with what is in them, the way `tree` shows it."""
    for folder in sorted(path for path in library.iterdir() if path.is_dir() and not path.name.startswith(".")):
        names = sorted(path.name for path in folder.iterdir())
        click.echo(f"{folder.name}/  ({len(names)})")
        for name in names:
            click.echo(f"    {name}")


def in_words(summary: dict[str, Any], library: Path) -> str:
    return (
        f"{summary['images']} images with {summary['faces']} faces of {summary['persons']} persons in {library}; "
        f"{summary['outliers']} outliers, {summary['no_face']} without a face, {summary['quarantined']} unreadable, "
        f"{summary['duplicates']} duplicates; {summary['seconds']:.1f} s"
    )
