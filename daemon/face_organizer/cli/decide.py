"""What is decided: each decision holds for ever, in every re-clustering, until it is undone.

Room:    cli (talks)
Imports: app, shared, words
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from face_organizer.app.commands import answer, picture
from face_organizer.cli.shared import exits, json_option, library_option, main, print_answer
from face_organizer.cli.words import counted, forget_in_words, run_in_words

LATEST = 0


class RunType(click.ParamType[int]):
    """The number of a run, or nothing at all for the latest."""

    name = "[RUN]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value != LATEST and (not str(value).isdecimal() or int(value) < 1):
            self.fail(f"{value!r} is not the number of a run: `runs` lists them, and none means the latest", param, ctx)
        return int(value)


@main.command(name="name")
@click.argument("who", metavar="PERSON|IMAGE")
@click.argument("name")
@library_option
@json_option
def name_command(who: str, name: str, library: Path, as_json: bool) -> None:
    """Call a person NAME, and its folder too.

    PERSON is a number, a name or a folder; an IMAGE of the person does as well.
    """
    decide(library, "name", as_json, who=picture_or_text(who), name=name)


@main.command()
@click.argument("one", metavar="PERSON")
@click.argument("into", metavar="INTO")
@click.option("--together", is_flag=True, help="Even if both are in one image: a mirror, a collage.")
@library_option
@json_option
def merge(one: str, into: str, together: bool, library: Path, as_json: bool) -> None:
    """PERSON and INTO are one; all faces go to INTO."""
    decide(library, "merge", as_json, one=person_text(one), into=person_text(into), together=together)


@main.command()
@click.argument("one", metavar="PERSON")
@click.argument("other", metavar="OTHER")
@library_option
@json_option
def apart(one: str, other: str, library: Path, as_json: bool) -> None:
    """PERSON and OTHER are two people, however alike they look; `review` does not ask again."""
    decide(library, "apart", as_json, one=person_text(one), other=person_text(other))


@main.command()
@click.argument("person")
@click.option("--into", type=click.IntRange(2, 100), metavar="N", help="So many persons.  [default: as many as appear]")
@library_option
@json_option
def split(person: str, into: int | None, library: Path, as_json: bool) -> None:
    """PERSON is several people: take its faces apart."""
    decide(library, "split", as_json, person=person_text(person), into=into)


@main.command()
@click.argument("faces", metavar="FACE...", nargs=-1, required=True)
@library_option
@json_option
def reject(faces: tuple[str, ...], library: Path, as_json: bool) -> None:
    """FACE is not the person it is with.

    A FACE is a number that `explain` tells, or an image in the person's folder.
    """
    decide(library, "reject", as_json, faces=[picture_or_text(face) for face in faces])


@main.command()
@click.argument("faces", metavar="FACE...", nargs=-1, required=True)
@click.argument("person")
@click.option("--new", is_flag=True, help="PERSON is the name of somebody who has no folder yet.")
@library_option
@json_option
def assign(faces: tuple[str, ...], person: str, new: bool, library: Path, as_json: bool) -> None:
    """FACE is PERSON."""
    if new and Path(person).is_file():
        raise click.UsageError(f"the name is missing: {person} is a picture")
    who = person if new else person_text(person)
    decide(library, "assign", as_json, faces=[picture_or_text(face) for face in faces], person=who, new=new)


@main.command()
@click.argument("person")
@library_option
@json_option
def hide(person: str, library: Path, as_json: bool) -> None:
    """Give PERSON no folder: images of nobody else lie in outliers/. `undo` or `unhide` shows it again."""
    decide(library, "hide", as_json, person=person_text(person))


@main.command()
@click.argument("person")
@library_option
@json_option
def unhide(person: str, library: Path, as_json: bool) -> None:
    """Give a hidden PERSON its folder back."""
    decide(library, "hide", as_json, person=person_text(person), hidden=False)


@main.command()
@click.argument("person")
@click.option("--images", is_flag=True, help="Delete the images that show nobody else, too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@library_option
@json_option
def forget(person: str, images: bool, yes: bool, library: Path, as_json: bool) -> None:
    """Forget PERSON for ever: faces, embeddings, name, decisions. The images stay where they are, unless --images.

    This cannot be undone. No trace is left in the state folder; logs, backups of yours and freed blocks of the disk are
    out of reach.
    """
    with exits():
        who = person_text(person)
        if not yes:
            if as_json or not sys.stdin.isatty():
                raise click.UsageError("nobody is here to ask: say --yes (it cannot be undone)")
            click.echo(forget_in_words(answer(library, "would_forget", person=who), images=images))
            click.confirm("Forget for ever?", abort=True)
        found = answer(library, "forget", person=who, images=images)
        print_answer(found, f"forgotten: person {found['person_id']} with {counted(found['faces'], 'face')}", as_json)


@main.command()
@click.argument("decision", type=click.IntRange(1), required=False)
@library_option
@json_option
def undo(decision: int | None, library: Path, as_json: bool) -> None:
    """Take a decision back, the latest one if no number is given; `history` lists them.

    Said again, it takes back the decision before. An undo is undone by its number, which it tells, and `history` too.
    """
    with exits():
        found = answer(library, "undo", decision_id=decision)
        told = f"undone: {found['says']}"
        if gone := found["missing"]:
            told += f"\n  images of it that are gone from the library, and come back when you put them back: {gone}"
        if found["undone_by"]:
            told += f"\n  to have it again: `face-organizer undo {found['undone_by']}`"
        print_answer(found, told, as_json)


@main.command()
@library_option
@click.option("--propose", is_flag=True, help="Only show what would change; --apply applies it.")
@click.option("--apply", type=RunType(), is_flag=False, flag_value=LATEST, help="Apply the proposal that waits.")
@click.option("--dismiss", is_flag=True, help="Let the proposal that waits go, unapplied.")
@click.option(
    "--rollback",
    type=RunType(),
    is_flag=False,
    flag_value=LATEST,
    help="Take a run back, and those after it: folders and names as before. Without a number, the latest that changed"
    " anything.",
)
@json_option
def recluster(
    library: Path, propose: bool, apply: int | None, dismiss: bool, rollback: int | None, as_json: bool
) -> None:
    """Look at all faces again and put right what streaming got wrong. Persons keep their ids.

    What you decided (name, merge, split, reject, assign, hide) holds in every re-clustering. `runs` lists them all.
    """
    if sum((propose, apply is not None, dismiss, rollback is not None)) > 1:
        raise click.UsageError("choose one of --propose, --apply, --dismiss and --rollback")
    with exits():
        if rollback is not None:
            found = answer(library, "rollback", run_id=rollback or None)
            told = f"rolled back: run {', '.join(map(str, found['rolled_back']))}"
        elif apply is not None:
            found = answer(library, "apply", run_id=apply or None)
            told = run_in_words(found)
        elif dismiss:
            found = answer(library, "dismiss")
            told = f"dismissed: proposal {found['run_id']}; nothing has changed"
        else:
            found = answer(library, "recluster", propose=propose)
            told = run_in_words(found)
        print_answer(found, told, as_json)


def decide(library: Path, call: str, as_json: bool, **arguments: Any) -> None:
    with exits():
        found = answer(library, call, **arguments)
        told = f"decision {found['decision_id']}: {found['says']}"
        for part in found.get("persons", ()):
            told += f"\n  person {part['person_id']}: {counted(part['faces'], 'face')}"
        print_answer(found, told, as_json)


def picture_or_text(meant: str) -> str | dict[str, str]:
    """An existing file is a picture; anything else is left to whoever knows persons and faces."""
    if Path(meant).is_file():
        return picture(Path(meant))
    if "/" in meant and not Path(meant).is_dir():
        raise click.BadParameter(f"there is no file {meant} (files move with their persons; `explain` tells faces)")
    return person_text(meant)


def person_text(meant: str) -> str:
    """A folder, however it was typed, is meant by its name."""
    return Path(meant).resolve().name if "/" in meant and Path(meant).is_dir() else meant
