from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from face_organizer.adapters import schema as schema_module
from face_organizer.adapters import store as store_module
from face_organizer.adapters import transaction as transaction_module
from face_organizer.adapters.store import LmdbStore, open_store
from face_organizer.errors import StoreError
from face_organizer.records import AssignmentRecord, FaceRecord, FileRecord, PersonRecord
from face_organizer.types import FaceAttributes, Signature


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(tmp_path / "truth", "model-a", 4)
    yield opened
    opened.close()


def test_a_record_comes_back_as_it_went_in_after_reopening(tmp_path: Path) -> None:
    record = FileRecord(3, b"caf\xe9\n.jpg", b"/in/caf\xe9\n.jpg", Signature(5, 6, 7), (b"A/caf\xe9\n.jpg",), "why")
    first = open_store(tmp_path, "m", 4)
    with first.write() as txn:
        file_id = txn.new_id("files")
        txn.files.put(file_id, record)
    first.close()

    again = open_store(tmp_path, "m", 4)
    with again.read() as txn:
        assert txn.files.get(file_id) == record
        assert txn.files.get(99) is None
    again.close()


def test_an_exception_inside_a_transaction_undoes_everything(store: LmdbStore) -> None:
    with pytest.raises(ValueError, match="no"), store.write() as txn:
        txn.persons.put(txn.new_id("persons"), PersonRecord("a", "a"))
        raise ValueError("no")

    with store.read() as txn:
        assert txn.persons.count() == 0
        assert txn.last_id("persons") == 0


def test_ids_are_never_given_twice_even_after_a_delete(store: LmdbStore) -> None:
    with store.write() as txn:
        first = txn.new_id("persons")
        txn.persons.put(first, PersonRecord("a", "a"))
        txn.persons.delete(first)
        assert txn.new_id("persons") == first + 1


def test_a_reader_keeps_its_view_while_the_writer_goes_on(store: LmdbStore) -> None:
    with store.read() as before:
        import threading

        def write() -> None:
            with store.write() as txn:
                txn.put_content(b"digest", 1)

        writer = threading.Thread(target=write)
        writer.start()
        writer.join()
        assert before.image_of_content(b"digest") == 0
    with store.read() as after:
        assert after.image_of_content(b"digest") == 1


def test_vectors_come_back_in_float16_precision_in_the_order_asked_for(store: LmdbStore) -> None:
    rows = np.eye(4, dtype=np.float32) * np.float32(0.3)
    with store.write() as txn:
        for face_id in (1, 2, 3, 4):
            txn.put_face_vector(face_id, rows[face_id - 1])

    with store.read() as txn:
        assert np.allclose(txn.vectors([3, 1]), rows[[2, 0]], atol=1e-3)
        chunks = list(txn.vector_chunks(start=2, chunk=2))
        assert [ids.tolist() for ids, _ in chunks] == [[2, 3], [4]]
        with pytest.raises(StoreError, match="face 9"):
            txn.vectors([9])


def test_the_graph_comes_back_padded_and_cut_to_k(store: LmdbStore) -> None:
    with store.write() as txn:
        txn.put_neighbours(1, np.array([-1, -1]), np.array([0, 0], np.float32))
        txn.put_neighbours(2, np.array([1, 7, 5]), np.array([0.9, 0.8, 0.5], np.float32))

    with store.read() as txn:
        graph = txn.neighbours(2)

    assert graph.face_ids.tolist() == [1, 2]
    assert graph.neighbours.tolist() == [[-1, -1], [1, 7]]
    assert np.allclose(graph.similarities, [[0, 0], [0.9, 0.8]], atol=1e-3)


def test_part_of_the_graph_comes_from_a_face_on_or_for_chosen_faces(store: LmdbStore) -> None:
    with store.write() as txn:
        for face_id in (1, 2, 3):
            txn.put_neighbours(face_id, np.array([face_id + 10, 9]), np.array([0.5, 0.25], np.float32))

    with store.read() as txn:
        assert txn.neighbours(3, start=2).face_ids.tolist() == [2, 3]
        chosen = txn.neighbours_of([3, 8, 1], 1)
        assert chosen.face_ids.tolist() == [3, 8, 1]
        assert chosen.neighbours.tolist() == [[13], [-1], [11]]
        assert txn.neighbours(3, start=4).neighbours.shape == (0, 3)


def test_all_vectors_come_as_they_are_stored_from_a_face_on(store: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction_module, "RECORDS_AT_ONCE", 2)
    rows = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    with store.write() as txn:
        for face_id in range(1, 6):
            txn.put_face_vector(face_id, rows[face_id - 1])

    with store.read() as txn:
        ids, vectors = txn.vectors_from()
        assert ids.tolist() == [1, 2, 3, 4, 5]
        assert vectors.dtype == np.float16
        np.testing.assert_array_equal(vectors, rows.astype(np.float16))
        assert txn.vectors_from(4)[0].tolist() == [4, 5]
        assert txn.vectors_from(6)[1].shape == (0, 4)


def test_faces_come_as_columns_with_their_persons_and_nobody_where_none_is_written(store: LmdbStore) -> None:
    with store.write() as txn:
        for face_id in (1, 2, 4):
            txn.faces.put(face_id, FaceRecord(face_id * 10, (0.0,) * 4, (0.0,) * 10, 0.9, face_id / 4, face_id != 2))
        txn.assignments.put(2, AssignmentRecord(7, 0.5, 0.25, "joined"))

    with store.read() as txn:
        table, rest, nothing = txn.face_table(), txn.face_table(start=2), txn.face_table(start=5)

    assert table.face_ids.tolist() == [1, 2, 4]
    assert table.image_of.tolist() == [10, 20, 40]
    assert table.founder.tolist() == [True, False, True]
    assert table.quality.tolist() == [0.25, 0.5, 1.0]
    assert table.person_of.tolist() == [0, 7, 0]
    assert rest.person_of.tolist() == [7, 0]
    assert len(nothing.face_ids) == len(nothing.person_of) == 0


def test_what_a_network_told_of_a_face_is_kept_and_of_one_from_before_nothing_is_known(store: LmdbStore) -> None:
    told = FaceRecord(1, (0.0,) * 4, (0.0,) * 10, 0.9, 0.8, True, FaceAttributes("female", 34))
    before = {field: value for field, value in asdict(told).items() if field != "attributes"}
    with store.write() as txn:
        txn.faces.put(1, told)
        txn.faces.put(2, before)  # type: ignore[arg-type]  # the bytes of an older version

    with store.read() as txn:
        assert txn.faces.get(1) == told
        assert txn.faces.get(2) == replace(told, attributes=None)
        assert txn.face_table().founder.tolist() == [True, True]


def test_pending_files_are_listed_in_order_and_from_a_start(store: LmdbStore) -> None:
    with store.write() as txn:
        for file_id in (5, 2, 300):
            txn.set_pending(file_id, True)
        txn.set_pending(2, False)

    with store.read() as txn:
        assert txn.pending(10) == [5, 300]
        assert txn.pending(10, start=6) == [300]
        assert txn.pending(1) == [5]
        assert txn.pending_count() == 2


def test_long_source_paths_are_told_apart(store: LmdbStore) -> None:
    long = b"/in/" + b"x" * 3000
    with store.write() as txn:
        txn.put_source(long + b"1", 1)
        txn.put_source(long + b"2", 2)

    with store.read() as txn:
        assert (txn.file_of_source(long + b"1"), txn.file_of_source(long + b"2")) == (1, 2)


def test_another_models_store_is_refused_and_named(tmp_path: Path) -> None:
    open_store(tmp_path, "model-a", 4).close()

    with pytest.raises(StoreError, match=r"model-a, not of model-b"):
        open_store(tmp_path, "model-b", 4)


def test_a_store_of_a_newer_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_module, "SCHEMA", 99)
    open_store(tmp_path, "m", 4).close()
    monkeypatch.undo()

    with pytest.raises(StoreError, match="newer Face Organizer"):
        open_store(tmp_path, "m", 4)


def test_the_environment_is_durable_and_private(tmp_path: Path) -> None:
    store = open_store(tmp_path / "truth", "m", 4)
    flags = store._env.flags()
    store.close()

    assert flags["sync"] and flags["metasync"] and not flags["writemap"]
    assert (tmp_path / "truth").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "truth" / "data.mdb").stat().st_mode & 0o777 == 0o600


def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from face_organizer.adapters.store import open_store\n"
        "s = open_store(Path(sys.argv[1]), 'm', 4)\n"
        "with s.write() as t: t.put_note('kept', b'1')\n"
        "with s.write() as t:\n"
        "    t.put_note('lost', b'1')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    daemon = Path(store_module.__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=daemon, check=False)
    assert killed.returncode == -9

    store = open_store(tmp_path, "m", 4)
    with store.read() as txn:
        assert (txn.note("kept"), txn.note("lost")) == (b"1", b"")
    store.close()


def test_a_folder_that_cannot_be_a_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StoreError, match="file"):
        open_store(tmp_path / "file", "m", 4)
    with pytest.raises(StoreError, match="holds no store yet"):
        open_store(tmp_path / "new", "", 0)


# readers, forks, writing anew

READERS = """
import os, signal, sys
import lmdb
folder, count = sys.argv[1], int(sys.argv[2])
for _ in range(count):
    if (child := os.fork()) == 0:
        env = lmdb.open(folder, max_dbs=32, max_readers=126, lock=True)
        try:
            txn = env.begin()
        except lmdb.ReadersFullError:
            os._exit(1)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
"""


def test_after_a_commit_that_left_the_store_unusable_a_reader_is_told_so_too(store: LmdbStore, tmp_path: Path) -> None:
    """A read-only descriptor takes the place of that through which LMDB makes a commit count, and the disk refuses."""
    data = tmp_path / "truth" / "data.mdb"
    opened = [fd for fd in (int(path.name) for path in Path("/proc/self/fd").iterdir()) if is_open_at(fd, data)]
    (synced,) = (fd for fd in opened if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_DSYNC)
    read_only = os.open(data, os.O_RDONLY)
    os.dup2(read_only, synced)
    os.close(read_only)

    with pytest.raises(StoreError), store.write() as txn:
        txn.new_id("files")
    with pytest.raises(StoreError, match="cannot read the store"), store.read():
        pass


def is_open_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def kill_readers(folder: Path, count: int) -> None:
    """So many other processes read the store and are killed while they do."""
    done = subprocess.run([sys.executable, "-c", READERS, str(folder), str(count)], check=False, timeout=100)
    assert done.returncode == 0


def test_130_killed_readers_neither_stop_a_reader_nor_let_the_file_grow(tmp_path: Path) -> None:
    store = open_store(tmp_path / "truth", "m", 4)

    def rewrite_all(times: int) -> int:
        for _ in range(times):
            with store.write() as txn:
                for number in range(20):
                    txn.put_note(str(number), bytes(4000))
        return (tmp_path / "truth" / "data.mdb").stat().st_size

    before = rewrite_all(20)
    kill_readers(tmp_path / "truth", 130)
    with store.read() as txn:  # all places are taken by the dead: they are cleared, not waited for
        assert len(txn.note("1")) == 4000
    after = rewrite_all(200)
    store.close()

    assert after <= 1.2 * before, (before, after)


def test_dead_readers_keep_old_pages_alive_until_they_are_cleared(tmp_path: Path) -> None:
    store = open_store(tmp_path / "truth", "m", 4)
    kill_readers(tmp_path / "truth", 3)

    assert store.clear_dead_readers() == 3
    assert store.clear_dead_readers() == 0
    store.close()


def test_a_store_that_too_many_read_says_so_and_goes_on(tmp_path: Path) -> None:
    store = open_store(tmp_path / "truth", "m", 4)

    with ExitStack() as reading:
        for _ in range(store_module.READERS_MAX):
            reading.enter_context(store.read())
        with pytest.raises(StoreError, match="126 transactions read the store"), store.read():
            pass
        with store.write() as txn:
            txn.put_note("a", b"1")
    with store.read() as txn:
        assert txn.note("a") == b"1"
    store.close()


def test_a_store_is_refused_in_a_process_that_was_forked(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from face_organizer.adapters.store import open_store\n"
        "from face_organizer.errors import StoreError\n"
        "s = open_store(Path(sys.argv[1]), 'm', 4)\n"
        "if (child := os.fork()) == 0:\n"
        "    for enter in (s.read, s.write):\n"
        "        try:\n"
        "            with enter(): os._exit(1)\n"
        "        except StoreError as error:\n"
        "            assert 'was forked' in str(error)\n"
        "    os._exit(0)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "with s.write() as t: t.put_note('a', b'1')\n"
    )
    daemon = Path(store_module.__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=daemon, check=True, timeout=60)


def test_written_anew_a_store_holds_the_same_and_nothing_of_what_was_deleted(tmp_path: Path) -> None:
    store, rng = open_store(tmp_path / "truth", "m", 128), np.random.default_rng(0)
    vectors = rng.standard_normal((400, 128)).astype(np.float32)
    with store.write() as txn:
        for face_id, vector in enumerate(vectors, 1):
            txn.put_face_vector(face_id, vector)
            txn.put_neighbours(face_id, np.array([1, 2 + face_id % 398]), np.array([0.9, 0.8], np.float32))
        txn.put_note("kept", b"1" * 9000)
    gone = list(range(1, 401, 3))
    with store.write() as txn:
        txn.delete_vectors(gone)
    with store.read() as txn:
        ids, left = txn.vectors_from()
        edges = txn.neighbours(2)

    assert store.rewrite()

    data = (tmp_path / "truth" / "data.mdb").read_bytes()
    traces = [face_id for face_id in gone if vectors[face_id - 1].astype("<f2").tobytes() in data]
    assert traces == []
    assert vectors[1].astype("<f2").tobytes() in data
    with store.read() as txn:
        np.testing.assert_array_equal(txn.vectors_from()[0], ids)
        np.testing.assert_array_equal(txn.vectors_from()[1], left)
        np.testing.assert_array_equal(txn.neighbours(2).neighbours, edges.neighbours)
        assert not np.isin(edges.neighbours, gone).any()
        assert txn.note("kept") == b"1" * 9000
    with store.write() as txn:
        txn.put_note("later", b"2")
    store.close()
    assert sorted(path.name for path in (tmp_path / "truth").iterdir()) == ["data.mdb", "lock.mdb"]
    again = open_store(tmp_path / "truth", "m", 128)
    with again.read() as txn:
        assert txn.note("later") == b"2"
        assert txn.vectors_from()[1].shape == left.shape
    again.close()


def test_a_store_that_somebody_reads_is_not_swapped_below_him(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "ALONE_WITHIN_S", 0.05)
    store = open_store(tmp_path / "truth", "m", 4)
    with store.write() as txn:
        txn.put_note("a", b"1")

    with store.read() as txn:
        assert store.rewrite() is False
        assert txn.note("a") == b"1"
    assert store.rewrite() is True
    with store.read() as txn:
        assert txn.note("a") == b"1"
    store.close()


def test_a_file_that_was_forgotten_is_known_by_where_it_lies_and_as_it_was(store: LmdbStore) -> None:
    as_it_was, touched = Signature(5, 6, 7), Signature(5, 7, 7)
    with store.write() as txn:
        txn.put_forgotten(b"/in/a.jpg", as_it_was)
        txn.put_forgotten(b"Alice/a.jpg")

    with store.read() as txn:
        assert txn.is_forgotten(b"/in/a.jpg", as_it_was)
        assert not txn.is_forgotten(b"/in/a.jpg", touched)
        assert not txn.is_forgotten(b"/in/b.jpg", as_it_was)
        assert txn.is_forgotten(b"Alice/a.jpg")
        assert not txn.is_forgotten(b"Bob/a.jpg")


def test_another_models_tables_lie_beside_and_take_the_others_place_in_one_step(tmp_path: Path) -> None:
    from face_organizer.records import ModelRecord

    def face(txn, vector: list[float]) -> int:
        face_id = txn.new_id("faces")
        txn.faces.put(face_id, FaceRecord(1, (0, 0, 1, 1), (0,) * 10, 0.9, 0.9, True))
        txn.put_face_vector(face_id, np.array(vector, np.float32))
        txn.put_neighbours(face_id, np.array([7]), np.array([0.5], np.float32))
        return face_id

    store = open_store(tmp_path / "truth", "model-a", 4)
    with store.write() as txn:
        txn.models.put(0, ModelRecord("a", "model-a", 4, "live"))
        txn.models.put(1, ModelRecord("b", "model-b", 2, "filling"))
        txn.assignments.put(face(txn, [1, 0, 0, 0]), AssignmentRecord(3, 0.5, 0.1, "joined"))
        face(txn.beside(), [0, 1])

    with store.read() as txn:
        assert (txn.face_ids().tolist(), txn.beside().face_ids().tolist()) == ([1], [2])
        assert txn.beside().vectors([2]).shape == (1, 2)
        assert txn.beside().face_table().person_of.tolist() == [0]
        assert txn.beside().beside().face_ids().tolist() == [1]
    with pytest.raises(ValueError), store.write() as txn:
        txn.switch()
        raise ValueError
    with store.write() as txn:
        txn.switch()
        assert txn.slot == 0  # this view stays what it was
    store.close()

    store = open_store(tmp_path / "truth", "", 0)
    assert (store.fingerprint, store.dimension) == ("model-b", 2)
    with store.write() as txn:
        assert (txn.slot, txn.face_ids().tolist(), txn.neighbours(1).neighbours.tolist()) == (1, [2], [[7]])
        txn.clear_beside()
    with store.read() as txn:
        assert (txn.faces.count(), txn.beside().faces.count(), txn.models.get(0)) == (1, 0, None)
    store.close()
