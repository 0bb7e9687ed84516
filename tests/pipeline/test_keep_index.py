"""The index as a view of the store: real store, real FAISS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_gallery import D, Desk

from face_organizer.adapters.index import FaceIndex
from face_organizer.pipeline.keep_index import GENERATION, IndexKeeper
from face_organizer.records import FaceRecord, ModelRecord
from face_organizer.types import Float32


class Bench:
    def __init__(self, folder: Path) -> None:
        self.desk, self.path = Desk(folder), folder / "index" / "faces.faiss"
        self.now = 0.0
        self.path.parent.mkdir(exist_ok=True)

    def enrol(self, faces: int) -> Float32:
        """Faces in the store and the index, without images."""
        with self.desk.store.write() as txn:
            first = txn.last_id("faces") + 1
            rng = np.random.default_rng(first)
            vectors = rng.normal(size=(faces, D)).astype(np.float32)
            vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
            for vector in vectors:
                face_id = txn.new_id("faces")
                txn.put_face_vector(face_id, vector)
                txn.faces.put(face_id, FACE)
        return vectors

    def open(self, flat_max_faces: int = 1000) -> tuple[FaceIndex, IndexKeeper]:
        """A fresh process: an empty index and its keeper, opened."""
        index = FaceIndex(D, flat_max_faces=flat_max_faces, retrain_factor=4, nprobe=None)
        keeper = IndexKeeper(
            self.desk.store,
            index,
            self.path,
            lambda work: work(),
            self.desk.log,
            lambda: self.now,
            save_every_s=60,
        )
        keeper.open()
        return index, keeper

    def rebuilt(self) -> int:
        return self.desk.log.events.count("index_rebuilt")


FACE = FaceRecord(1, (0, 0, 9, 9), (0,) * 10, 0.9, 0.9, founder=True)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.desk.store.close()


def finds_all(index: FaceIndex, vectors: Float32) -> bool:
    found, _ = index.search(vectors, 1)
    return found[:, 0].tolist() == list(range(1, len(vectors) + 1))


def test_a_missing_index_is_rebuilt_from_the_store(bench: Bench) -> None:
    vectors = bench.enrol(50)

    index, _ = bench.open()

    assert finds_all(index, vectors)
    assert bench.rebuilt() == 1


def test_a_saved_index_is_taken_over_and_gets_the_faces_enrolled_since(bench: Bench) -> None:
    bench.enrol(50)
    _, keeper = bench.open()
    keeper.save()
    later = bench.enrol(7)

    index, _ = bench.open()

    assert index.count == 57
    assert index.search(later, 1)[0][:, 0].tolist() == list(range(51, 58))
    assert bench.rebuilt() == 1


def test_that_it_is_made_for_another_model_is_no_cause_for_alarm(bench: Bench) -> None:
    """Of the model that the library was moved from, as the truth knows it; anybody else's is."""
    bench.enrol(50)
    index, keeper = bench.open()
    with bench.desk.store.write() as txn:
        txn.models.put(1 - txn.slot, ModelRecord("then", "model then", D, "kept"))

    for fingerprint, level in (("model then", "info"), ("some model", "warning")):
        index.save(bench.path, fingerprint=fingerprint, generation=GENERATION)
        bench.open()
        assert (bench.desk.log.events[-1], bench.desk.log.levels[-1]) == ("index_rebuilt", level)
    keeper.rebuild("asked for", is_meant=True)
    assert (bench.desk.log.events[-1], bench.desk.log.levels[-1]) == ("index_rebuilt", "info")


def test_a_damaged_file_is_never_trusted(bench: Bench) -> None:
    vectors = bench.enrol(50)
    _, keeper = bench.open()
    keeper.save()
    data = bytearray(bench.path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    bench.path.write_bytes(data)

    index, _ = bench.open()

    assert finds_all(index, vectors)
    assert bench.rebuilt() == 2


def test_an_index_that_holds_more_than_the_truth_is_rebuilt(bench: Bench) -> None:
    bench.enrol(50)
    index, keeper = bench.open()
    index.add(np.array([99]), np.eye(1, D, dtype=np.float32))
    keeper.save()

    again, _ = bench.open()

    assert again.count == 50


def test_a_grown_index_is_trained_aside_and_swapped_with_what_came_meanwhile(bench: Bench) -> None:
    vectors = bench.enrol(900)
    index, keeper = bench.open(flat_max_faces=500)
    late: list[Float32] = []

    def swap_after_more_faces(work: object) -> None:
        late.append(bench.enrol(10))
        index.add(np.arange(901, 911), late[0])
        work()  # type: ignore[operator]

    keeper._in_gallery = swap_after_more_faces

    keeper.tend()

    assert index.trained_on == 900
    assert index.count == 910
    assert finds_all(index, np.concatenate([vectors, late[0]]))
    assert bench.path.exists()
    keeper.tend()
    assert bench.desk.log.events.count("index_trained") == 1


def test_it_is_saved_when_the_last_save_is_old_and_something_changed(bench: Bench) -> None:
    bench.enrol(5)
    _, keeper = bench.open()
    keeper.tend()
    assert not bench.path.exists()

    bench.now = 61
    keeper.tend()
    assert bench.path.exists()

    bench.path.unlink()
    bench.now = 200
    keeper.tend()
    assert not bench.path.exists()


def test_a_disk_that_refuses_the_index_costs_a_warning_only(bench: Bench) -> None:
    bench.enrol(5)
    _, keeper = bench.open()
    bench.path.parent.rmdir()
    bench.path.parent.write_bytes(b"")

    keeper.save()

    assert "index_not_saved" in bench.desk.log.events


def test_a_face_that_came_while_the_index_was_being_saved_is_saved_the_next_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = bench.enrol(50)
    index, keeper = bench.open()
    save = index.save

    def slowly(*arguments: Any, **options: Any) -> None:
        save(*arguments, **options)
        index.add(np.array([51], np.int64), bench.enrol(1))

    with monkeypatch.context() as patch:
        patch.setattr(index, "save", slowly)
        keeper.save()
    keeper.save()

    again = FaceIndex(D, flat_max_faces=1000, retrain_factor=4, nprobe=64)
    assert again.load(bench.path, fingerprint=bench.desk.store.fingerprint, generation=GENERATION) == ""
    assert again.count == len(vectors) + 1


def test_a_newly_trained_index_is_saved_although_no_face_came(bench: Bench) -> None:
    bench.enrol(400)
    bench.open()[1].save()
    _, keeper = bench.open(flat_max_faces=300)

    keeper.tend()

    again, _ = bench.open(flat_max_faces=300)
    assert again.trained_on == 400


def test_a_trained_index_is_tuned_once_and_the_log_says_what_it_finds(bench: Bench) -> None:
    bench.enrol(600)
    index, keeper = bench.open(flat_max_faces=300)
    keeper.tend()  # trains

    keeper.tend()
    keeper.tend()

    told = [fields for event, fields in bench.desk.log.lines if event == "index_tuned"]
    assert [fields["recall"] for fields in told] == [index.tuned.recall]
    again, keeper = bench.open(flat_max_faces=300)
    assert again.trained_on == 600
    assert not again.needs_tuning()
