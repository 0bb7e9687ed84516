"""A thorough search finds nearly all that an exhaustive one does, and knows by how much it falls short."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_index import NONE, SAVED, D, new_index, source_of

from face_organizer.adapters.index import FaceIndex
from face_organizer.adapters.recall import RECALL_MIN

FACES = 6000


def scattered(n: int, seed: int) -> np.ndarray:
    """Strangers all over: the worst case for lists."""
    vectors = np.random.default_rng(seed).standard_normal((n, D))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return scattered(FACES, 0)


def trained(vectors: np.ndarray, nprobe: int | None) -> FaceIndex:
    index = FaceIndex(D, flat_max_faces=1000, retrain_factor=4, nprobe=nprobe)
    index.swap(index.train(source_of(vectors), len(vectors)), *NONE)
    return index


def measured(index: FaceIndex, vectors: np.ndarray, probes: np.ndarray, *, thorough: bool) -> float:
    """The share of the true ten nearest that a search finds."""
    truth = np.argsort(-(probes @ vectors.T), axis=1)[:, :10] + 1
    found, _ = index.search(probes, 10, thorough=thorough)
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth.tolist(), found.tolist(), strict=True)]))


def sample(vectors: np.ndarray, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(1).permutation(len(vectors))[:count]
    return rows + 1, vectors[rows]


def test_a_tuned_search_finds_what_an_exhaustive_one_does_for_faces_it_never_saw(vectors: np.ndarray) -> None:
    index = trained(vectors, None)
    probes = scattered(200, 7)

    tuned = index.tune(*sample(vectors))

    assert measured(index, vectors, probes, thorough=False) < 0.95
    assert measured(index, vectors, probes, thorough=True) >= RECALL_MIN - 0.01
    assert tuned.recall >= RECALL_MIN
    assert 32 < tuned.nprobe < index._live.index.nlist


def test_before_it_is_tuned_a_thorough_search_is_exhaustive(vectors: np.ndarray) -> None:
    index = trained(vectors, None)

    assert index.needs_tuning()
    assert measured(index, vectors, scattered(50, 7), thorough=True) >= 0.999  # float16 swaps equals


def test_a_number_of_lists_that_was_asked_for_is_kept_and_what_it_finds_is_told(vectors: np.ndarray) -> None:
    index = trained(vectors, 8)

    tuned = index.tune(*sample(vectors))

    assert tuned.nprobe == 8
    assert tuned.recall == pytest.approx(measured(index, vectors, scattered(200, 7), thorough=True), abs=0.05)


def test_it_is_tuned_anew_after_training_and_when_it_has_grown_by_half(vectors: np.ndarray) -> None:
    index = trained(vectors, None)
    index.tune(*sample(vectors))
    assert not index.needs_tuning()

    index.add(np.arange(FACES + 1, FACES + 1 + FACES // 2 + 1), scattered(FACES // 2 + 1, 3))
    assert index.needs_tuning()
    index.tune(*sample(vectors))
    assert not index.needs_tuning()
    index.swap(index.train(source_of(vectors), FACES), *NONE)

    assert index.needs_tuning()
    assert not new_index().needs_tuning()


def test_what_was_found_out_is_kept_with_the_index(vectors: np.ndarray, tmp_path: Path) -> None:
    index = trained(vectors, None)
    tuned = index.tune(*sample(vectors))
    index.save(tmp_path / "faces", **SAVED)

    again = FaceIndex(D, flat_max_faces=1000, retrain_factor=4, nprobe=None)
    assert again.load(tmp_path / "faces", **SAVED) == ""

    assert again.tuned == tuned
    assert not again.needs_tuning()


def test_an_index_saved_before_there_was_tuning_is_taken_over(vectors: np.ndarray, tmp_path: Path) -> None:
    index = trained(vectors, None)
    index.save(tmp_path / "faces", **SAVED)
    sidecar = tmp_path / "faces.json"
    sidecar.write_text(sidecar.read_text().replace(', "tuned": null', ""))

    assert "tuned" not in sidecar.read_text()
    assert trained(vectors, None).load(tmp_path / "faces", **SAVED) == ""
