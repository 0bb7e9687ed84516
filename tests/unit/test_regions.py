"""Regions of other programs and our faces."""

from __future__ import annotations

import numpy as np
import pytest

from face_organizer.identity.regions import as_stored, matched, overlaps, upright

FACES = np.array([[0.1, 0.1, 0.2, 0.3], [0.5, 0.1, 0.6, 0.3], [0.8, 0.6, 0.9, 0.8]], np.float32)


def test_boxes_overlap_by_what_they_share_of_both() -> None:
    one = np.array([[0, 0, 2, 2]], np.float32)

    assert overlaps(one, np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6], [0, 0, 0, 0]], np.float32)).tolist() == [
        [1.0, pytest.approx(1 / 3), 0.0, 0.0]
    ]


def test_each_region_is_one_face_and_a_larger_box_does_no_harm() -> None:
    wide = FACES + np.array([-0.03, -0.06, 0.03, 0.04], np.float32)

    assert matched(FACES, wide[[2, 0]]).tolist() == [[0, 1], [2, 0]]


def test_a_region_where_no_face_is_matches_none() -> None:
    assert matched(FACES, np.array([[0.3, 0.6, 0.4, 0.8]], np.float32)).tolist() == []
    assert matched(FACES, np.empty((0, 4), np.float32)).tolist() == []
    assert matched(np.empty((0, 4), np.float32), FACES).tolist() == []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_match_whether_told_of_the_stored_or_of_the_upright_image(orientation: int) -> None:
    whole = [[0, 0], [1, 1], [2, 2]]

    assert matched(FACES, as_stored(FACES, orientation), orientation).tolist() == whole
    assert matched(FACES, FACES, orientation).tolist() == whole


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_and_turning_back_changes_nothing(orientation: int) -> None:
    turned = as_stored(FACES, orientation)

    assert np.allclose(upright(turned, orientation), FACES, atol=1e-6)
    assert (turned[:, :2] < turned[:, 2:]).all()
    assert np.array_equal(turned, FACES) == (orientation == 1)
