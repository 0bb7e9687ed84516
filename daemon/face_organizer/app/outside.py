"""What goes out to the files of other programs and comes in from them.

Room:    app (wires)
Imports: adapters, vision, commands, identity, errors, types

Everything is asked for a page at a time, so that a library of any size goes through in the memory of one page.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from face_organizer.adapters.files import digest_at
from face_organizer.adapters.sidecars import (
    clear_staged,
    copy_with,
    exiftool,
    head_of,
    images_below,
    named_regions,
    regions_within,
    stale_sidecars,
    write_sidecar,
)
from face_organizer.adapters.tables import Format as Format
from face_organizer.adapters.tables import Kind, open_table
from face_organizer.adapters.writable import why_unwritable
from face_organizer.adapters.xmp import Region, packet, regions_in
from face_organizer.app.commands import answers_of
from face_organizer.errors import RequestError
from face_organizer.identity.regions import OVERLAP_MIN, as_stored, overlaps
from face_organizer.types import Float32
from face_organizer.vision.decode import orientation_of

Counts = dict[str, int]

FACE_COLUMNS: dict[str, Kind] = {
    "face_id": "int",
    "image_id": "int",
    "path": "text",
    "width_px": "int",
    "height_px": "int",
    "x1": "float",
    "y1": "float",
    "x2": "float",
    "y2": "float",
    "person_id": "int",
    "person": "text",
    "named": "bool",
    "confirmed": "bool",
    "similarity": "float",
    "margin": "float",
    "reason": "text",
    "quality": "float",
    "detection_score": "float",
    "founder": "bool",
    "gender": "text",
    "age": "int",
}
PERSON_COLUMNS: dict[str, Kind] = {
    "person_id": "int",
    "name": "text",
    "named": "bool",
    "hidden": "bool",
    "faces": "int",
    "images": "int",
    "cover": "int",
    "folder": "text",
}
AT_ONCE = 16
"""Images that are written into before whoever owns the library is told."""

TOLD_AT_ONCE = 200
"""Images whose regions are told in one call: what a name is given to should be seen from many images at once."""


def export_faces(library: Path, out: Path | None, kind: Format, where: Sequence[str]) -> int:
    """Every face as a row; how many there were. Raises FaceOrganizerError."""
    with answers_of(library) as asked:
        first = asked("export_faces", where=where)  # what is refused is refused before a file is begun
        with open_table(out, kind, FACE_COLUMNS) as table:
            written = 0
            for rows in _pages(asked, "export_faces", first, where=where):
                table.write(rows)
                written += len(rows)
    return written


def export_persons(library: Path, out: Path | None, kind: Format) -> int:
    """Every person as a row; how many there were. cover: the face that stands for the person."""
    with answers_of(library) as asked:
        rows = asked("crowd", everybody=True, limit=1_000_000)["people"]
        with open_table(out, kind, PERSON_COLUMNS) as table:
            table.write(rows)
    return len(rows)


def export_sidecars(library: Path) -> Counts:
    """NAME.jpg.xmp beside every image that shows a person with a name; others of ours are removed: of images that
    moved, of persons who have no name any more. Raises RequestError."""
    _refuse_unwritable(library)
    counts = dict.fromkeys(("written", "left_alone", "removed", "gone"), 0)
    kept: set[Path] = set()
    for image, text in _packets(library):
        if not image.is_file():
            counts["gone"] += 1
            continue
        kept.add(image)
        counts["written" if write_sidecar(image, text) else "left_alone"] += 1
    for path in list(stale_sidecars(library, kept)):
        path.unlink()
        counts["removed"] += 1
        with suppress(OSError):  # else it is not empty
            if path.parent != library:
                path.parent.rmdir()
    return counts


def export_copies(library: Path, folder: Path) -> Counts:
    """A copy of every image that shows a person with a name, with the regions in the file itself, below `folder` as in
    the library. The library's own files are never changed, and what is in the folder already stays as it is: a copy
    that says the same, and anything else. Raises RequestError."""
    counts = dict.fromkeys(("written", "as_they_are", "left_alone", "gone"), 0)
    for image, text in _packets(library):
        target = folder / image.relative_to(library)
        if not image.is_file():
            counts["gone"] += 1
        elif os.path.lexists(target):
            says_the_same = target.is_file() and _is_alike(regions_within(target), regions_in(text.encode()))
            counts["as_they_are" if says_the_same else "left_alone"] += 1
        else:
            copy_with(image, target, text)
            counts["written"] += 1
    return counts


def export_into_images(library: Path) -> Counts:
    """The regions into the library's own images that show a person with a name, file by file; whoever owns the library
    follows. What other programs named elsewhere in an image stays. Links are left alone: what they lead to is not the
    library's. Doing it twice changes nothing. Raises RequestError, in the end for images that could not be written."""
    _refuse_unwritable(library)
    exiftool()
    clear_staged(library)
    counts = dict.fromkeys(("written", "as_they_are", "left_alone", "gone"), 0)
    refused: list[str] = []
    with answers_of(library) as asked:
        for rows in _pages(asked, "export_regions", asked("export_regions", limit=AT_ONCE), limit=AT_ONCE):
            try:
                for row in rows:
                    _write_into(library, row, counts, refused)
            finally:
                if rows:
                    asked("follow_edits", image_ids=[row["image_id"] for row in rows])
    if refused:
        raise RequestError(f"{counts['written']} images were written, {len(refused)} could not be: {refused[0]}")
    return counts


def _refuse_unwritable(library: Path) -> None:
    if problem := why_unwritable(library):
        raise RequestError(
            f"{problem}: `face-organizer export --write-metadata FOLDER` makes copies elsewhere that have the names in"
            " them"
        )


def count_images(library: Path) -> int:
    """How many images show a person with a name."""
    with answers_of(library) as asked:
        return sum(len(rows) for rows in _pages(asked, "export_regions", asked("export_regions")))


def _write_into(library: Path, row: dict[str, Any], counts: Counts, refused: list[str]) -> None:
    """Each file of one image once, however many places link to it."""
    done: set[tuple[int, int]] = set()
    for path in (library / place for place in row["places"]):
        if path.is_symlink() or not path.is_file():
            counts["left_alone" if path.is_symlink() else "gone"] += 1
            continue
        told = path.stat()
        if (told.st_dev, told.st_ino) in done:
            continue
        done.add((told.st_dev, told.st_ino))
        there, (ours, size) = regions_within(path), _regions(row, orientation_of(head_of(path)))
        shared = overlaps(_boxes(there), _boxes(ours)).max(axis=1)
        wanted = [*ours, *(each for each, of_ours in zip(there, shared, strict=True) if of_ours < OVERLAP_MIN)]
        if _is_alike(there, wanted):
            counts["as_they_are"] += 1
            continue
        try:
            copy_with(path, path, packet(wanted, *size), library)
            counts["written"] += 1
        except RequestError as error:
            refused.append(str(error))


def _boxes(regions: Sequence[Region]) -> Float32:
    return np.array([each.box for each in regions], np.float32).reshape(-1, 4)


def _is_alike(some: Sequence[Region], others: Sequence[Region]) -> bool:
    def rounded(regions: Sequence[Region]) -> list[tuple[Any, ...]]:
        return sorted((each.name, *(round(side, 2) for side in each.box)) for each in regions)

    return rounded(some) == rounded(others)


def import_names(library: Path, paths: Sequence[Path], *, dry_run: bool) -> dict[str, Any]:
    """Names that other programs gave to faces in these files and folders, as decisions; see calls/exchange.py."""
    told: list[dict[str, Any]] = [
        {
            "digest": digest_at(image).hex(),
            "regions": [{"name": region.name, "box": list(region.box)} for region in found_in[0]],
            "turn": orientation_of(head_of(image)),
            "ours": found_in[1],
        }
        for image in images_below(list(paths))
        if (found_in := named_regions(image))[0]
    ]
    found: dict[str, Any] = {"decisions": [], "images": 0, "matched": 0, "unmatched": 0, "unknown": 0}
    with answers_of(library) as asked:
        for start in range(0, len(told), TOLD_AT_ONCE):
            part = asked("import_names", images=told[start : start + TOLD_AT_ONCE], dry_run=dry_run)
            found = {key: found[key] + part[key] for key in found}
    return found


def _packets(library: Path) -> Iterator[tuple[Path, str]]:
    """Every place of an image that shows a person with a name, and what is to be said of it there."""
    with answers_of(library) as asked:
        for rows in _pages(asked, "export_regions", asked("export_regions")):
            for row in rows:
                for place in row["places"]:
                    path = library / place
                    yield path, _packet(row, orientation_of(head_of(path)))


def _packet(row: dict[str, Any], orientation: int) -> str:
    regions, size = _regions(row, orientation)
    return packet(regions, *size)


def _regions(row: dict[str, Any], orientation: int) -> tuple[list[Region], tuple[int, int]]:
    """Regions are told of the image as it is stored, and so is its size: so does digiKam, and viewers turn them."""
    width, height = row["size_px"]
    boxes = np.array([face["box"] for face in row["faces"]], np.float32) / np.array([width, height] * 2)
    stored = np.clip(as_stored(boxes.astype(np.float32), orientation), 0, 1).tolist()
    regions = [Region(face["name"], tuple(box)) for face, box in zip(row["faces"], stored, strict=True)]
    if orientation >= 5:
        width, height = height, width
    return regions, (width, height)


def _pages(asked: Callable[..., Any], call: str, page: dict[str, Any], **arguments: Any) -> Iterator[list[Any]]:
    """The rows of a page, and of those that follow."""
    while True:
        yield page["rows"]
        if page["next"] is None:
            return
        page = asked(call, after=page["next"], **arguments)
