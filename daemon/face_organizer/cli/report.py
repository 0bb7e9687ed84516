"""How far a library is to be trusted, for people as a page with pictures, for programs as JSON.

Room:    cli (talks)
Imports: app, shared, page, words
"""

from __future__ import annotations

from pathlib import Path
from time import time
from typing import Any

import click

from face_organizer.app.commands import Mark, answer, pictures_of, refuse_in_the_way, write_result
from face_organizer.cli.page import BEGINNING, faces_in, page
from face_organizer.cli.shared import NEW_FILE, exits, json_option, library_option, main, print_answer
from face_organizer.cli.words import date_in_words


@main.command()
@library_option
@click.option(
    "--html",
    type=NEW_FILE,
    help="Write a page with pictures into this file; it loads nothing from anywhere. Only an earlier report is"
    " replaced.",
)
@click.option("--top", type=click.IntRange(1, 500), default=24, show_default=True, help="At most so many of each kind.")
@json_option
def report(library: Path, html: Path | None, top: int, as_json: bool) -> None:
    """How far to trust what was sorted: provable errors, likely ones, what changed, what is covered."""
    with exits():
        refuse_in_the_way(library, html)
        found = answer(library, "report", shown=top)
        if html is not None:
            content = page(found, pictures_of(faces_in(found)), date_in_words(time()))
            write_result(html, content.encode(), Mark(BEGINNING.encode()))
        print_answer(found, _in_words(found, html), as_json)


def _in_words(found: dict[str, Any], html: Path | None) -> str:
    counts, coverage, rate = found["counts"], found["coverage"], found["false_merge_rate"]
    changes = found["changes"]
    lines = [
        f"{counts['persons']} persons ({coverage['persons_named']} named), {counts['faces']} faces in"
        f" {counts['images']} images; {counts['outliers']} images with faces of nobody, {counts['no_face']} without",
        f"provable errors: {found['provable_errors']['total']}",
        f"likely intruders: {found['likely_intruders']['total']} questions, {found['likely_intruders']['wrong_faces']}"
        " faces expected to be wrong",
        f"likely same persons: {found['likely_same']['total']} pairs",
        f"persons fused, as estimated: {'unknown' if rate is None else f'{rate:.2%}'}",
        f"since the last run: {changes['new_faces']} new faces, {len(changes['decisions'])} decisions",
        f"the page with pictures is in {html}" if html else "with pictures: --html report.html; one by one: review",
    ]
    return "\n".join(lines)
