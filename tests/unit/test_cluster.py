import numpy as np
import pytest
from support import faces_of

from face_organizer.identity import cluster as module
from face_organizer.identity.cluster import cluster_graph
from face_organizer.identity.graph import symmetric_graph

BOUND = 0.46


def graph_of(vectors: np.ndarray, k: int = 20, similarity_min: float = BOUND):
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -1)
    nearest = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return symmetric_graph(
        np.arange(len(vectors)), nearest, np.take_along_axis(similarities, nearest, axis=1), similarity_min
    )


def clustered(vectors: np.ndarray, **options: object) -> np.ndarray:
    return cluster_graph(graph_of(vectors), vectors, similarity_min=BOUND, **options)


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = len(set(zip(one.tolist(), other.tolist(), strict=True)))
    return pairs == len(set(one.tolist())) == len(set(other.tolist()))


def test_people_come_out_whole_and_apart():
    vectors, who = faces_of([30, 12, 5, 2, 1, 1])

    labels = clustered(vectors)

    assert same_partition(labels, who)
    assert labels.dtype == np.int64
    assert sorted(set(labels.tolist())) == list(range(6))


def test_a_person_of_many_times_twenty_faces_stays_one_person():
    vectors, who = faces_of([1200, 40])

    assert same_partition(clustered(vectors), who)


def test_a_chain_of_resemblances_does_not_fuse_two_people():
    vectors, who = faces_of([40, 40])
    between = vectors[0] + vectors[40]
    vectors = np.vstack([vectors, between / np.linalg.norm(between)])

    labels = clustered(vectors)

    assert same_partition(labels[:80], who)


def test_two_faces_of_one_image_never_share_a_cluster():
    vectors, who = faces_of([20, 20])
    image_of = np.arange(40)
    image_of[[0, 1, 2]] = 0

    labels = clustered(vectors, image_of=image_of)

    assert len({*labels[:3].tolist()}) == 3
    assert not set(labels[who == 0].tolist()) & set(labels[who == 1].tolist())
    assert np.bincount(labels[who == 0]).max() >= 15


def test_no_two_faces_of_any_image_ever_meet_whatever_the_images():
    vectors, _ = faces_of([60, 30, 10])

    for seed in range(5):
        image_of = np.random.default_rng(seed).integers(0, 25, len(vectors))
        labels = clustered(vectors, image_of=image_of)
        assert len(set(zip(labels.tolist(), image_of.tolist(), strict=True))) == len(vectors)


def test_the_order_of_the_faces_does_not_matter():
    vectors, _ = faces_of([50, 20, 10, 5, 3, 1], spread=0.9)
    order = np.random.default_rng(3).permutation(len(vectors))

    assert same_partition(clustered(vectors)[order], clustered(vectors[order]))


def test_working_in_small_batches_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    vectors, _ = faces_of([9] * 40, spread=0.9)
    whole = clustered(vectors)

    monkeypatch.setattr(module, "_FACES_AT_ONCE", 10)

    np.testing.assert_array_equal(clustered(vectors), whole)


def test_half_precision_vectors_give_the_same_clusters():
    vectors, who = faces_of([30, 12, 5])

    assert same_partition(cluster_graph(graph_of(vectors), vectors.astype(np.float16), similarity_min=BOUND), who)


def test_no_faces_and_lonely_faces_are_fine():
    assert len(clustered(np.empty((0, 8), np.float32))) == 0
    assert sorted(clustered(np.eye(8, dtype=np.float32)).tolist()) == list(range(8))
