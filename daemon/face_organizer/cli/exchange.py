"""Out to other programs, and in from them: tables, sidecars, names.

Room:    cli (talks)
Imports: shared, app
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from face_organizer.app.outside import (
    Format,
    export_copies,
    export_faces,
    export_persons,
    export_sidecars,
    import_names,
)
from face_organizer.cli.shared import FOLDER, NEW_FILE, exits, json_option, library_option, main, print_answer


@main.command()
@library_option
@click.option("--format", "kind", type=click.Choice(["csv", "jsonl", "parquet"]), help="A table, to --out or stdout.")
@click.option("--out", type=NEW_FILE, help="The file to write, whole or not at all.  [default: standard output]")
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
    metavar="FOLDER",
    help="Copy those images into FOLDER, with the names in the files (needs exiftool). The library is not changed.",
)
@json_option
def export(
    library: Path,
    kind: Format | None,
    out: Path | None,
    of: str,
    where: tuple[str, ...],
    xmp: bool,
    copies: Path | None,
    as_json: bool,
) -> None:
    """Tell other programs who is where: a table of faces or persons, or regions for photo managers.

    \b
        face-organizer export --library library --format csv --where "person=Alice" --where "quality>=0.5"
        face-organizer export --library library --xmp        # digiKam, Lightroom and others read these
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
    with exits():
        if kind is None:
            counts = export_sidecars(library) if copies is None else export_copies(library, copies)
            told = ", ".join(f"{count} {key.replace('_', ' ')}" for key, count in counts.items())
            print_answer(counts, told, as_json)
            return
        rows = export_persons(library, out, kind) if of == "persons" else export_faces(library, out, kind, where)
        if out is not None:
            print_answer({"rows": rows, "file": str(out)}, f"{rows} rows in {out}", as_json)


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
    with exits():
        found = import_names(library, paths, dry_run=dry_run)
        lines = [*found["decisions"], f"{found['matched']} regions matched in {found['images']} images,"]
        lines[-1] += f" {found['unmatched']} without a face here, {found['unknown']} images not in this library"
        print_answer(found, "\n".join(lines), as_json)
