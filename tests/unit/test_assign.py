import numpy as np
import pytest

from face_organizer.identity.assign import assign_image, founders, nearest
from face_organizer.types import NOBODY

AXES = np.eye(4, dtype=np.float32)
IDS = np.array([11, 22, 33])


def towards(*weights: float) -> np.ndarray:
    """A unit vector with these similarities to the first axes; the rest goes along the last axis."""
    rest = np.sqrt(max(0.0, 1 - sum(w * w for w in weights)))
    return np.array([*weights, *[0.0] * (3 - len(weights)), rest], np.float32)


def assigned(faces: list[np.ndarray], similarity_min: float = 0.5) -> list[tuple[int, str]]:
    found = assign_image(np.stack(faces), IDS, AXES[:3], similarity_min)
    return [(a.person_id, a.reason) for a in found]


def test_nearest_gives_row_similarity_and_margin():
    row, similarity, margin = nearest(np.stack([towards(0.3, 0.8), towards(0.6, 0.1)]), AXES[:3])

    assert row.tolist() == [1, 0]
    np.testing.assert_allclose(similarity, [0.8, 0.6], atol=1e-6)
    np.testing.assert_allclose(margin, [0.5, 0.5], atol=1e-6)


def test_the_margin_of_an_only_person_is_its_similarity():
    _, similarity, margin = nearest(towards(0.7)[None], AXES[:1])

    assert margin == pytest.approx(similarity)


def test_many_probes_are_answered_as_each_alone():
    probes = np.random.default_rng(0).standard_normal((5000, 4)).astype(np.float32)

    row, similarity, _ = nearest(probes, AXES[:3])

    np.testing.assert_array_equal(row, (probes @ AXES[:3].T).argmax(axis=1))
    np.testing.assert_allclose(similarity, probes[:, :3].max(axis=1))


def test_a_face_joins_the_nearest_person_and_tells_the_margin():
    (found,) = assign_image(towards(0.2, 0.9)[None], IDS, AXES[:3], 0.5)

    assert (found.person_id, found.reason) == (22, "joined")
    assert found.similarity == pytest.approx(0.9)
    assert found.margin == pytest.approx(0.7)


def test_a_face_exactly_at_the_bound_joins():
    assert assigned([towards(0.5)]) == [(11, "joined")]


def test_a_face_below_the_bound_is_nobodys_and_tells_how_near_it_came():
    (found,) = assign_image(towards(0.4)[None], IDS, AXES[:3], 0.5)

    assert (found.person_id, found.reason) == (NOBODY, "below_bound")
    assert found.similarity == pytest.approx(0.4)


def test_two_faces_of_one_image_never_become_one_person():
    assert assigned([towards(0.8), towards(0.9)]) == [(NOBODY, "taken_by_another_face"), (11, "joined")]


def test_a_face_whose_person_is_taken_goes_to_another_one_above_the_bound():
    assert assigned([towards(0.7, 0.6), towards(0.9)]) == [(22, "joined"), (11, "joined")]


def test_a_sure_face_is_not_given_away_to_let_two_doubtful_ones_in():
    assert assigned([towards(0.84, 0.51), towards(0.52)]) == [(11, "joined"), (NOBODY, "taken_by_another_face")]


def test_while_there_is_no_person_every_face_waits():
    nobody = assign_image(AXES[:2], np.empty(0, np.int64), np.empty((0, 4), np.float32), 0.5)

    assert [(a.person_id, a.reason) for a in nobody] == [(NOBODY, "no_person_yet")] * 2


def test_an_image_without_faces_needs_no_assignment():
    assert assign_image(np.empty((0, 4), np.float32), IDS, AXES[:3], 0.5) == []


def founded(
    similarities: list[float], images: list[int], *, taken: tuple[int, ...] = (), faces_min: int = 3, ids: object = None
) -> tuple[int, ...]:
    face_ids = np.arange(100, 100 + len(similarities)) if ids is None else np.array(ids)
    return founders(
        face_ids,
        np.array(similarities, np.float32),
        ~np.isin(face_ids, taken),
        np.array(images),
        image_id=1,
        similarity_min=0.5,
        faces_min=faces_min,
    )


def test_a_person_is_born_when_enough_faces_agree():
    assert founded([0.9, 0.5, 0.2], [2, 3, 4]) == (100, 101)


def test_too_few_agreeing_faces_found_nobody():
    assert founded([0.9, 0.4, 0.2], [2, 3, 4]) == ()


def test_faces_that_have_a_person_do_not_found_another():
    assert founded([0.9, 0.6, 0.6], [2, 3, 4], taken=(101,)) == (100, 102)
    assert founded([0.9, 0.6], [2, 3], taken=(101,)) == ()


def test_the_probes_own_image_cannot_agree_with_it():
    assert founded([0.9, 0.6, 0.6], [1, 3, 4]) == (101, 102)


def test_of_two_faces_of_one_image_only_the_nearer_founds():
    assert founded([0.6, 0.9, 0.7], [2, 2, 3]) == (101, 102)
    assert founded([0.6, 0.9], [2, 2]) == ()


def test_absent_neighbours_found_nobody():
    assert founded([0.9, -1.0], [2, 0], ids=[100, -1], faces_min=2) == (100,)
    assert founded([0.9, 0.9], [0, 0], ids=[-1, -1], faces_min=2) == ()
