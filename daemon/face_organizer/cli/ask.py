"""What is asked: status, people, search, explain, review, history, runs, check.

Room:    cli (talks)
Imports: errors, app, shared, watch, words
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import click

from face_organizer.app.commands import (
    answer,
    daemon_answer,
    link_images,
    picture,
    refuse_in_the_way,
    refuse_quarantined,
    write_montage,
)
from face_organizer.cli.shared import (
    EXIT_FAILURE,
    FOLDER,
    NEW_FILE,
    PICTURE,
    exits,
    json_option,
    library_option,
    main,
    print_answer,
)
from face_organizer.cli.words import face_in_words, question_in_words, rows_in_words, run_in_words, status_in_words
from face_organizer.errors import FaceOrganizerError


@main.command()
@library_option
@click.option("--watch", is_flag=True, help="Show it in the terminal all the time, until q or Ctrl-C.")
@click.option("--every", type=click.FloatRange(0.2, 60), default=2.0, show_default=True, help="Seconds, with --watch.")
@json_option
def status(library: Path, watch: bool, every: float, as_json: bool) -> None:
    """How it stands: counts, queues, the last re-clustering."""
    with exits():
        if watch:
            if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
                raise click.UsageError("--watch needs a terminal; programs ask for --json")
            from face_organizer.cli.watch import watch_in_terminal

            watch_in_terminal(lambda call, **arguments: daemon_answer(library, call, **arguments), every)
            return
        found = answer(library, "status")
        print_answer(found, status_in_words(found), as_json)


@main.command(name="people")
@library_option
@click.option("--all", "everybody", is_flag=True, help="Hidden persons too.")
@json_option
def people_command(library: Path, everybody: bool, as_json: bool) -> None:
    """Everybody who was found, most faces first."""
    with exits():
        found = answer(library, "people", everybody=everybody)
        print_answer(found, rows_in_words(found, ["person_id", "name", "folder", "faces", "images", "cover"]), as_json)


def _two(context: click.Context, parameter: click.Parameter, value: tuple[str, str] | None) -> tuple[str, str] | None:
    """Two persons; raises BadParameter where the second is the next option."""
    for one in value or ():
        if one.startswith("--"):
            raise click.BadParameter(f"say two persons, {one} is none", context, parameter)
    return value


@main.command()
@click.argument("photos", nargs=-1, type=PICTURE)
@library_option
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="At most so many hits.")
@click.option(
    "--similarity-min", type=click.FloatRange(-1, 1), help="Only faces at least so similar.  [default: the pack's]"
)
@click.option("--face", type=click.IntRange(1), help="Which face of each photo, from the left.  [default: all]")
@click.option("--person", default="", help="Only faces of this person.")
@click.option(
    "--together", nargs=2, metavar="A B", is_eager=True, callback=_two, help="Only images that show both persons."
)
@click.option(
    "--montage",
    type=NEW_FILE,
    help="Draw the hits into this PNG: each face with name and similarity. Only an earlier montage is replaced.",
)
@click.option("--link", type=FOLDER, help="Fill this new folder with links to the hits, best first.")
@json_option
def search(
    photos: tuple[Path, ...],
    library: Path,
    top: int,
    similarity_min: float | None,
    face: int | None,
    person: str,
    together: tuple[str, str] | None,
    montage: Path | None,
    link: Path | None,
    as_json: bool,
) -> None:
    """Find the images of whoever is in PHOTO, or (without one) those that show two persons --together."""
    if not photos and not together:
        raise click.UsageError("say a PHOTO, or --together A B")
    if not photos and (face or person):
        raise click.UsageError("--face and --person narrow down what a PHOTO finds: say one")
    with exits():
        refuse_in_the_way(library, montage, link)
        contents = [(ascii(str(photo)), base64.b64encode(read(photo)).decode()) for photo in photos]
        found = answer(
            library,
            "search",
            photos=contents,
            top=top,
            similarity_min=similarity_min,
            face=face,
            person=person,
            together=together or (),
        )
        if link is not None:
            link_images(link, [hit["image"] for hit in found])
        if montage is not None:
            write_montage(montage, found)
        columns = ["similarity", "person", "image"] if photos else ["image"]
        print_answer(found, rows_in_words(found, columns), as_json)


@main.command()
@click.argument("image", type=PICTURE)
@library_option
@json_option
def explain(image: Path, library: Path, as_json: bool) -> None:
    """Why is each face of IMAGE where it is: similarity, margin, rule, run, decisions, nearest faces."""
    with exits():
        refuse_quarantined(library, image)
        found = answer(library, "explain", picture=picture(image))
        print_answer(found, "\n\n".join(face_in_words(face) for face in found["faces"]) or "no face was found", as_json)


@main.command()
@library_option
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True, help="At most so many questions.")
@json_option
def review(library: Path, limit: int, as_json: bool) -> None:
    """What is worth telling: likely same persons and likely intruders, whose answer puts most faces right first.

    Answer with `merge` or `apart`, and with `reject` or `assign`: what was answered is not asked again.
    """
    with exits():
        found = answer(library, "review", limit=limit)
        told = "\n".join(question_in_words(each) for each in found) or "nothing is worth asking"
        print_answer(found, told, as_json)


@main.command()
@library_option
@json_option
def history(library: Path, as_json: bool) -> None:
    """Every decision, the oldest first."""
    with exits():
        found = answer(library, "history")
        print_answer(found, rows_in_words(found, ["decision_id", "at_s", "kind", "says", "undone_by"]), as_json)


@main.command()
@click.argument("run", type=click.IntRange(1), required=False)
@library_option
@json_option
def runs(run: int | None, library: Path, as_json: bool) -> None:
    """Every re-clustering: when, why, what it changed, whether it was applied. With a number RUN, that one in full."""
    with exits():
        if run is not None:
            one = answer(library, "run", run_id=run)
            print_answer(one, run_in_words(one), as_json)
            return
        found = answer(library, "runs")
        columns = ["run_id", "at_s", "state", "reason", "faces", "persons", "born", "merged", "split", "moved"]
        print_answer(found, rows_in_words(found, columns), as_json)


@main.command()
@library_option
@click.option(
    "--repair", is_flag=True, help="Take in what was done in the folders, then remake index and folders from the truth."
)
@json_option
def check(library: Path, repair: bool, as_json: bool) -> None:
    """Compare the truth with the index and the folders. Exit 0: they agree (or do now that they were repaired)."""
    with exits():
        found = answer(library, "check", repair=repair)
        rows = rows_in_words(found["left"], ["kind", "what", "problem"])
        ending = f", {found['repaired']} repaired, {len(found['left'])} left" if repair else ""
        print_answer(found, f"{rows}\n{len(found['findings'])} findings{ending}", as_json)
        sys.exit(0 if found["clean"] else EXIT_FAILURE)


def read(photo: Path) -> bytes:
    try:
        return photo.read_bytes()
    except OSError as error:
        raise FaceOrganizerError(f"cannot read {photo}: {error.strerror}") from error
