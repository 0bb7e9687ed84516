"""What a command was answered, as pictures: of the faces in it, from the files in which they are.

Room:    app (wires)
Imports: vision, adapters, errors
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from face_organizer.adapters.chart import font_file
from face_organizer.adapters.results import Mark, image_shown
from face_organizer.errors import ItemError
from face_organizer.vision.montage import MADE_BY, SIDE_PX, Tile, montage
from face_organizer.vision.thumbnail import face_thumbnail, image_thumbnail

PIXELS_MAX = 200_000_000
SIZE_MAX_BYTES = 500_000_000
FACE_PX = 128
MONTAGE = Mark(b"\x89PNG\r\n", "\0".join(MADE_BY).encode())


def montage_of(hits: Sequence[Mapping[str, Any]]) -> bytes:
    """A PNG of what a search found: each face with the person's name and the similarity."""
    tiles = []
    for hit in hits:
        if "similarity" in hit:
            lines = [hit["person"] or "nobody", f"{hit['similarity']:.2f}", Path(hit["image"]).name]
        else:
            lines = [" + ".join(hit["persons"]), Path(hit["image"]).name]
        tiles.append(Tile(_picture(hit["image"], hit.get("box"), hit.get("size_px"), SIDE_PX), tuple(lines)))
    return montage(tiles, str(font_file()))


def faces_shown(rows: Iterable[Mapping[str, Any]]) -> dict[int, bytes]:
    """face id -> JPEG, of those that can be read. rows: with face_id, path, box and size_px."""
    wanted = {row["face_id"]: row for row in rows if row["path"]}
    made = {id_: _picture(row["path"], row["box"], row["size_px"], FACE_PX) for id_, row in wanted.items()}
    return {id_: picture for id_, picture in made.items() if picture}


def _picture(path: str, box: Sequence[float] | None, size_px: Sequence[int] | None, side_px: int) -> bytes:
    """A JPEG of the face at the box in an image of this size; without a box, of the whole image. b"" where the file is
    not there, or can be decoded no more."""
    try:
        data = image_shown(Path(path), SIZE_MAX_BYTES)
        if box and size_px:
            return face_thumbnail(data, box, (size_px[0], size_px[1]), side_px, PIXELS_MAX)
        return image_thumbnail(data, side_px, PIXELS_MAX)
    except (OSError, ItemError):
        return b""
