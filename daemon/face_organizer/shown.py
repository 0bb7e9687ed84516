"""What a command was answered, as pictures: of the faces in it, from the files in which they are.

Room:    app (wires)
Imports: vision, adapters, errors
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from face_organizer.adapters.chart import font_file
from face_organizer.adapters.results import image_shown
from face_organizer.errors import ItemError
from face_organizer.vision.montage import SIDE_PX, Tile, montage
from face_organizer.vision.thumbnail import face_thumbnail, image_thumbnail

PIXELS_MAX = 200_000_000
SIZE_MAX_BYTES = 500_000_000


def montage_of(hits: Sequence[Mapping[str, Any]]) -> bytes:
    """A PNG of what a search found: each face with the person's name and the similarity."""
    tiles = []
    for hit in hits:
        if "similarity" in hit:
            lines = [hit["person"] or "nobody", f"{hit['similarity']:.2f}", Path(hit["image"]).name]
        else:
            lines = [" + ".join(hit["persons"]), Path(hit["image"]).name]
        tiles.append(Tile(picture_of(hit, SIDE_PX), tuple(lines)))
    return montage(tiles, str(font_file()))


def picture_of(row: Mapping[str, Any], side_px: int) -> bytes:
    """A JPEG of the face at row["box"] of row["image"], whose size is row["size_px"]; of the whole image where no box
    is told; b"" where the file is not there, or can be decoded no more."""
    try:
        data = image_shown(Path(row["image"]), SIZE_MAX_BYTES)
        if row.get("box"):
            return face_thumbnail(data, row["box"], tuple(row["size_px"]), side_px, PIXELS_MAX)
        return image_thumbnail(data, side_px, PIXELS_MAX)
    except (OSError, ItemError):
        return b""
