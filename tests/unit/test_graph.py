import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from face_organizer.identity.graph import symmetric_graph
from face_organizer.identity.links import connected


def dense(face_ids, neighbours, similarities, similarity_min=0.5):
    graph = symmetric_graph(
        np.array(face_ids), np.array(neighbours), np.array(similarities, np.float32), similarity_min
    )
    np.testing.assert_array_equal(graph.toarray(), graph.T.toarray())
    return graph.toarray()


def test_an_edge_that_one_side_names_holds_for_both():
    graph = dense([10, 20, 30], [[20], [-1], [10]], [[0.75], [-1], [0.625]])

    np.testing.assert_array_equal(graph, [[0, 0.75, 0.625], [0.75, 0, 0], [0.625, 0, 0]])


def test_where_both_sides_name_it_the_larger_similarity_holds():
    graph = dense([10, 20], [[20], [10]], [[0.75], [0.875]])

    np.testing.assert_array_equal(graph, [[0, 0.875], [0.875, 0]])


def test_edges_below_the_bound_are_left_out():
    assert not dense([10, 20], [[20], [10]], [[0.25], [0.375]]).any()


def test_unknown_faces_padding_and_the_face_itself_are_left_out():
    assert not dense([10, 20], [[10, 99, -1], [20, 5, -1]], [[1, 0.9, 0.9], [1, 0.9, 0.9]]).any()


def test_face_ids_may_come_in_any_order():
    graph = dense([30, 10, 20], [[20], [-1], [-1]], [[0.75], [0], [0]])

    np.testing.assert_array_equal(graph, [[0, 0, 0.75], [0, 0, 0], [0.75, 0, 0]])


def test_face_ids_with_large_gaps_are_found_too():
    graph = dense([5, 9_000_000, 7_000], [[9_000_000, 6], [-1, 7_000], [5, -1]], [[0.75, 1], [0, 0.625], [0, 0]])

    np.testing.assert_array_equal(graph, [[0, 0.75, 0], [0.75, 0, 0.625], [0, 0.625, 0]])


def test_no_faces_make_an_empty_graph():
    graph = symmetric_graph(np.empty(0, np.int64), np.empty((0, 20), np.int64), np.empty((0, 20), np.float32), 0.5)

    assert graph.shape == (0, 0)


@settings(max_examples=40)
@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_connected_parts_are_those_that_edges_reach(n: int, pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array([pair[side] % n for pair in pairs], np.int64) for side in (0, 1))

    parts = connected(a, b, n)

    _, truth = connected_components(sparse.coo_array((np.ones(len(a)), (a, b)), shape=(n, n)), directed=False)
    smallest = np.full(n, n)
    np.minimum.at(smallest, truth, np.arange(n))
    np.testing.assert_array_equal(parts, smallest[truth])
