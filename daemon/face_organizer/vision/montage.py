"""Many small pictures in one, each with words below it.

Room:    vision (thinks)
Imports: stdlib, Pillow
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

SIDE_PX, GAP_PX, LINE_PX = 160, 12, 18
COLUMNS_MAX = 8
GROUND, EMPTY, INK, FAINT = "#ffffff", "#e6e6e6", "#1a1a1a", "#595959"
CUT = "..."
MADE_BY = "Software", "Face Organizer"
"""What a montage says of itself, and no photo does."""


@dataclass(frozen=True, slots=True)
class Tile:
    """picture: JPEG or b"" where there is none. lines: what stands below, the first one stronger."""

    picture: bytes
    lines: tuple[str, ...]


def montage(tiles: Sequence[Tile], font: str) -> bytes:
    """A PNG of the tiles in rows of at most COLUMNS_MAX. font: the path of a TrueType font. Raises OSError."""
    face = ImageFont.truetype(font, 13)
    columns = max(1, min(COLUMNS_MAX, math.ceil(math.sqrt(len(tiles)))))
    words_px = LINE_PX * max((len(tile.lines) for tile in tiles), default=0)
    across, down = SIDE_PX + GAP_PX, SIDE_PX + words_px + GAP_PX
    rows = max(1, math.ceil(len(tiles) / columns))
    sheet = Image.new("RGB", (GAP_PX + columns * across, GAP_PX + rows * down), GROUND)
    draw = ImageDraw.Draw(sheet)
    for number, tile in enumerate(tiles):
        left, top = GAP_PX + number % columns * across, GAP_PX + number // columns * down
        if tile.picture:
            _paste(sheet, tile.picture, left, top)
        else:
            draw.rectangle((left, top, left + SIDE_PX - 1, top + SIDE_PX - 1), fill=EMPTY)
        for line, text in enumerate(tile.lines):
            place = (left, top + SIDE_PX + 2 + line * LINE_PX)
            draw.text(place, _fitted(text, face), fill=FAINT if line else INK, font=face)
    png, words = io.BytesIO(), PngInfo()
    words.add_text(*MADE_BY)
    sheet.save(png, "PNG", optimize=True, pnginfo=words)
    return png.getvalue()


def _paste(sheet: Image.Image, picture: bytes, left: int, top: int) -> None:
    """In the middle of its square."""
    with Image.open(io.BytesIO(picture), formats=("JPEG",)) as opened:
        small = opened.convert("RGB")
        grow = SIDE_PX / max(small.size)
        small = small.resize((max(1, round(small.width * grow)), max(1, round(small.height * grow))))
        sheet.paste(small, (left + (SIDE_PX - small.width) // 2, top + (SIDE_PX - small.height) // 2))


def _fitted(text: str, face: ImageFont.FreeTypeFont) -> str:
    """The text, cut where it is wider than a picture."""
    text = " ".join(text.split())
    if face.getlength(text) <= SIDE_PX:
        return text
    while text and face.getlength(text + CUT) > SIDE_PX:
        text = text[:-1]
    return text + CUT
