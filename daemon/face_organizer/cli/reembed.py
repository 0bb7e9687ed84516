"""Another model for a library that is there.

Room:    cli (talks)
Imports: app, shared, words
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from face_organizer.app.commands import answer
from face_organizer.cli.shared import EXIT_FAILURE, exits, json_option, library_option, main, print_answer, printable
from face_organizer.cli.words import reembed_in_words

if TYPE_CHECKING:
    from face_organizer.app.follow import Call


@main.command(name="reembed")
@library_option
@click.option("--pack", metavar="NAME|DIR", help="The model pack to move to; `models list` shows what there is.")
@click.option("--dry-run", is_flag=True, help="Read and compare; leave the switch to --switch.")
@click.option("--switch", is_flag=True, help="Switch to the other model now, although the comparison says to ask you.")
@click.option("--discard", is_flag=True, help="Delete what is held of the model that is not in use.")
@json_option
def reembed_command(library: Path, pack: str | None, dry_run: bool, switch: bool, discard: bool, as_json: bool) -> None:
    """Move the library to another model pack. Persons, names and decisions stay, face by face.

    Every image is read again where it lies, beside the model in use: the daemon goes on sorting meanwhile. Then both
    are compared, and where little would change, the library switches; else it waits for --switch. Ctrl-C, a crash or a
    full disk cost nothing: say the same again to go on. The old model's embeddings are kept, and `--pack OLD` goes
    back; --discard deletes them. Without an option: how it stands.
    """
    if sum((pack is not None, switch, discard)) > 1 or (dry_run and pack is None):
        raise click.UsageError("choose one of --pack, --switch and --discard (--dry-run goes with --pack)")
    with exits():
        if discard:
            found = answer(library, "reembed_discard")
            print_answer(found, f"discarded: the embeddings of {found['discarded']}", as_json)
            return
        if pack is None and not switch:
            found = answer(library, "reembed_told")
        else:
            found = followed(library, pack_text(pack) if pack else None, dry_run)
        print_answer(found, reembed_in_words(found), as_json)
        if dry_run or found["beside"] is None or found["beside"]["state"] != "ready":
            return
        if pack or switch:
            sys.exit(EXIT_FAILURE)


def followed(library: Path, pack: str | None, dry_run: bool) -> dict[str, Any]:
    """Begin to move to a pack (None: switch), and show how far it is."""

    from face_organizer.app.follow import reembed

    def begin(call: Call) -> None:
        if pack is None:
            call("reembed_switch")
        else:
            call("reembed", pack=pack, compare_only=dry_run)

    try:
        with progress_bar() as tick:
            return reembed(library, begin, tick)
    except KeyboardInterrupt:
        click.echo("face-organizer: what was done is kept, and a running daemon goes on by itself", err=True)
        sys.exit(EXIT_FAILURE)


@contextmanager
def progress_bar() -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task, paused = bar.add_task("reading", total=None), None

        def tick(told: dict[str, Any]) -> None:
            nonlocal paused
            beside = told["beside"]
            if beside["paused"] not in (None, paused):
                click.echo(
                    printable(f"face-organizer: it waits for room, and goes on by itself: {beside['paused']}"), err=True
                )
            paused = beside["paused"]
            what = {"filling": "reading", "due": "switching"}.get(beside["state"], beside["state"])
            bar.update(task, description=what, completed=beside["done"], total=beside["images"])

        yield tick


def pack_text(meant: str) -> str:
    """A folder by its whole path: the daemon may stand elsewhere."""
    return str(Path(meant).resolve()) if "/" in meant or Path(meant).is_dir() else meant
