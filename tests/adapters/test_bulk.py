"""FAISS's heavy jobs: the same result wherever they run, and a rule found by measuring where they do."""

from __future__ import annotations

import os
import signal
from typing import Any

import faiss
import numpy as np
import pytest
from support import Notes

from face_organizer.adapters import bulk as module
from face_organizer.adapters.bulk import Bulk, Rule, cards_of
from face_organizer.adapters.cards import JOBS, Job, neighbours_by_lists, on_cards
from face_organizer.adapters.centroids import centroids_of
from face_organizer.adapters.child import ChildError
from face_organizer.adapters.index import FaceIndex
from face_organizer.adapters.neighbours import neighbours_of_all

D = 32
ON_STAND_IN = Rule(start_s=0.0, on_cards_s=0.0, on_processor_s=1e-4)


@pytest.fixture
def vectors() -> np.ndarray:
    """60 people of 30 faces each, in no order."""
    rng = np.random.default_rng(0)
    people = rng.standard_normal((60, D))
    vectors = people[rng.permutation(np.repeat(np.arange(60), 30))] + 0.7 * rng.standard_normal((1800, D))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture
def all_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", 0.0)


@pytest.fixture
def told() -> Notes:
    return Notes()


def standing_in(told: Notes) -> Bulk:
    """The process of the cards for real, in which the processor stands in for a card."""
    return Bulk(lambda: ("cpu",), told)


def test_an_inverted_file_finds_the_neighbours_that_the_processors_way_finds(vectors: np.ndarray) -> None:
    image_of = np.arange(len(vectors)) // 3
    how = {"similarity_min": 0.2, "image_of": image_of, "lists_probed": 24}

    rows, similarities = neighbours_by_lists(vectors, 10, **how)

    others, near = neighbours_of_all(vectors, 10, **how)
    assert (rows.shape, rows.dtype, similarities.dtype) == (others.shape, others.dtype, near.dtype)
    np.testing.assert_allclose(similarities, near, atol=2e-3)  # all lists are looked through: only rounding differs
    assert (rows == others).mean() > 0.98
    assert not (image_of[rows] == image_of[:, None])[rows >= 0].any()


def test_it_asks_for_more_than_are_wanted_where_one_image_shows_many(vectors: np.ndarray) -> None:
    crowd = np.zeros(len(vectors), np.int64)
    crowd[900:] = np.arange(900)  # one image shows 901 faces

    rows, similarities = neighbours_by_lists(vectors, 5, similarity_min=-1.0, image_of=crowd)

    assert (rows[:900] >= 0).all() and (crowd[rows[:900]] != 0).all()
    assert (np.diff(similarities, axis=1) <= 0).all()


def test_few_faces_have_the_few_neighbours_there_are() -> None:
    rows, similarities = neighbours_by_lists(
        np.eye(3, D, dtype=np.float16), 5, similarity_min=-0.5, image_of=np.arange(3)
    )

    assert ((rows >= 0).sum(axis=1) == 2).all()
    assert (similarities[rows < 0] == -1).all()


def test_a_process_of_its_own_gives_what_this_one_would(vectors: np.ndarray, told: Notes, all_is_large: None) -> None:
    bulk = standing_in(told)
    bulk._rules.update(neighbours=ON_STAND_IN, centroids=ON_STAND_IN)
    image_of = np.arange(len(vectors))

    rows, similarities = bulk.neighbours(vectors, 7, similarity_min=0.2, image_of=image_of)
    centroids = bulk.centroids(vectors.astype(np.float32), 16, rounds=3)

    expected = neighbours_by_lists(vectors, 7, similarity_min=0.2, image_of=image_of)
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_array_equal(similarities, expected[1])
    np.testing.assert_allclose(centroids, centroids_of(vectors.astype(np.float32), 16, rounds=3), atol=1e-6)
    assert [(each["work"], each["on"]) for each in told.of("faiss_ran")] == [
        ("neighbours", "cpu"),
        ("centroids", "cpu"),
    ]


def test_both_ways_are_tried_once_and_then_the_rule_decides(
    vectors: np.ndarray, told: Notes, all_is_large: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRIED_ROWS", 500)
    bulk = standing_in(told)
    sample = vectors.astype(np.float32)

    for _ in range(2):
        bulk.centroids(sample, 20, rounds=2)

    (measured,) = told.of("faiss_measured")
    assert measured["work"] == "centroids" and measured["cards"] == "cpu"
    assert measured["start_s"] > 0.02, "a process must be started, and FAISS imported"
    rule = bulk._rules["centroids"]
    assert not rule.prefers_cards(500 * 20), "so little is never worth a start"
    assert [each["on"] for each in told.of("faiss_ran")] == ["processor"] * 2


def test_the_rule_counts_the_start_and_the_size() -> None:
    rule = Rule(start_s=3.0, on_cards_s=1e-6, on_processor_s=1e-4)

    assert not rule.prefers_cards(20_000)
    assert rule.prefers_cards(500_000)
    assert not Rule(3.0, 2e-4, 1e-4).prefers_cards(1e9), "a slow card never is"


def test_small_jobs_and_a_faiss_without_cards_start_nothing(vectors: np.ndarray, told: Notes) -> None:
    def none() -> tuple[str, ...]:
        raise AssertionError("the driver was asked for a small job")

    Bulk(none, told).neighbours(vectors, 5, similarity_min=0.2, image_of=np.arange(len(vectors)))
    Bulk(lambda: (), told).centroids(vectors.astype(np.float32), 4, rounds=1)

    assert told.lines == []


def test_a_card_that_fails_is_told_and_the_processor_does_it(
    vectors: np.ndarray, told: Notes, all_is_large: None
) -> None:
    bulk = Bulk(lambda: ("cuda:7",), told)  # no such card, or no FAISS for it
    bulk._rules["centroids"] = ON_STAND_IN

    for _ in range(2):
        centroids = bulk.centroids(vectors.astype(np.float32), 8, rounds=2)

    assert centroids.shape == (8, D)
    (failed,) = told.of("faiss_cards_failed")
    assert "process ended with 1" in failed["cause"] and failed["work"] == "centroids"
    assert [each["on"] for each in told.of("faiss_ran")] == ["processor"], "and it is not asked again"


def test_a_process_that_hangs_is_ended(
    vectors: np.ndarray, told: Notes, all_is_large: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WITHIN_S", 0.01)
    monkeypatch.setattr(module, "WITHIN_TIMES", 0.0)
    bulk = standing_in(told)
    bulk._rules["centroids"] = ON_STAND_IN

    assert bulk.centroids(vectors.astype(np.float32), 8, rounds=2).shape == (8, D)

    assert "no answer within" in told.of("faiss_cards_failed")[0]["cause"]


class Fatal:
    """Whoever takes this out of its pickle dies as FAISS does of an error of CUDA's."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.abort, ()


def test_a_process_that_dies_leaves_this_one_alive() -> None:
    with pytest.raises(ChildError, match=f"signal {signal.SIGABRT.value} ended"):
        module._on_cards(("cpu",), Job("centroids", {"sample": Fatal()}, 1.0), 60.0)


def test_an_index_trained_elsewhere_is_the_same_index(vectors: np.ndarray, told: Notes, all_is_large: None) -> None:
    bulk = standing_in(told)
    bulk._rules["centroids"] = ON_STAND_IN
    values = {"flat_max_faces": 100, "retrain_factor": 4, "nprobe": 4}
    faces = vectors.astype(np.float32)

    def source() -> Any:
        yield np.arange(1, len(faces) + 1), faces

    here, there = FaceIndex(D, **values), FaceIndex(D, **values, find_centroids=bulk.centroids)
    for index in (here, there):
        index.swap(index.train(source, len(faces)), np.empty(0, np.int64), np.empty((0, D), np.float32))

    np.testing.assert_array_equal(here.search(faces[:50], 10)[0], there.search(faces[:50], 10)[0])
    assert told.of("faiss_ran")[0]["on"] == "cpu"


def test_only_cards_that_the_networks_may_use_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)

    assert cards_of(["cuda:1", "tensorrt:0", "cuda:0", "cpu"]) == ("cuda:0", "cuda:1")
    assert cards_of(["cpu"]) == ()


def test_the_build_for_the_processor_uses_no_card() -> None:
    if hasattr(faiss, "StandardGpuResources"):
        pytest.skip("this is the build for cards")
    assert cards_of(["cuda:0"]) == ()


@pytest.mark.skipif(
    not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() == 0, reason="FAISS has no card here"
)
@pytest.mark.parametrize("name", JOBS)
def test_a_real_card_gives_what_the_processor_gives(name: str, vectors: np.ndarray) -> None:
    arguments = {
        "centroids": {"sample": vectors.astype(np.float32), "count": 16, "rounds": 5},
        "neighbours": {"vectors": vectors, "k": 10, "similarity_min": 0.2, "image_of": np.arange(len(vectors))},
    }[name]

    (given, expected) = (
        module._on_cards(("cuda:0",), Job(name, arguments, 1.0), 100.0)[1],
        JOBS[name][1](**arguments),
    )

    for one, other in zip(given, expected, strict=True):
        assert np.isclose(one, other, atol=5e-3).mean() > 0.98


def test_a_faiss_without_cards_says_so() -> None:
    with pytest.raises((RuntimeError, AttributeError), match=r"FAISS|get_num_gpus"):
        on_cards(["cuda:63"])
