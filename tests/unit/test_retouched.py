from __future__ import annotations

import numpy as np
from pictures import draw_face

from face_organizer.identity.retouched import is_same_picture
from face_organizer.types import UInt8
from face_organizer.vision.look import look


def portrait(centre_x: float = 90.0) -> UInt8:
    picture = (
        np.random.default_rng(1).integers(0, 255, (6, 8, 3)).astype(np.uint8).repeat(40, axis=0).repeat(40, axis=1)
    )
    draw_face(picture, centre_x, 120.0, 1.0)
    return picture


def is_same(one: UInt8, other: UInt8) -> bool:
    return is_same_picture(look(one), one.shape[1::-1], look(other), other.shape[1::-1])


def test_brightened_or_smaller_it_is_the_same_picture() -> None:
    picture = portrait()

    assert is_same(picture, picture)
    assert is_same(picture, (picture // 2 + 60).astype(np.uint8))
    assert is_same(picture, picture[::2, ::2])


def test_turned_mirrored_cropped_or_of_somebody_else_it_is_another() -> None:
    picture = portrait()

    assert not is_same(picture, np.rot90(picture).copy())
    assert not is_same(picture, picture[:, ::-1].copy())
    assert not is_same(picture, picture[:, :200])
    assert not is_same(picture, np.roll(picture, 120, axis=1))


def test_where_no_look_is_known_the_size_must_do() -> None:
    assert is_same_picture(b"", (24, 24), bytes(16), (24, 24))
    assert not is_same_picture(b"", (24, 24), bytes(16), (48, 24))
