"""The store where room is short: a small map that grows, little memory to map, a full disk (a real one, of 2 MB)."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from disks import Disks
from process import environment

from face_organizer.adapters import store as store_module
from face_organizer.adapters.gate import Gate
from face_organizer.adapters.lock import LibraryLock
from face_organizer.adapters.store import LmdbStore, fate_of, open_store
from face_organizer.errors import NoRoomError, StoreError

MIB = 1 << 20
MAP_BYTES = "int(store._env.info()['map_size'])"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[LmdbStore]:
    opened = open_store(tmp_path, "m", 4, map_size_bytes=MIB)
    yield opened
    opened.close()


def map_bytes(store: LmdbStore) -> int:
    return int(store._env.info()["map_size"])


def note(store: LmdbStore, *names: str, size_bytes: int = 10_000) -> None:
    with store.write() as txn:
        for name in names:
            txn.put_note(name, name.encode() * (size_bytes // len(name)))


def test_a_map_of_one_mebibyte_grows_with_a_thousand_images_and_nothing_is_lost(small: LmdbStore) -> None:
    for start in range(0, 1000, 10):
        note(small, *(f"{number:04}" for number in range(start, start + 10)))

    assert map_bytes(small) >= small.size_bytes() > 8 * MIB
    with small.read() as txn:
        assert all(txn.note(f"{number:04}")[:4] == f"{number:04}".encode() for number in range(1000))


def test_a_transaction_larger_than_the_map_is_undone_whole_and_can_be_done_again_at_once(small: LmdbStore) -> None:
    def write() -> None:
        with small.write() as txn:
            for number in range(300):
                txn.put_note(str(number), b"x" * 10_000)

    with pytest.raises(NoRoomError, match="must grow") as caught:
        write()
    assert caught.value.again
    with small.read() as txn:
        assert txn.note("0") == b""

    with pytest.raises(NoRoomError, match="must grow"):  # it doubles each time
        write()
    write()
    with small.read() as txn:
        assert txn.note("299") == b"x" * 10_000


def test_the_map_never_moves_under_a_reader(small: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "GROW_WITHIN_S", 0.05)
    note(small, "first")
    reading, leave = Event(), Event()
    seen: list[bytes] = []

    def read() -> None:
        with small.read() as txn:
            reading.set()
            leave.wait(30)
            seen.append(txn.note("first"))

    reader = Thread(target=read)
    reader.start()
    reading.wait(30)
    with pytest.raises(NoRoomError):
        for number in range(300):
            note(small, f"{number:04}")
    with pytest.raises(NoRoomError, match="read from") as caught:
        note(small, "later")
    assert not caught.value.again
    assert map_bytes(small) == MIB

    leave.set()
    reader.join()
    note(small, "later")

    assert seen == [b"first" * 2000]
    assert map_bytes(small) == 2 * MIB


def test_whoever_is_inside_the_gate_may_enter_again_while_somebody_waits_to_be_alone() -> None:
    gate, waiting, inside_again = Gate(), Event(), Event()
    told: list[bool] = []

    def wait() -> None:
        waiting.set()
        with gate.alone(within_s=30) as is_alone:
            told.append(is_alone and inside_again.is_set())

    other = Thread(target=wait)
    with gate.passing():
        other.start()
        waiting.wait(30)
        while not gate._is_shut:
            waiting.wait(0.001)
        with gate.passing():
            inside_again.set()
    other.join()

    assert told == [True]


def test_with_little_memory_to_map_it_opens_with_a_smaller_map_which_grows(tmp_path: Path) -> None:
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from face_organizer.adapters import store as module\n"
        "from face_organizer.adapters.growth import can_map\n"
        "module.MAP_SIZE_MIN_BYTES = 1 << 20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "assert not can_map(4 << 30)\n"
        "store = module.open_store(Path(sys.argv[1]), 'm', 4)\n"
        f"print({MAP_BYTES})\n"
        "small = module.open_store(Path(sys.argv[2]), 'm', 4, map_size_bytes=1 << 20)\n"
        "for start in range(0, 1000, 10):\n"
        "    with small.write() as txn:\n"
        "        for number in range(start, start + 10): txn.put_note(str(number), bytes(10_000))\n"
        "print(small.size_bytes())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "one"), str(tmp_path / "two")],
        env=environment() | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    opened, grown = map(int, done.stdout.split())
    assert opened == 1 << 30
    assert grown > 10_000_000


FILL = """
import sys
from pathlib import Path
from face_organizer.adapters.store import open_store
from face_organizer.errors import NoRoomError
store = open_store(Path(sys.argv[1]), "m", 4)
for size in (300_000, 40_000, 9_000, 200):
    done = 0
    try:
        while True:
            with store.write() as txn:
                for part in range(3):
                    txn.put_note(f"{size}-{done}-{part}", bytes(size))
            done += 1
    except NoRoomError as error:
        print(size, done, type(error.__cause__).__name__, error.__cause__.code, flush=True)
print("full", flush=True)
sys.stdin.readline()
with store.write() as txn:
    txn.put_note("after", bytes(300_000))
store.close()
again = open_store(Path(sys.argv[1]), "m", 4)
with again.read() as txn:
    assert txn.note("300000-0-2") == bytes(300_000) == txn.note("after")
print("good", flush=True)
"""


def test_a_full_disk_is_no_room_whether_it_says_so_or_cuts_a_write_short_and_the_same_store_goes_on(
    tmp_path: Path,
) -> None:
    disks = Disks(tmp_path / "disk")
    child = subprocess.Popen(
        [*disks.within, sys.executable, "-c", FILL, str(tmp_path / "disk")],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    lines = [line.split() for line in iter(child.stdout.readline, "full\n") if line]
    disks.resize(tmp_path / "disk", "8M")
    rest, _ = child.communicate("go on\n")
    disks.end()

    assert (rest.split(), child.returncode) == (["good"], 0)
    assert [line[0] for line in lines] == ["300000", "40000", "9000", "200"]
    codes = {int(line[3]) for line in lines}
    assert errno.EIO in codes  # LMDB's word for a write that was cut short
    assert codes <= {errno.EIO, errno.ENOSPC}


OPEN = """
import sys
from pathlib import Path
from face_organizer.adapters.lock import LibraryLock
from face_organizer.adapters.store import open_store
from face_organizer.errors import NoRoomError
lock = LibraryLock(Path(sys.argv[1]))
try:
    store = open_store(Path(sys.argv[1]) / "truth", "m", 4)
except NoRoomError as error:
    sys.exit(f"no room: {error}")
with store.read() as txn:
    print(txn.note("kept").decode())
store.close()
"""


def test_a_store_opens_on_a_full_disk_and_a_new_one_is_refused_and_can_be_begun_later(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disks = Disks(disk)

    def opened(folder: Path) -> subprocess.CompletedProcess[str]:
        command = [*disks.within, sys.executable, "-c", OPEN, str(folder)]
        return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)

    LibraryLock(disks.seen(disk) / "old").release()
    old = open_store(disks.seen(disk) / "old" / "truth", "m", 4)
    note(old, "kept", size_bytes=4)
    old.close()
    ballast = disks.fill(disk, leaving_bytes=0)

    assert opened(disk / "old").stdout == "kept\n"
    refused = opened(disk / "new")
    assert refused.returncode == 1
    assert "no room: no room " in refused.stderr
    ballast.unlink()
    assert opened(disk / "new").returncode == 0
    disks.end()


def test_an_error_of_a_disk_that_is_not_full_endangers_the_truth(tmp_path: Path) -> None:
    assert isinstance(fate_of(OSError(errno.EIO, "broken"), tmp_path), StoreError)
    assert isinstance(fate_of(OSError(errno.EROFS, "read only"), tmp_path), StoreError)
    assert isinstance(fate_of(OSError(errno.EDQUOT, "quota"), tmp_path), NoRoomError)
    assert list(tmp_path.iterdir()) == []
