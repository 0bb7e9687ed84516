from __future__ import annotations

import numpy as np

from face_organizer.types import Detection
from face_organizer.vision.again import same_faces


def face(x: float, y: float, side: float = 40) -> Detection:
    return Detection(np.array([x, y, x + side, y + side], np.float32), np.zeros((5, 2), np.float32), 0.9)


def test_a_face_is_the_one_whose_box_it_overlaps_most_and_no_other() -> None:
    known = [face(0, 0), face(100, 0), face(300, 300)]
    found = [face(103, 4), face(6, -3, 46), face(15, 10), face(600, 0)]

    assert same_faces(known, found) == [1, 0, -1]


def test_two_known_faces_never_share_one_that_was_found() -> None:
    assert same_faces([face(0, 0), face(8, 0)], [face(6, 0)]) == [-1, 0]


def test_nobody_found_is_nobody() -> None:
    assert same_faces([face(0, 0)], []) == [-1]
    assert same_faces([], [face(0, 0)]) == []
