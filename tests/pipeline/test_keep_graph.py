"""The graph over the real store, remade by the real finder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_gallery import Desk

from face_organizer.adapters.neighbours import neighbours_of_all
from face_organizer.pipeline import keep_graph
from face_organizer.pipeline.keep_graph import remake_graph


def edges(desk: Desk) -> dict[int, set[int]]:
    """Who is linked with whom, either way."""
    linked: dict[int, set[int]] = {}
    with desk.store.read() as txn:
        graph = txn.neighbours(20)
    for face_id, row, near in zip(graph.face_ids.tolist(), graph.neighbours, graph.similarities, strict=True):
        for other in row[(row >= 0) & (near >= keep_graph.SIMILARITY_MIN)].tolist():
            linked.setdefault(face_id, set()).add(other)
            linked.setdefault(other, set()).add(face_id)
    return linked


def test_a_graph_that_was_lost_comes_back_as_enrolment_had_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep_graph, "FACES_PER_COMMIT", 3)
    desk = Desk(tmp_path)
    for people in ((3, 4), (3,), (4,), (3, 5), (5,), (4, 3), (3,)):
        desk.drop(*people)
    before = edges(desk)
    with desk.store.write() as txn:
        for face_id in range(1, 11):
            txn.put_neighbours(face_id, np.empty(0, np.int64), np.empty(0, np.float32))
    assert edges(desk) == {}

    assert remake_graph(desk.store, neighbours_of_all, 20, lambda work: work()) == 10

    assert edges(desk) == before
    desk.store.close()


def test_an_empty_library_has_an_empty_graph(tmp_path: Path) -> None:
    desk = Desk(tmp_path)

    assert remake_graph(desk.store, neighbours_of_all, 20, lambda work: work()) == 0
    desk.store.close()
