"""Thumbnails of faces and images: upright, cut out, no larger than asked."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from face_organizer.errors import DecodeError
from face_organizer.types import UInt8
from face_organizer.vision.thumbnail import MARGIN, face_thumbnail, image_thumbnail

RED, BLUE = (220, 30, 30), (30, 30, 220)


def photo(width: int, height: int, box: tuple[int, int, int, int], orientation: int = 1) -> bytes:
    """A blue JPEG with a red face, as the camera stored it: `box` is of the upright image."""
    upright = Image.new("RGB", (width, height), BLUE)
    upright.paste(RED, box)
    stored = {1: upright, 3: upright.rotate(180), 6: upright.rotate(90, expand=True)}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def pixels_of(jpeg: bytes) -> UInt8:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def is_red(pixel: UInt8) -> bool:
    return bool(pixel[0] > 150 and pixel[2] < 100)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_face_is_in_the_middle_with_a_margin_whichever_way_the_camera_lay(orientation: int) -> None:
    box = (600, 200, 800, 400)
    found = pixels_of(face_thumbnail(photo(1200, 900, box, orientation), box, (1200, 900), 160, 10**7))

    assert found.shape == (160, 160, 3)
    share = 1 / (1 + 2 * MARGIN)
    edge = round(160 * (1 - share) / 2)
    assert is_red(found[80, 80])
    assert is_red(found[edge + 6, edge + 6])
    assert not is_red(found[edge - 6, 80])
    assert not is_red(found[80, edge - 6])


def test_a_face_at_the_edge_is_whole_and_one_that_fills_the_image_is_the_image() -> None:
    corner = (0, 0, 100, 100)
    at_the_edge = pixels_of(face_thumbnail(photo(400, 300, corner), corner, (400, 300), 96, 10**7))
    filling = pixels_of(face_thumbnail(photo(80, 80, (0, 0, 80, 80)), (0, 0, 80, 80), (80, 80), 160, 10**7))

    assert at_the_edge.shape == (96, 96, 3)
    assert is_red(at_the_edge[1, 1])
    assert filling.shape == (80, 80, 3)  # nothing is blown up


def test_an_image_keeps_its_shape_and_stands_upright() -> None:
    found = pixels_of(image_thumbnail(photo(1200, 600, (0, 0, 600, 600), orientation=6), 320, 10**7))

    height, width = found.shape[:2]
    assert 280 <= width <= 320  # a cheap decode may miss it a little
    assert width == 2 * height
    assert is_red(found[height // 2, width // 8])
    assert not is_red(found[height // 2, -width // 8])


def test_what_cannot_be_decoded_is_refused() -> None:
    with pytest.raises(DecodeError):
        image_thumbnail(b"no image", 320, 10**7)
