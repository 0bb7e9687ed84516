import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support import wait_until

from face_organizer.adapters.index import FaceIndex

D = 32
NONE = np.empty(0, np.int64), np.empty((0, D), np.float32)
SAVED = {"fingerprint": "sface-1", "generation": 3}


def gallery(n: int, *, people: int = 60, seed: int = 0) -> np.ndarray:
    """Embeddings of people, clustered as faces are."""
    centres = np.random.default_rng(99).standard_normal((people, D))
    rng = np.random.default_rng(seed)
    vectors = centres[rng.integers(0, people, n)] + 0.7 * rng.standard_normal((n, D))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def new_index(flat_max_faces: int = 1000, **options: object) -> FaceIndex:
    return FaceIndex(D, flat_max_faces=flat_max_faces, retrain_factor=4, nprobe=8, **options)


def filled(vectors: np.ndarray, first_id: int = 1, **options: object) -> FaceIndex:
    index = new_index(**options)
    index.add(np.arange(first_id, first_id + len(vectors)), vectors)
    return index


def source_of(vectors: np.ndarray, first_id: int = 1):
    def chunks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(vectors), 700):
            part = vectors[start : start + 700]
            yield np.arange(first_id + start, first_id + start + len(part)), part

    return chunks


def test_a_face_added_is_found_at_once():
    vectors = gallery(50)
    index = filled(vectors, first_id=10)

    face_ids, similarities = index.search(vectors[7:8], 3)

    assert face_ids[0, 0] == 17
    assert similarities[0, 0] == pytest.approx(1.0, abs=1e-5)
    assert (face_ids.shape, face_ids.dtype, similarities.dtype) == ((1, 3), np.int64, np.float32)
    assert index.count == 50
    assert index.last_face_id == 59


def test_where_there_are_fewer_faces_than_asked_for_the_rest_is_minus_one():
    vectors = gallery(2)

    face_ids, similarities = filled(vectors).search(vectors[:1], 5)
    empty_ids, _ = new_index().search(vectors, 4)

    assert face_ids[0, 2:].tolist() == [-1, -1, -1]
    assert similarities[0, 2:].tolist() == [-1, -1, -1]
    assert (empty_ids == -1).all()
    assert empty_ids.shape == (2, 4)


def test_training_is_due_past_the_flat_bound_and_again_after_growth_by_the_factor():
    vectors = gallery(5000)
    index = filled(vectors[:1000])
    assert not index.needs_training()

    index.add(np.arange(1001, 1002), vectors[1000:1001])
    assert index.needs_training()

    index.swap(index.train(source_of(vectors[:1001]), 1001), *NONE)
    assert not index.needs_training()
    assert index.trained_on == 1001

    index.add(np.arange(1002, 4006), vectors[1001:4005])
    assert index.needs_training()


def test_training_aside_leaves_the_live_index_alone_and_the_swap_brings_the_latecomers():
    vectors = gallery(1300)
    index = filled(vectors[:1200])

    trained = index.train(source_of(vectors[:1200]), 1200)
    index.add(np.arange(1201, 1301), vectors[1200:])
    assert index.trained_on == 0
    assert trained.last_face_id == 1200
    index.swap(trained, np.arange(1201, 1301), vectors[1200:])

    assert (index.count, index.trained_on, index.last_face_id) == (1300, 1200, 1300)
    face_ids, _ = index.search(vectors, 1)
    np.testing.assert_array_equal(face_ids[:, 0], np.arange(1, 1301))


def test_the_inverted_file_finds_what_the_exact_index_finds():
    vectors = gallery(8000)
    exact = filled(vectors)
    inverted = new_index()
    inverted.swap(inverted.train(source_of(vectors), len(vectors)), *NONE)
    probes = gallery(300, seed=1)

    wanted, _ = exact.search(probes, 10)
    found, _ = inverted.search(probes, 10)

    recall = np.mean([len(set(w) & set(f)) / 10 for w, f in zip(wanted.tolist(), found.tolist(), strict=True)])
    assert recall >= 0.95


def test_the_training_sample_is_drawn_from_the_whole_source(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("face_organizer.adapters.index._POINTS_PER_LIST", 4)
    vectors = np.zeros((2000, D), np.float32)
    vectors[:1000, 0] = 1
    vectors[1000:, 1] = 1
    vectors += gallery(2000) * 0.01
    index = new_index()

    trained = index.train(source_of(vectors), 2000)
    index.swap(trained, *NONE)

    sizes = [trained.index.invlists.list_size(number) for number in range(trained.index.nlist)]
    assert max(sizes) < 500


def test_searches_beside_fifty_swaps_always_see_one_generation():
    vectors = gallery(400)
    index = filled(vectors, first_id=1)
    generations = [index.train(source_of(vectors, first_id=1000 * turn), 400) for turn in range(1, 6)]
    stop, searched, mixed = threading.Event(), [0, 0], []

    def search(worker: int) -> None:
        while not stop.is_set():
            face_ids, _ = index.search(vectors[:8], 4)
            if len(np.unique(face_ids // 1000)) != 1 or (face_ids < 0).any():
                mixed.append(face_ids)
            searched[worker] += 1

    threads = [threading.Thread(target=search, args=(worker,)) for worker in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(50):
        before = min(searched)
        index.swap(generations[turn % 5], *NONE)
        wait_until(lambda: min(searched) > before)  # noqa: B023 - called before the next turn
    stop.set()
    for thread in threads:
        thread.join()

    assert not mixed


def test_faces_are_added_while_others_search():
    vectors = gallery(3000)
    index = filled(vectors[:100])
    stop, wrong, searches = threading.Event(), [], [0]

    def search() -> None:
        while not stop.is_set():
            face_ids, _ = index.search(vectors[:50], 1)
            if face_ids[:, 0].tolist() != list(range(1, 51)):
                wrong.append(face_ids)
            searches[0] += 1

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for start in range(100, 3000, 10):
        index.add(np.arange(start + 1, start + 11), vectors[start : start + 10])
    wait_until(lambda: searches[0] > 0)
    stop.set()
    for thread in threads:
        thread.join()

    assert not wrong
    assert index.count == 3000


@pytest.mark.parametrize("inverted", [False, True])
def test_what_was_saved_comes_back(tmp_path: Path, inverted: bool):
    vectors = gallery(1200)
    index = filled(vectors)
    if inverted:
        index.swap(index.train(source_of(vectors), 1200), *NONE)
    index.save(tmp_path / "faces.index", **SAVED)

    again = new_index()
    problem = again.load(tmp_path / "faces.index", **SAVED)

    assert problem == ""
    assert (again.count, again.trained_on, again.last_face_id) == (1200, 1200 if inverted else 0, 1200)
    for one, other in zip(again.search(vectors[:20], 5), index.search(vectors[:20], 5), strict=True):
        np.testing.assert_array_equal(one, other)
    again.add(np.array([5000]), gallery(1, seed=9))
    assert again.search(gallery(1, seed=9), 1)[0].tolist() == [[5000]]


def test_a_cleared_index_is_empty_and_exact_again():
    vectors = gallery(1200)
    index = filled(vectors)
    index.swap(index.train(source_of(vectors), 1200), *NONE)

    index.clear()

    assert (index.count, index.trained_on, index.last_face_id) == (0, 0, 0)
    index.add(np.array([3]), vectors[:1])
    assert index.search(vectors[:1], 1)[0].tolist() == [[3]]


def test_saving_twice_leaves_two_files_and_the_newer_state(tmp_path: Path):
    index = filled(gallery(20))
    index.save(tmp_path / "faces.index", **SAVED)
    index.add(np.array([21]), gallery(1, seed=2))
    index.save(tmp_path / "faces.index", **SAVED)

    again = new_index()

    assert again.load(tmp_path / "faces.index", **SAVED) == ""
    assert again.count == 21
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces.index", "faces.index.json"]


def zeroed(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(4096) + data[middle + 4096 :]


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: data[:50], lambda data: data[:-1], zeroed, lambda data: data + b"\0"],
    ids=["empty", "first 50 bytes", "last byte missing", "4 KiB of zeros in the middle", "one byte more"],
)
def test_a_damaged_file_is_refused_and_the_index_stays_as_it_was(tmp_path: Path, damage):
    path = tmp_path / "faces.index"
    filled(gallery(500)).save(path, **SAVED)
    path.write_bytes(damage(path.read_bytes()))
    index = filled(gallery(5))

    assert "not the one its sidecar was written for" in index.load(path, **SAVED)
    assert index.count == 5


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"generation": 2}, "saved for generation 2, not 3"),
        ({"fingerprint": "buffalo_l"}, "saved for fingerprint buffalo_l, not sface-1"),
        ({"d": 512}, "saved for d 512, not 32"),
        ({"ntotal": 499}, "holds 500 faces of 32 dimensions, not 499"),
        ({"surprise": 1}, "not one of ours"),
    ],
)
def test_an_index_of_another_time_or_model_is_refused(tmp_path: Path, changes: dict[str, object], reason: str):
    path = tmp_path / "faces.index"
    filled(gallery(500)).save(path, **SAVED)
    rewrite(tmp_path / "faces.index.json", **changes)

    assert reason in new_index().load(path, **SAVED)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": 1}', "\x00"])
def test_a_torn_sidecar_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "faces.index"
    filled(gallery(50)).save(path, **SAVED)
    (tmp_path / "faces.index.json").write_text(text)

    assert new_index().load(path, **SAVED) != ""


@pytest.mark.parametrize("lost", ["faces.index", "faces.index.json"])
def test_a_missing_half_is_refused(tmp_path: Path, lost: str):
    path = tmp_path / "faces.index"
    filled(gallery(50)).save(path, **SAVED)
    (tmp_path / lost).unlink()

    assert "cannot be read" in new_index().load(path, **SAVED)


def test_a_crash_between_the_two_renames_is_noticed(tmp_path: Path):
    path = tmp_path / "faces.index"
    filled(gallery(50)).save(path, **SAVED)
    old_sidecar = (tmp_path / "faces.index.json").read_text()
    filled(gallery(60)).save(path, **SAVED)
    (tmp_path / "faces.index.json").write_text(old_sidecar)

    assert new_index().load(path, **SAVED) != ""
