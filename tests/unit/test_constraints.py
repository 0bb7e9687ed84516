"""What a human said, and what one image says, whatever the graph looks like."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from face_organizer.identity import cluster as module
from face_organizer.identity.cluster import cluster_graph
from face_organizer.identity.graph import symmetric_graph

BOUND = 0.46
D = 16


@dataclass(frozen=True)
class Case:
    """A random gallery with everything that may be said about it."""

    graph: sparse.csr_array
    vectors: np.ndarray
    image_of: np.ndarray
    anchor_of: np.ndarray
    rejected: np.ndarray
    start: np.ndarray

    def clustered(self, **changed: object) -> np.ndarray:
        told = {name: getattr(self, name) for name in ("image_of", "anchor_of", "rejected", "start")}
        return cluster_graph(self.graph, self.vectors, similarity_min=BOUND, **(told | changed))


@st.composite
def cases(draw: st.DrawFn, *, n_max: int = 40, anchors: int = 4) -> Case:
    n = draw(st.integers(1, n_max))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    people = rng.standard_normal((draw(st.integers(1, 6)), D))
    vectors = people[rng.integers(0, len(people), n)] + draw(st.floats(0.1, 1.2)) * rng.standard_normal((n, D))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    anchor_of = np.where(rng.random(n) < draw(st.floats(0, 0.5)), rng.integers(1, anchors + 1, n) * 100, 0)
    start = np.where(rng.random(n) < draw(st.floats(0, 0.8)), rng.integers(0, 8, n), -1)
    rejected = np.stack([rng.integers(0, n, 6), rng.integers(1, anchors + 2, 6) * 100], axis=1)
    rejected = rejected[anchor_of[rejected[:, 0]] != rejected[:, 1]]
    image_of = rng.integers(0, draw(st.integers(1, 2 * n)), n)
    return Case(graph_of(vectors, k=draw(st.integers(1, 6))), vectors, image_of, anchor_of, rejected, start)


def graph_of(vectors: np.ndarray, k: int) -> sparse.csr_array:
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -1)
    nearest = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    near = np.take_along_axis(similarities, nearest, axis=1)
    return symmetric_graph(np.arange(len(vectors)), nearest, near, BOUND)


def anchors_in(labels: np.ndarray, anchor_of: np.ndarray) -> set[tuple[int, int]]:
    said = anchor_of > 0
    return set(zip(labels[said].tolist(), anchor_of[said].tolist(), strict=True))


def one_to_one(pairs: set[tuple[int, int]]) -> bool:
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    return one_to_one(set(zip(one.tolist(), other.tolist(), strict=True)))


@settings(max_examples=30)
@given(cases())
def test_faces_of_one_anchor_are_one_cluster_and_of_two_anchors_two(case: Case) -> None:
    assert one_to_one(anchors_in(case.clustered(), case.anchor_of))


@settings(max_examples=30)
@given(cases())
def test_a_rejected_face_never_lands_with_the_anchor(case: Case) -> None:
    labels = case.clustered()

    landed = set(zip(labels[case.rejected[:, 0]].tolist(), case.rejected[:, 1].tolist(), strict=True))
    assert not landed & anchors_in(labels, case.anchor_of)


@settings(max_examples=30)
@given(cases())
def test_two_faces_of_one_image_meet_only_where_a_human_or_the_start_says_so(case: Case) -> None:
    labels = case.clustered(start=None)

    by_cell: dict[tuple[int, int], list[int]] = {}
    for row, cell in enumerate(zip(labels.tolist(), case.image_of.tolist(), strict=True)):
        by_cell.setdefault(cell, []).append(int(case.anchor_of[row]))
    assert all(len(met) == 1 or (len(set(met)) == 1 and met[0] > 0) for met in by_cell.values())


@settings(max_examples=30)
@given(cases())
def test_a_start_about_which_nobody_complains_stays_together(case: Case) -> None:
    labels = case.clustered(anchor_of=None, rejected=None)

    started = case.start >= 0
    pairs = set(zip(labels[started].tolist(), case.start[started].tolist(), strict=True))
    assert len(pairs) == len(set(case.start[started].tolist()))


def test_the_order_of_the_rows_does_not_matter_where_it_breaks_no_tie() -> None:
    rng = np.random.default_rng(5)
    who = np.repeat(np.arange(6), 12)
    vectors = rng.standard_normal((6, D))[who] + 0.7 * rng.standard_normal((72, D))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    anchor_of = np.where(rng.random(72) < 0.2, who % 4 + 1, 0)  # persons 4 and 5 are also 0 and 1, says a human
    start = np.where(rng.random(72) < 0.3, who, -1)
    graph, rejected = graph_of(vectors, k=6), np.array([[30, 1], [31, 2]])
    told = {"similarity_min": BOUND, "anchor_of": anchor_of, "start": start, "rejected": rejected}
    labels = cluster_graph(graph, vectors, **told)

    for _ in range(5):
        order = rng.permutation(72)
        rejected = np.stack([np.argsort(order)[[30, 31]], [1, 2]], axis=1)
        told = {"anchor_of": anchor_of[order], "start": start[order], "rejected": rejected}
        shuffled = sparse.csr_array(graph[order][:, order])
        again = cluster_graph(shuffled, vectors[order], similarity_min=BOUND, **told)
        assert same_partition(labels[order], again)


@settings(max_examples=30)
@given(cases())
def test_small_batches_keep_together_what_was_tied(case: Case) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_FACES_AT_ONCE", 2)
        labels = case.clustered()

    assert one_to_one(anchors_in(labels, case.anchor_of))


@settings(max_examples=30)
@given(cases())
def test_saying_nothing_is_the_same_as_no_constraints(case: Case) -> None:
    none = np.zeros(len(case.vectors), np.int64)
    silent = {"anchor_of": none, "rejected": np.empty((0, 2), np.int64), "start": none - 1}

    np.testing.assert_array_equal(
        case.clustered(image_of=None, **silent),
        cluster_graph(case.graph, case.vectors, similarity_min=BOUND),
    )


def eye_case(n: int) -> tuple[sparse.csr_array, np.ndarray]:
    """n faces that resemble nobody."""
    return sparse.csr_array((n, n), dtype=np.float32), np.eye(n, D, dtype=np.float32)


def test_an_anchor_ties_faces_that_nothing_else_ties() -> None:
    graph, vectors = eye_case(5)

    labels = cluster_graph(graph, vectors, similarity_min=BOUND, anchor_of=np.array([7, 0, 7, 9, 0]))

    assert labels[0] == labels[2]
    assert len(set(labels.tolist())) == 4


def test_of_two_anchored_persons_one_joins_a_larger_cluster_that_both_resemble() -> None:
    vectors = np.tile(np.eye(1, D, dtype=np.float32), (9, 1))
    anchor_of = np.array([1, 1, 2, 2, 0, 0, 0, 0, 0])
    start = np.array([-1, -1, -1, -1, 5, 5, 5, 5, 5])

    labels = cluster_graph(graph_of(vectors, k=8), vectors, similarity_min=BOUND, anchor_of=anchor_of, start=start)

    assert labels[0] != labels[2]
    assert set(labels.tolist()) == {labels[0], labels[2]}


def test_a_start_follows_its_only_anchor_and_a_rejected_face_leaves_it() -> None:
    graph, vectors = eye_case(5)
    start, anchor_of = np.array([4, 4, 4, 8, 8]), np.array([30, 0, 0, 30, 0])

    labels = cluster_graph(
        graph, vectors, similarity_min=BOUND, start=start, anchor_of=anchor_of, rejected=np.array([[1, 30]])
    )

    assert len({*labels[[0, 2, 3, 4]].tolist()}) == 1
    assert labels[1] != labels[0]


def test_a_start_of_two_anchors_comes_apart_and_the_rest_of_it_stays_together() -> None:
    graph, vectors = eye_case(4)

    labels = cluster_graph(
        graph, vectors, similarity_min=BOUND, start=np.zeros(4, np.int64), anchor_of=np.array([30, 40, 0, 0])
    )

    assert labels[2] == labels[3]
    assert len(set(labels.tolist())) == 3


def test_a_cluster_to_start_from_is_judged_by_its_mean_and_not_by_its_best_face() -> None:
    vectors = np.eye(4, D, dtype=np.float32)
    vectors[3] = 0.9 * vectors[0] + np.sqrt(1 - 0.81) * np.eye(5, D, dtype=np.float32)[4]
    graph = graph_of(vectors, k=3)
    assert cluster_graph(graph, vectors, similarity_min=BOUND)[3] == 0

    labels = cluster_graph(graph, vectors, similarity_min=BOUND, start=np.array([0, 0, 0, -1]))

    assert labels[0] != labels[3]


def test_a_face_rejected_from_its_own_anchor_is_refused() -> None:
    graph, vectors = eye_case(2)

    with pytest.raises(AssertionError, match="both anchored to and rejected from"):
        cluster_graph(
            graph, vectors, similarity_min=BOUND, anchor_of=np.array([3, 0]), rejected=np.array([[1, 3], [0, 3]])
        )
