"""Clusters and how strongly two of them are linked."""

from __future__ import annotations

import numpy as np
import pytest

from face_organizer.identity.clusters import CENTROID_SHARE, CENTROID_SHARE_OF_ONE, Clusters, linkage


def noisy(faces: int, cosine: float, d: int = 400) -> np.ndarray:
    """Unit rows (faces, d) around the first axis, each with noise of its own. cosine: of two of them."""
    rows = np.zeros((faces, d), np.float32)
    rows[:, 0] = np.sqrt(cosine)
    rows[np.arange(faces), 1 + np.arange(faces)] = np.sqrt(1 - cosine)
    return rows


def linked(one: np.ndarray, other: np.ndarray) -> float:
    """The linkage of two clusters of unit rows."""
    sums = one.sum(axis=0), other.sum(axis=0)
    arrays = (
        sums[0] @ sums[1],
        len(one) * len(other),
        np.linalg.norm(sums[0]) * np.linalg.norm(sums[1]),
        min(len(one), len(other)),
    )
    (strength,) = linkage(*(np.array([value], np.float32) for value in arrays)).tolist()
    return float(strength)


def test_two_faces_are_linked_by_their_similarity() -> None:
    one, other = np.float32([[0.6, 0.8]]), np.float32([[1, 0]])

    assert linked(one, other) == pytest.approx(0.6, abs=1e-6)


def test_the_linkage_lies_between_average_linkage_and_the_cosine_of_the_centroids() -> None:
    one, other = noisy(8, 0.4), np.roll(noisy(8, 0.4), 100, axis=1)
    other[:, 0], other[:, 100] = other[:, 100], 0
    average = float((one @ other.T).mean())
    means = one.mean(axis=0), other.mean(axis=0)
    cosine = float(means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1]))
    share = CENTROID_SHARE + (CENTROID_SHARE_OF_ONE - CENTROID_SHARE) / 8

    assert average < linked(one, other) < cosine
    assert linked(one, other) == pytest.approx(average ** (1 - share) * cosine**share, rel=1e-4)


def test_a_face_alone_gains_more_from_a_centroid_than_a_cluster_does() -> None:
    """At the same average linkage, .4, with the same person of ten faces."""
    person = noisy(10, 0.4)
    face = np.zeros((1, 400), np.float32)
    face[0, 0], face[0, 200] = np.sqrt(0.4), np.sqrt(0.6)
    cluster = np.zeros((6, 400), np.float32)
    cluster[:, 0] = np.sqrt(0.4)
    cluster[:, 200] = np.sqrt(0.6)  # no noise of its own: as long as six faces can be

    assert (person @ face.T).mean() == pytest.approx((person @ cluster.T).mean())
    assert linked(person, face) > linked(person, cluster) + 0.05


def test_clusters_tell_the_length_of_their_sums_as_they_grow() -> None:
    vectors = np.float32([[1, 0], [0, 1], [0.6, 0.8]])
    clusters = Clusters(vectors, np.arange(3), np.ones(3, np.float32), np.zeros(3, np.bool_))

    clusters.join(np.array([1]), np.array([0]))

    assert clusters.lengths(np.array([0, 2])) == pytest.approx([np.sqrt(2), 1])
