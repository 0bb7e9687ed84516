"""Out to other programs, and in from them: tables, sidecars, names.

Room:    cli (talks)
Imports: shared, app
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from face_organizer.cli.shared import FOLDER, NEW_FILE, exits, json_option, library_option, main, print_answer

if TYPE_CHECKING:
    from face_organizer.app.outside import Format

INTO_THE_IMAGES = "//"
"""What --write-metadata stands for without a folder: no path that anybody types."""


@main.command()
@library_option
@click.option("--format", "kind", type=click.Choice(["csv", "jsonl", "parquet"]), help="A table, to --out or stdout.")
@click.option(
    "--out",
    type=NEW_FILE,
    help="The file to write, whole or not at all; only an earlier table is replaced.  [default: standard output]",
)
@click.option("--of", type=click.Choice(["faces", "persons"]), default="faces", show_default=True, help="The rows.")
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help="Only faces for which this holds, several times for several: named, nobody, person=Alice, quality>=0.5 ...",
)
@click.option("--xmp", is_flag=True, help="Write NAME.jpg.xmp beside every image of the library with a named person.")
@click.option(
    "--write-metadata",
    "copies",
    type=FOLDER,
    is_flag=False,
    flag_value=INTO_THE_IMAGES,
    metavar="[FOLDER]",
    help="Copy those images into FOLDER, outside of the library, with the names in the files (needs exiftool); what"
    " is there already stays as it is. Without FOLDER, write the names into the library's own images.",
)
@click.option("--yes", is_flag=True, help="Do not ask before the library's own images are changed.")
@json_option
def export(
    library: Path,
    kind: Format | None,
    out: Path | None,
    of: str,
    where: tuple[str, ...],
    xmp: bool,
    copies: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Tell other programs who is where: a table of faces or persons, or regions for photo managers.

    \b
        face-organizer export --library library --format csv --where "person=Alice" --where "quality>=0.5"
        face-organizer export --library library --xmp        # digiKam, Lightroom and others read these
        face-organizer export --library library --write-metadata        # into the images themselves: asks first
    """
    if (kind is not None) + xmp + (copies is not None) != 1:
        raise click.UsageError("say one of --format, --xmp and --write-metadata")
    if kind is None and (where or out):
        raise click.UsageError("--where and --out belong to --format")
    if of == "persons" and where:
        raise click.UsageError("--where chooses faces: leave out --of persons")
    if kind is not None and out is None and as_json:
        raise click.UsageError("the table goes to standard output: leave out --json, or say --out")
    if kind == "parquet" and out is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is nothing for a terminal: say --out FILE")
    from face_organizer.app.commands import refuse_in_the_way
    from face_organizer.app.outside import export_faces, export_persons

    with exits():
        refuse_in_the_way(library, out, None if copies == Path(INTO_THE_IMAGES) else copies)
        if kind is None:
            if copies == Path(INTO_THE_IMAGES) and not yes:
                _confirm(library)
            counts = _regions_out(library, copies)
            told = ", ".join(f"{count} {key.replace('_', ' ')}" for key, count in counts.items())
            print_answer(counts, told, as_json)
            return
        rows = export_persons(library, out, kind) if of == "persons" else export_faces(library, out, kind, where)
        if out is not None:
            print_answer({"rows": rows, "file": str(out)}, f"{rows} rows in {out}", as_json)


def _confirm(library: Path) -> None:
    """Raises UsageError where nobody is here to ask."""
    from face_organizer.app.outside import count_images

    if not sys.stdin.isatty():
        raise click.UsageError("nobody is here to ask: say --yes to change the images of the library themselves")
    images = count_images(library)
    click.confirm(f"Write names into {images} images of the library themselves? Pixels stay as they are.", abort=True)


def _regions_out(library: Path, copies: Path | None) -> dict[str, int]:
    from face_organizer.app.outside import export_copies, export_into_images, export_sidecars

    if copies is None:
        return export_sidecars(library)
    return export_into_images(library) if copies == Path(INTO_THE_IMAGES) else export_copies(library, copies)


@main.command(name="import-names")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@library_option
@click.option("--dry-run", is_flag=True, help="Only tell what would be decided.")
@json_option
def import_names_command(paths: tuple[Path, ...], library: Path, dry_run: bool, as_json: bool) -> None:
    """Take over the names that other programs gave to faces in PATHS: images or folders, with or without sidecars.

    digiKam, Lightroom, Picasa, Apple Photos and Windows write such regions. An image is known by its content, wherever
    it lies. Each name becomes a decision: `history` lists them, `undo` takes them back.
    """
    from face_organizer.app.outside import import_names

    with exits():
        found = import_names(library, paths, dry_run=dry_run)
        lines = [*found["decisions"], f"{found['matched']} regions matched in {found['images']} images,"]
        lines[-1] += f" {found['unmatched']} without a face here, {found['unknown']} images not in this library"
        print_answer(found, "\n".join(lines), as_json)
