from dataclasses import dataclass

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_cluster import BOUND, faces_of, same_partition

from face_organizer.identity.cluster import cluster_graph
from face_organizer.identity.graph import symmetric_graph
from face_organizer.identity.incremental import Open, Persons, cluster_open


@dataclass(frozen=True)
class Gallery:
    """Faces in order of arrival, each with its nearest among the earlier ones. person_of: 0 for nobody."""

    vectors: np.ndarray
    person_of: np.ndarray
    k: int = 20

    def neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        similarities = np.where(np.tri(len(self.vectors), k=-1, dtype=bool), self.vectors @ self.vectors.T, -1)
        nearest = np.argsort(-similarities, axis=1, kind="stable")[:, : self.k]
        near = np.take_along_axis(similarities, nearest, axis=1).astype(np.float32)
        return np.where(near > -1, nearest, -1), near

    def persons(self) -> Persons:
        ids, place, sizes = np.unique(self.person_of, return_inverse=True, return_counts=True)
        sums = np.zeros((len(ids), self.vectors.shape[1]))
        np.add.at(sums, place, self.vectors)
        return Persons(ids[ids > 0], sums[ids > 0], sizes[ids > 0])

    def grown(self, new: np.ndarray, **told: object) -> np.ndarray:
        """The labels after these rows came; the faces of nobody are open too."""
        rows = np.flatnonzero(new | (self.person_of == 0))
        neighbours, near = self.neighbours()
        open_ = Open(rows, new[rows], self.vectors[rows], neighbours[rows], near[rows])
        return cluster_open(open_, self.persons(), self.person_of, similarity_min=BOUND, **told)


def mixed(sizes: list[int], *, spread: float = 0.8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The people of `faces_of` in random order."""
    vectors, who = faces_of(sizes, spread=spread, seed=seed)
    order = np.random.default_rng(seed).permutation(len(who))
    return vectors[order], who[order]


def test_new_faces_join_the_person_they_resemble_and_found_new_ones() -> None:
    vectors, who = mixed([30, 20, 12, 6])
    new = np.arange(len(who)) >= 50
    person_of = np.where(new, 0, np.array([11, 12, 13, 0])[who])  # the last one only comes now, or was nobody

    assert same_partition(Gallery(vectors, person_of).grown(new), who)


def test_two_persons_that_new_faces_bring_together_become_one() -> None:
    vectors, who = mixed([40, 20])
    new = np.arange(60) >= 50
    halves = np.where(who == 0, 5 + np.arange(60) % 2, 7)

    assert same_partition(Gallery(vectors, np.where(new, 0, halves)).grown(new), who)


def test_a_person_whom_no_new_face_touches_is_left_as_it_is_however_wrong() -> None:
    vectors, who = mixed([40, 20, 20])
    new = (np.arange(80) >= 60) & (who == 0)
    person_of = np.where(new, 0, np.where(who == 0, 5, 6))  # two people are person 6

    assert same_partition(Gallery(vectors, person_of).grown(new), np.where(who == 0, 0, 1))


def test_a_new_face_that_was_given_to_the_wrong_person_is_taken_back() -> None:
    vectors, who = mixed([30, 30])
    new = np.arange(60) >= 50
    person_of = np.where(new, 5, 5 + who)

    assert same_partition(Gallery(vectors, person_of).grown(new), who)


def test_faces_that_are_taken_back_no_longer_shape_their_person() -> None:
    vectors, who = faces_of([3, 20], spread=0.8)
    new = np.arange(23) >= 2
    person_of = np.where(new & (who == 0), 0, 5)  # two faces of one, and twenty new ones of the other

    assert same_partition(Gallery(vectors, person_of).grown(new), who)


def test_nobodys_faces_are_not_looked_at_where_nothing_new_is_near() -> None:
    vectors, who = mixed([4, 6])

    labels = Gallery(vectors, np.where(who == 0, 0, 5)).grown((who == 1) & (np.arange(10) > 6))

    assert len({*labels[who == 0].tolist()}) == 4
    assert len({*labels[who == 1].tolist()}) == 1


def test_a_face_of_nobody_that_is_not_open_is_in_no_cluster() -> None:
    vectors, _ = mixed([10])
    open_ = Open(np.array([9]), np.array([True]), vectors[[9]], np.array([[0, 1]]), np.ones((1, 2), np.float32))
    nobody = Persons(np.empty(0, np.int64), np.empty((0, 64)), np.empty(0, np.int64))

    labels = cluster_open(open_, nobody, np.zeros(10, np.int64), similarity_min=BOUND)

    assert labels[9] >= 0
    assert (labels[:9] == -1).all()


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0.5, 1.1))
def test_when_all_faces_are_new_it_is_the_same_as_clustering_everything(seed: int, spread: float) -> None:
    vectors, _ = mixed([12, 7, 5, 3, 1, 1], spread=spread, seed=seed)
    gallery = Gallery(vectors, np.zeros(len(vectors), np.int64))
    graph = symmetric_graph(np.arange(len(vectors)), *gallery.neighbours(), BOUND)

    everything = cluster_graph(graph, vectors, similarity_min=BOUND)

    assert same_partition(gallery.grown(np.ones(len(vectors), np.bool_)), everything)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
@example(99715597)  # two faces of nobody, put together by a human, and no new face near them
def test_what_a_human_said_holds_and_no_person_comes_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors, who = mixed([9, 8, 6, 4, 1], spread=float(rng.uniform(0.3, 1.2)), seed=seed % 1000)
    n = len(who)
    new = np.arange(n) >= n - 8
    person_of = np.where(new | (rng.random(n) < 0.2), 0, rng.integers(1, 8, n) * 10)
    anchor_of = np.where(rng.random(n) < 0.2, np.where(person_of > 0, person_of, 10 * rng.integers(1, 9, n)), 0)
    rejected = np.stack([rng.integers(0, n, 5), 10 * rng.integers(1, 9, 5)], axis=1)
    opposed = (person_of[rejected[:, 0]] == rejected[:, 1]) | (anchor_of[rejected[:, 0]] == rejected[:, 1])
    rejected, image_of = rejected[~opposed], rng.integers(0, 2 * n, n)

    labels = Gallery(vectors, person_of, k=6).grown(new, image_of=image_of, anchor_of=anchor_of, rejected=rejected)

    settled = (person_of > 0) & ~new
    kept = set(zip(labels[settled].tolist(), person_of[settled].tolist(), strict=True))
    assert len(kept) == len(set(person_of[settled].tolist()))
    said = anchor_of > 0
    anchors = set(zip(labels[said].tolist(), anchor_of[said].tolist(), strict=True))
    assert len(anchors) == len({label for label, _ in anchors}) == len({anchor for _, anchor in anchors})
    landed = set(zip(labels[rejected[:, 0]].tolist(), rejected[:, 1].tolist(), strict=True))
    assert not landed & anchors
    for row in np.flatnonzero(new & ~said):
        together = np.flatnonzero((labels == labels[row]) & (image_of == image_of[row]))
        assert together.tolist() == [row]
