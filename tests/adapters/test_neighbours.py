from __future__ import annotations

import numpy as np
import pytest

from face_organizer.adapters import neighbours as module
from face_organizer.adapters.neighbours import neighbours_of_all


@pytest.fixture
def vectors() -> np.ndarray:
    """40 people of 30 faces each, in no order."""
    rng = np.random.default_rng(0)
    people = rng.standard_normal((40, 32))
    vectors = people[rng.permutation(np.repeat(np.arange(40), 30))] + 0.7 * rng.standard_normal((1200, 32))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def exact(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    similarities = vectors.astype(np.float32) @ vectors.astype(np.float32).T
    np.fill_diagonal(similarities, -1)
    best = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return best, np.take_along_axis(similarities, best, axis=1)


def test_few_faces_have_exactly_their_nearest(vectors: np.ndarray) -> None:
    some = vectors[:200]

    rows, similarities = neighbours_of_all(some, 5, similarity_min=-1.0)

    best, near = exact(some, 5)
    np.testing.assert_allclose(similarities, near, atol=1e-6)
    assert (rows == best).mean() > 0.99  # but for ties


def test_many_faces_have_nearly_all_of_theirs_best_first(vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FACES_PER_LIST", 40)
    monkeypatch.setattr(module, "_CELLS_AT_ONCE", 500)

    rows, similarities = neighbours_of_all(vectors, 10, similarity_min=0.2, lists_probed=8)

    best, _ = exact(vectors, 10)
    found = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows.tolist(), best.tolist(), strict=True)])
    assert found > 0.9
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert not (rows == np.arange(len(rows))[:, None]).any()
    named = vectors[rows[:, 0]].astype(np.float32)
    np.testing.assert_allclose((named * vectors.astype(np.float32)).sum(axis=1), similarities[:, 0], atol=1e-5)


def test_neighbours_below_the_bound_are_left_out(vectors: np.ndarray) -> None:
    rows, similarities = neighbours_of_all(vectors[:100], 50, similarity_min=0.5)

    _, near = exact(vectors[:100], 50)
    np.testing.assert_array_equal((rows >= 0).sum(axis=1), (near >= 0.5).sum(axis=1))
    assert (similarities[rows < 0] == -1).all()


def test_faces_of_one_image_can_be_left_out(vectors: np.ndarray) -> None:
    some, image_of = vectors[:200], np.arange(200) // 3

    rows, _ = neighbours_of_all(some, 5, similarity_min=-0.5, image_of=image_of)
    assert not (image_of[rows] == image_of[:, None]).any()


def test_no_faces_and_one_face_have_no_neighbours() -> None:
    assert neighbours_of_all(np.empty((0, 8), np.float16), 3, similarity_min=0.2)[0].shape == (0, 3)
    assert (neighbours_of_all(np.eye(1, 8, dtype=np.float32), 3, similarity_min=0.2)[0] == -1).all()
