"""Persons on a plane."""

from __future__ import annotations

import numpy as np
import pytest
from test_cluster import faces_of

from face_organizer.identity.layout import layout


def test_who_looks_alike_lies_closer_together_than_others() -> None:
    vectors, who = faces_of([30] * 5)

    places = layout(vectors)

    away = np.linalg.norm(places[:, None] - places[None], axis=2)
    same = who[:, None] == who[None]
    assert np.median(away[same]) < 0.3 * np.median(away[~same])


def test_the_same_persons_lie_at_the_same_places_within_the_picture() -> None:
    vectors, _ = faces_of([3] * 40)

    places = layout(vectors)

    assert np.array_equal(places, layout(vectors))
    assert np.abs(places).max() == pytest.approx(1)


def test_who_had_a_place_stays_about_there_when_somebody_new_comes() -> None:
    vectors, _ = faces_of([1] * 60)
    before = layout(vectors[:59])
    start = np.vstack([before, [[np.nan, np.nan]]]).astype(np.float32)

    after = layout(vectors, start)

    assert np.median(np.linalg.norm(after[:59] - before, axis=1)) < 0.15
    assert np.array_equal(layout(vectors[:59], before), before)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_few_persons_have_places_too(count: int) -> None:
    vectors, _ = faces_of([1] * max(count, 1))

    places = layout(vectors[:count])

    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert len(np.unique(places, axis=0)) == count
