"""Answers in words, for people.

Room:    cli (talks)
Imports: stdlib
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Any

MOVES_SHOWN = 20
SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def counted(number: int, one: str) -> str:
    """A number of things: 1 face, 2 faces."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def date_in_words(at_s: float) -> str:
    """Seconds since 1970 as people write them, where they are; "" where nobody knows."""
    return f"{datetime.fromtimestamp(at_s):%d %B %Y, %H:%M}" if at_s else ""


def size_in_words(size_bytes: float) -> str:
    return next(
        (f"{size_bytes / unit:,.1f} {name}" for unit, name in SIZES if size_bytes >= unit), f"{size_bytes} bytes"
    )


def time_in_words(seconds: float) -> str:
    """How long something lasts, or has lasted."""
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86_400)
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min" if minutes else f"{seconds:.3g} s"


def _said(key: str, value: Any) -> tuple[str, Any]:
    """What an answer calls a value, and the value, for people: its unit ends the name, and goes to the value."""
    if isinstance(value, bool):
        return key, "yes" if value else "no"
    if not isinstance(value, int | float):
        return key, value
    if key == "at_s":
        return "at", date_in_words(value)
    if key.endswith("_bytes"):
        return key.removesuffix("_bytes"), size_in_words(value)
    if key == "seconds":
        return "took", time_in_words(value)
    if key.endswith("_s") and not key.endswith("_per_s"):
        return key.removesuffix("_s"), time_in_words(value)
    return key, value


def _spoken(key: str, value: Any) -> tuple[str, Any]:
    """The same, the name in words: in flight, no face."""
    key, value = _said(key, value)
    return key.replace("_", " "), value


def run_in_words(run: dict[str, Any]) -> str:
    """A run for people: what it changes, the largest moves with an example."""
    lines = [
        f"run {run['run_id']} ({run['state']}): {run['faces']} faces, {run['persons']} persons; {run['born']} new, "
        f"{run['merged']} merged, {run['split']} split, {run['vanished']} vanished, {run['moved']} faces moved, "
        f"{run['joined']} of nobody found somebody"
    ]
    if when := date_in_words(run["at_s"]):
        lines.append(f"  {when}, {run['reason']}; it took {time_in_words(run['seconds'])}")
    if run["waits"]:
        lines.append(f"it waits: {run['waits']}")
    lines += [
        f"named person: {person['name']} {'would lose' if run['state'] == 'proposed' else 'lost'} "
        f"{person['loses']} of {person['of']} faces"
        for person in run["at_risk"]
    ]
    for move in run["moves"][:MOVES_SHOWN]:
        sides = [side["name"] if side else "nobody" for side in (move["from"], move["to"])]
        example = f", e.g. {move['examples'][0]}" if move["examples"] and move["examples"][0] else ""
        lines.append(f"  {sides[0]} -> {sides[1]}: {move['faces']} of {move['of']} faces{example}")
    if len(run["moves"]) > MOVES_SHOWN:
        lines.append(f"  and {len(run['moves']) - MOVES_SHOWN} more (--json lists them)")
    lines += [event_in_words(event) for event in run["events"][:MOVES_SHOWN]]
    if run["state"] == "proposed":
        lines.append("apply it with `face-organizer recluster --apply`")
    return "\n".join(lines)


def reembed_in_words(told: dict[str, Any]) -> str:
    """How a move of a library to another model stands."""
    beside, lines = told["beside"], [f"in use: {told['in_use']}"]
    if beside is None:
        return lines[0]
    if beside["state"] == "kept":
        lines.append(
            f"kept beside it: {beside['pack']}; `face-organizer reembed --pack {quote(beside['pack'])}` goes back,"
            " `face-organizer reembed --discard` deletes"
        )
        return "\n".join(lines)
    lines.append(
        f"{beside['pack']} ({beside['state']}): {beside['done']} of {beside['images']} images read,"
        f" {beside['by_landmarks']} faces embedded where they had been, {beside['new_faces']} found by it alone"
    )
    if beside["problem"]:
        lines.append(f"stopped: {beside['problem']}")
    if beside["paused"]:
        lines.append(f"it waits for room, and goes on by itself: {beside['paused']}")
    if beside["found"]:
        found, agree = beside["found"], beside["found"]["agreement"]
        lines.append(
            f"by it, {found['persons_then']} persons instead of {found['persons']}; pairs of faces agree with now:"
            f" precision {agree['precision']}, recall {agree['recall']}, F {agree['f']};"
            f" {found['unread_images']} images cannot be read, {found['missing_images']} are known to be gone"
        )
    if told["comparison"] is not None:
        lines.append(run_in_words(told["comparison"] | {"waits": None}).replace("run 0 (applied)", "a re-clustering"))
    if beside["waits"]:
        lines.append(f"it waits: {beside['waits']}\nswitch with `face-organizer reembed --switch`")
    return "\n".join(lines)


def forget_in_words(found: dict[str, Any], *, images: bool) -> str:
    """What forgetting somebody takes, and what it leaves. images: those that show nobody else go too."""
    own = f"{found['images']} images that show nobody else"
    lines = [
        f"{found['name']} (person {found['person_id']}): {found['faces']} faces and their embeddings, the name, and"
        f" {found['decisions']} decisions that name it will be gone for ever; this cannot be undone",
        f"{own} are DELETED from {found['folder']}/" if images else f"{own} stay in {found['folder']}/, unknown",
        f"{found['shared']} images that show others too leave {found['folder']}/ and stay with the others",
    ]
    if found["copies"]:
        lines.append(f"{found['copies']} copies of the database from older versions are deleted with it")
    return "\n".join(lines)


def event_in_words(event: dict[str, Any]) -> str:
    into = f" into person {event['into']}" if "into" in event else ""
    return f"  person {event['person_id']} {event['kind']}{into}"


def face_in_words(face: dict[str, Any]) -> str:
    lines = [
        f"face {face['face_id']} is {face['person'] or 'nobody'}: {face['because']}",
        f"  similarity {face['similarity']}, margin {face['margin']} over {face['next_person'] or 'nobody'}, "
        f"quality {face['quality']}",
    ]
    lines += [f"  decision {each['decision_id']}: {each['says']}" for each in face["decisions"]]
    for key, what in (("nearest_confirmed", "confirmed"), ("nearest", "nearest")):
        lines += [
            f"  {what}: {other['similarity']:.2f}  {other['person'] or 'nobody'}  {other['image']}"
            for other in face[key]
        ]
    return "\n".join(lines)


def question_in_words(question: dict[str, Any]) -> str:
    """A question of the review queue, and how to answer it."""
    if question["kind"] == "same":
        a, b = question["a"], question["b"]
        one, other = (f"{each['name']} ({counted(each['faces'], 'face')})" for each in (b, a))
        return (
            f"Are {one} and {other} one person?"
            f" similarity {question['similarity']:.2f}\n"
            f"    yes: merge {b['person_id']} {a['person_id']}    no: apart {b['person_id']} {a['person_id']}"
        )
    faces = " ".join(map(str, question["faces"]))
    which = f"these {len(question['faces'])} faces" if len(question["faces"]) > 1 else "this face"
    person, other = question["person"], question["other"]
    nearer = f", to {other['name']} {question['other_similarity']:.2f}" if other else ""
    return (
        f"Is {which} somebody else than {person['name']}? similarity {question['similarity']:.2f}{nearer},"
        f" e.g. {question['face']['path']}\n"
        f"    yes: reject {faces}    no: assign {faces} {person['person_id']}"
    )


def summary_in_words(summary: dict[str, Any], library: Path) -> str:
    return (
        f"{summary['images']} images with {summary['faces']} faces of {summary['persons']} persons in {library}; "
        f"{summary['outliers']} outliers, {summary['no_face']} without a face, {summary['quarantined']} unreadable, "
        f"{summary['duplicates']} duplicates; {summary['seconds']:.1f} s"
    )


def tree_in_words(library: Path) -> str:
    """Folders with what is in them, the way `tree` shows it."""
    lines = []
    for folder in sorted(path for path in library.iterdir() if path.is_dir() and not path.name.startswith(".")):
        names = sorted(path.name for path in folder.iterdir())
        lines += [f"{folder.name}/  ({len(names)})", *(f"    {name}" for name in names)]
    return "\n".join(lines)


def status_in_words(status: dict[str, Any]) -> str:
    """How a library stands; without what only says again, as a number for programs, what stands beside it."""
    devices = [{key: value for key, value in each.items() if key != "working"} for each in status["devices"]]
    return pairs_in_words(status | {"devices": devices})


def pairs_in_words(answer: dict[str, Any]) -> str:
    """A line for each key, and for each member of a list; nothing for what there is nothing of."""
    pairs = [_spoken(key, value) for key, value in answer.items()]
    width = max(len(key) for key, _ in pairs)
    lines = []
    for key, value in pairs:
        told = [_pair(each) for each in (value if isinstance(value, list | tuple) else [value])]
        for number, line in enumerate(filter(None, told)):
            lines.append(f"{'' if number else key:<{width}}  {line}")
    return "\n".join(lines)


def _pair(value: Any) -> str:
    """One value in a line; "" for what there is nothing of."""
    if not isinstance(value, dict):
        return "" if value is None else str(value)
    told = {
        key: each
        for key, each in (_spoken(*pair) for pair in value.items())
        if each not in (None, "") and not isinstance(each, dict)
    }
    return ", ".join(
        f"{key} {', '.join(map(str, each))}" if isinstance(each, list | tuple) else f"{key} {each}"
        for key, each in told.items()
        if not isinstance(each, list | tuple) or each
    )


def _in_one_line(value: Any) -> str:
    """A name may hold the end of a line; a row may not."""
    return "\\n".join(str(value).split("\n"))


def rows_in_words(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Aligned columns, never cut: paths are there to be copied."""
    cells = [
        [_said(column, 0)[0] for column in columns],
        *(
            ["" if row[column] is None else _in_one_line(_said(column, row[column])[1]) for column in columns]
            for row in rows
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )
