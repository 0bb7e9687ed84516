import numpy as np

from face_organizer.identity.graph import symmetric_graph


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


def test_no_faces_make_an_empty_graph():
    graph = symmetric_graph(np.empty(0, np.int64), np.empty((0, 20), np.int64), np.empty((0, 20), np.float32), 0.5)

    assert graph.shape == (0, 0)
