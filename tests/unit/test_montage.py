"""Many small pictures in one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from face_organizer.adapters.chart import font_file
from face_organizer.vision.montage import GAP_PX, LINE_PX, SIDE_PX, Tile, montage


def picture(colour: str, size: tuple[int, int] = (200, 200)) -> bytes:
    jpeg = io.BytesIO()
    Image.new("RGB", size, colour).save(jpeg, "JPEG")
    return jpeg.getvalue()


def drawn(*tiles: Tile) -> Image.Image:
    return Image.open(io.BytesIO(montage(tiles, str(font_file()))))


def test_each_picture_lies_in_its_place_and_the_first_is_upper_left() -> None:
    sheet = drawn(Tile(picture("red"), ("a",)), Tile(picture("blue"), ("b",)), Tile(picture("lime"), ("c",)))

    across, down, middle = SIDE_PX + GAP_PX, SIDE_PX + LINE_PX + GAP_PX, GAP_PX + SIDE_PX // 2
    assert sheet.size == (GAP_PX + 2 * across, GAP_PX + 2 * down)
    found = [sheet.getpixel(place) for place in ((middle, middle), (middle + across, middle), (middle, middle + down))]
    assert np.allclose(found, [(255, 0, 0), (0, 0, 255), (0, 255, 0)], atol=4)


def test_words_stand_below_their_picture_and_stay_within_its_width() -> None:
    ends = GAP_PX + SIDE_PX
    for text in ("Zoë Łukasz Ёлка", "a name that is far too long to stand below a picture of this width", "two\nlines"):
        sheet = np.asarray(drawn(Tile(picture("red"), (text,))).convert("L"))

        below = sheet[ends : ends + LINE_PX]
        assert (below[:, GAP_PX:ends] < 100).any()
        assert (below[:, ends + 1 :] > 250).all()


@pytest.mark.parametrize("tile", [Tile(b"", ("gone",)), Tile(picture("red", (300, 20)), ())])
def test_a_picture_that_is_not_there_or_not_square_breaks_nothing(tile: Tile) -> None:
    assert drawn(tile).size[0] == 2 * GAP_PX + SIDE_PX


def test_no_picture_at_all_is_an_empty_sheet() -> None:
    assert drawn().format == "PNG"
