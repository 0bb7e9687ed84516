"""What begins: run, demo, models.

Room:    cli (talks)
Imports: app, demo, config, config_file, shared, words
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import click

from face_organizer.cli.shared import (
    EXIT_FAILURE,
    FOLDER,
    exits,
    json_option,
    main,
    print_answer,
    print_json,
    printable,
)
from face_organizer.cli.words import rows_in_words, summary_in_words, tree_in_words
from face_organizer.config import WEB_ADDRESS, Config
from face_organizer.config_file import load, load_libraries


class PeopleType(click.ParamType[int | str]):
    """auto, elbow, or how many."""

    name = "auto|elbow|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value in ("auto", "elbow"):
            return str(value)
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f'{value!r} is neither "auto" nor "elbow" nor a number of people from 1 on', param, ctx)
        return int(value)


@main.command()
@click.option("--inbox", type=FOLDER, help="Where images are dropped.  [default: inbox]")
@click.option("--library", type=FOLDER, help="Where the persons' folders appear.  [default: library]")
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path, dir_okay=False), help="A TOML file; see config/."
)
@click.option(
    "--people",
    type=PeopleType(),
    help='"auto" finds out who is there; N sorts into exactly N people; "elbow" chooses N by the k-means elbow.'
    "  [default: as it was last time, auto for a new library]",
)
@click.option(
    "--placement",
    type=click.Choice(["move", "hardlink", "symlink", "copy"]),
    help="move empties the inbox.  [default: as it was last time, move for a new library]",
)
@click.option("--once", is_flag=True, help="Sort what is in the inbox now, re-cluster, and exit.")
@click.option(
    "--web",
    is_flag=False,
    flag_value="",
    metavar="[HOST:PORT]",
    help=f"Serve the page and the HTTP interface.  [the settings' web.listen, else {WEB_ADDRESS}: this machine only]",
)
@json_option
def run(
    inbox: Path | None,
    library: Path | None,
    config_path: Path | None,
    people: int | str | None,
    placement: str | None,
    once: bool,
    web: str | None,
    as_json: bool,
) -> None:
    """Watch the inbox and sort what arrives, until stopped (SIGTERM, Ctrl-C).

    SIGHUP reads the configuration again and re-clusters. With [[library]] tables in it, one process sorts several
    libraries.
    """

    def configured() -> dict[str, Config]:
        return load_libraries(
            config_path,
            inbox=str(inbox) if inbox else None,
            library=str(library) if library else None,
            people=people,
            placement=placement,
            listen=web,
        )

    with exits():
        from face_organizer.app.serve import open_log, run_daemon, run_once

        libraries = configured()
        settings = next(iter(libraries.values())).log
        bar = once and sys.stderr.isatty()
        log = open_log(settings.format, "warning" if bar else settings.level)  # a line an image would drown the bar
        if not once:
            run_daemon(libraries, log, configured)
            return
        with progress_bar() as tick:
            summaries, code = run_once(libraries, log, tick)
        if as_json:
            rows = [{"library": name, **summary} for name, summary in summaries.items()]
            print_json(summaries.get("", rows))
        elif code == 0 or len(libraries) > 1:
            for name, summary in summaries.items():
                click.echo(summary_in_words(summary, libraries[name].library_path))
        sys.exit(code)


@main.command()
@click.option("--folder", type=FOLDER, default=Path("demo"), show_default=True, help="Where to make inbox and library.")
@click.option("--people", type=PeopleType(), default="auto", show_default=True)
def demo(folder: Path, people: int | str) -> None:
    """Sort some real faces that come with installed packages, and print the tree."""
    with exits():
        from face_organizer.app.serve import open_log, run_once
        from face_organizer.demo import write_demo_images

        inbox, library = folder / "inbox", folder / "library"
        images = write_demo_images(inbox, seed=0)
        click.echo(f"{images} images dropped into {inbox}")
        config = load(None, inbox=str(inbox), library=str(library), people=people)
        with progress_bar() as tick:
            summaries, code = run_once({"": config}, open_log("auto", "warning"), tick)
        click.echo(summary_in_words(summaries[""], library))
        click.echo(printable(tree_in_words(library)))
        sys.exit(code)


@main.group()
def models() -> None:
    """The model packs: which networks find and recognise faces."""


models_dir_option = click.option(
    "--models-dir", type=FOLDER, help="As faces.models_dir in the configuration, if that is set."
)


@models.command(name="list")
@models_dir_option
@json_option
def list_models(models_dir: Path | None, as_json: bool) -> None:
    """Every pack there is, with its licence: those that come with the program, those that were pulled, folders of
    networks that were used, and those that can be pulled. The name is what faces.pack is set to; any other folder may
    be named there too."""
    from face_organizer.app.machine import packs

    with exits():
        rows = packs(models_dir)
        columns = ["name", "state", "detector", "dimension", "attributes", "fingerprint", "licence"]
        print_answer(rows, rows_in_words(rows, columns), as_json)


@models.command(name="verify")
@models_dir_option
@json_option
def verify_models(models_dir: Path | None, as_json: bool) -> None:
    """Check the files of every pack against their checksums."""
    from face_organizer.app.machine import verify_packs

    with exits():
        rows = verify_packs(models_dir)
        print_answer(rows, rows_in_words(rows, ["name", "ok", "problem"]), as_json)
        sys.exit(0 if all(row["ok"] for row in rows) else EXIT_FAILURE)


@models.command(name="pull")
@click.argument("name")
@click.option("--from", "source", default="", metavar="FILE|URL", help="The zip file, or a mirror, instead of GitHub.")
@click.option("--accept-licence", is_flag=True, help="You have read the terms and accept them.")
@models_dir_option
@json_option
def pull_models(name: str, source: str, accept_licence: bool, models_dir: Path | None, as_json: bool) -> None:
    """Fetch one of InsightFace's packs: buffalo_l, buffalo_m, buffalo_s, buffalo_sc, antelopev2.

    They are larger than the one that comes along, and for non-commercial research only. What comes is checked by
    its sha256; a download that breaks is gone on with. A new library uses it with faces.pack = NAME in the
    configuration; `face-organizer reembed --pack NAME` moves one that is there.
    """
    from face_organizer.app.machine import pull_pack, terms_of

    with exits():
        terms = terms_of(name)
        click.echo(terms, err=True)
        if not accept_licence and not _accepted():
            raise click.UsageError("the terms were not accepted: pass --accept-licence once you have read them")
        with bytes_bar(name) as tick:
            pulled = pull_pack(name, models_dir, source, tick)
        print_answer(
            pulled,
            f'{name} lies in {pulled["folder"]}. Use it with faces.pack = "{name}", or `reembed` a library',
            as_json,
        )


@models.command(name="remove")
@click.argument("name", metavar="NAME|DIR")
@click.option("--yes", is_flag=True, help="Also where a library that went by it cannot be seen now.")
@models_dir_option
@json_option
def remove_models(name: str, yes: bool, models_dir: Path | None, as_json: bool) -> None:
    """Delete what is held of a pack: what was pulled, and what was made of it. A folder of your own stays as it is.

    NAME as `models list` shows it. Refused while a library goes by the pack, or keeps its embeddings beside those in
    use; those that went by a pack of this models folder are asked, and where one is not there now, --yes is wanted.
    Saying it twice changes nothing.
    """
    from face_organizer.app.machine import remove_pack

    with exits():
        removed = remove_pack(name, models_dir, unasked=yes)
        folders = "\n".join(removed["removed"])
        print_answer(
            removed, f"removed:\n{folders}" if folders else f"nothing is held of {name}; see `models list`", as_json
        )


def _accepted() -> bool:
    """Ask on a terminal; a script has to say it."""
    if not sys.stdin.isatty():
        return False
    return click.prompt("Type yes to accept these terms", default="no", err=True).strip().lower() == "yes"


@contextmanager
def bytes_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of what has come, on a terminal; silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda here, in_all: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what)
        yield lambda here, in_all: progress.update(task, completed=here, total=in_all)


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
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
