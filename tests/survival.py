"""What must be true of a library after its process died, at once and after an undisturbed start; and the nest of such
processes (mortal.py).

A library is compared with one that was never disturbed by what it says of whom (`sorting_of`: which faces are one
person, whatever that one is called, and in how many places each file lies), or to the last name (`library_of`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from process import environment

from face_organizer.adapters.index import FaceIndex
from face_organizer.adapters.library import Folders
from face_organizer.adapters.store import LmdbStore, open_store
from face_organizer.adapters.transaction import StoreTransaction
from face_organizer.config import STATE_FOLDER
from face_organizer.errors import StoreError
from face_organizer.pipeline.contradictions import contradictions
from face_organizer.pipeline.keep_index import GENERATION

TRAILER = b"original path: "
NESTS = 3
PLACEMENTS = ("move", "hardlink", "symlink", "copy")
SETTINGS = """
[watch]
settle_s = 0.02
[faces]
threads = 1
[index]
save_every_s = 0
flat_max_faces = 4
[flow]
commit_batch_max = 3
batch_max = 4
"""
"""Small batches: many transactions for few images. The index is trained early, and saved whenever it has changed."""
Tree = dict[str, bytes]
T = TypeVar("T")


class Nest:
    """Runs the program in processes forked from one that has done the imports; see mortal.py. painted: without its
    networks, see numbered.py. within: a command that runs them (see mounts.py)."""

    def __init__(self, folder: Path, *, painted: bool = False, within: Sequence[str] = ()) -> None:
        self._folder, self._painted = folder, painted
        self._number = 0
        script = Path(__file__).with_name("mortal.py")
        self._process = subprocess.Popen(
            [*within, sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment() | {"OMP_NUM_THREADS": "1"},
        )

    def run(
        self,
        *arguments: str | Path,
        arm: Mapping[str, Any] | None = None,
        count: bool = False,
        painted: bool = False,
        within_s: float = 100.0,
    ) -> Ended:
        """A command to its end, or to the moment that arm (the arguments of mortal.arm but `told`) names.
        painted: this time, too."""
        self._number += 1
        out, err, told, counted = (
            self._folder / f"{self._number}.{name}" for name in ("out", "err", "told", "counted")
        )
        job: dict[str, Any] = {"arguments": list(map(str, arguments)), "within_s": within_s}
        job |= {"out": str(out), "err": str(err), "count": str(counted) if count else ""}
        job |= {"painted": self._painted or painted}
        job |= {"arm": {**arm, "told": str(told)} if arm else None}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        code = json.loads(self._process.stdout.readline())["code"]
        counts = Counter(json.loads(counted.read_text())) if counted.exists() else Counter[str]()
        return Ended(code, told.exists(), out.read_text(errors="replace"), err.read_text(errors="replace"), counts)

    def close(self) -> None:
        self._process.communicate()


def side_by_side(nests: Sequence[Nest], jobs: Sequence[Callable[[Nest], T]]) -> list[T]:
    """The answers of all jobs, in their order; each nest does one at a time. Most of a job is waiting for a disk or a
    network to be read, so that two cores serve three. Raises what went wrong, all of it."""
    waiting, taking = iter(list(enumerate(jobs))), Lock()
    answers: dict[int, T] = {}
    wrong: list[Exception] = []

    def work(nest: Nest) -> None:
        while True:
            with taking:
                number, job = next(waiting, (-1, None))
            if job is None:
                return
            try:
                answers[number] = job(nest)
            except Exception as error:  # the others may still show more
                wrong.append(error)

    with ThreadPoolExecutor(len(nests)) as pool:
        for done in [pool.submit(work, nest) for nest in nests]:
            done.result()
    if wrong:
        raise ExceptionGroup(f"{len(wrong)} of {len(jobs)} went wrong", wrong)
    return [answers[number] for number in range(len(jobs))]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended. happened: its armed step was met."""

    code: int
    happened: bool
    out: str
    err: str
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class World:
    """An inbox and a library. dropped: what ever was dropped, by its path in the inbox; the names are unique."""

    inbox: Path
    library: Path
    placement: str
    dropped: Mapping[str, bytes] = field(repr=False)

    def drop(self) -> None:
        for name, content in self.dropped.items():
            (self.inbox / name).parent.mkdir(parents=True, exist_ok=True)
            (self.inbox / name).write_bytes(content)
        self.library.mkdir(parents=True, exist_ok=True)

    @property
    def arguments(self) -> list[str | Path]:
        return ["--inbox", self.inbox, "--library", self.library, "--placement", self.placement]

    def run_once(self, config: Path) -> list[str | Path]:
        return ["run", "--once", "--json", "--config", config, *self.arguments]


def another(world: World, folder: Path) -> World:
    """A world with a library of its own to lose: the pictures are hard links, which no run writes to. In the inbox
    either nothing is left or nothing is ever changed."""

    def copy(source: str, target: str) -> None:
        (shutil.copy2 if STATE_FOLDER in Path(source).parts else os.link)(source, target)

    shutil.copytree(world.library, folder / "library", symlinks=True, copy_function=copy)
    return replace(world, library=folder / "library")


# at once


def assert_nothing_is_lost_or_torn(world: World) -> None:
    """Whatever the moment of death was: every content is somewhere, whole; what has a final name is whole; and truth
    can be read, with no face twice."""
    known = {content: name for name, content in world.dropped.items()}
    shown: set[bytes] = set()
    for folder in (world.inbox, world.library):
        for path, content in tree_of(folder).items():
            if content in known:
                shown.add(content)
            elif not (".face-organizer-" in path and path.endswith(".part")):
                assert path.endswith(".reason.txt") and TRAILER in content and content.endswith(b"\n"), (
                    f"{path} is torn: {len(content)} bytes"
                )
    assert not (lost := [name for content, name in known.items() if content not in shown]), lost
    if begun(world.library):
        with truth_of(world.library) as txn:
            assert_no_face_is_there_twice(txn)


def begun(library: Path) -> bool:
    """Does it hold a truth? False where a process died before it had made one."""
    try:
        with opened(library):
            return True
    except StoreError as error:
        if "holds no store yet" in str(error):
            return False
        raise


def assert_no_face_is_there_twice(txn: StoreTransaction) -> None:
    images = dict(txn.images.items())
    digests = [image.digest for image in images.values()]
    assert len(set(digests)) == len(digests), "a content was enrolled twice"
    faces = [face_id for image in images.values() for face_id in image.face_ids]
    assert len(set(faces)) == len(faces)
    assert set(faces) == {face_id for face_id, _ in txn.faces.items()}
    assert set(faces) == {face_id for face_id, _ in txn.assignments.items()}
    assert sorted(faces) == txn.vectors_from()[0].tolist()


# after an undisturbed start


def assert_all_is_well(world: World) -> None:
    """Every file ever dropped lies where truth says and nowhere else; nothing is left over; check finds nothing; the
    saved index gives the answers that the truth does."""
    left = [path for path in world.library.rglob("*") if path.name.endswith(".part")]
    assert not left, left
    inbox = tree_of(world.inbox)
    assert inbox == ({} if world.placement == "move" else dict(world.dropped)), sorted(inbox)
    names = Counter(Path(path).name for path in tree_of(world.library) if not path.endswith(".reason.txt"))
    assert set(names) == {Path(path).name for path in world.dropped}
    with opened(world.library) as store, store.read() as txn:
        assert txn.pending_count() == 0
        assert_no_face_is_there_twice(txn)
        folders = Folders(world.library, world.inbox, "move")
        index = saved_index(world.library, store)
        assert contradictions(txn, index, folders.holds, folders.walk()) == []
        assert_the_index_answers_as_the_truth(txn, index)
        for file_id, file in txn.files.items():
            assert not file.missing, file_id
            for place in file.places:
                assert_is_placed_as_asked(world, os.fsdecode(place), os.fsdecode(file.source))


def assert_is_placed_as_asked(world: World, place: str, source: str) -> None:
    path = world.library / place
    content = next(content for name, content in world.dropped.items() if Path(name).name == Path(source).name)
    assert path.read_bytes() == content, place
    same_disk = world.library.stat().st_dev == world.inbox.stat().st_dev
    if world.placement == "symlink":
        assert path.is_symlink() and path.readlink() == Path(source)
    elif world.placement == "hardlink" and same_disk:
        assert path.stat().st_ino == Path(source).stat().st_ino
    elif world.placement != "move":
        assert not path.is_symlink() and path.stat().st_ino != Path(source).stat().st_ino


def assert_the_index_answers_as_the_truth(txn: StoreTransaction, index: FaceIndex) -> None:
    """Brute force over the truth's vectors finds what the index finds."""
    ids, vectors = txn.vectors_from()
    assert index.count == len(ids)
    if len(ids) == 0:
        return
    exact = np.sort(vectors.astype(np.float32) @ vectors.astype(np.float32).T, axis=1)[:, ::-1]
    k = min(5, len(ids))
    _, similarities = index.search(vectors.astype(np.float32), k)
    np.testing.assert_allclose(similarities, exact[:, :k], atol=2e-3)


def saved_index(library: Path, store: LmdbStore) -> FaceIndex:
    """The index as it lies on disk: it must be whole, and of the newest truth."""
    index = FaceIndex(store.dimension, flat_max_faces=1 << 30, retrain_factor=4.0, nprobe=1 << 10)
    path = library / STATE_FOLDER / "index" / "faces.faiss"
    problem = index.load(path, fingerprint=store.fingerprint, generation=GENERATION)
    assert problem == "", problem
    return index


def sorting_of(world: World) -> dict[str, Any]:
    """What a library says, but for numbers: {"persons": which faces are one person, "nobody": whose are nobody's,
    "files": in how many places each file lies, and with whom}."""
    with truth_of(world.library) as txn:
        face_name = {
            face_id: f"{image.digest.hex()[:8]}:{number}"
            for _, image in txn.images.items()
            for number, face_id in enumerate(image.face_ids)
        }
        persons: dict[int, set[str]] = defaultdict(set)
        for face_id, assignment in txn.assignments.items():
            persons[assignment.person_id].add(face_name[face_id])
        nobody = persons.pop(0, set())
        files = {
            os.path.relpath(os.fsdecode(file.source), world.inbox): len(file.places) for _, file in txn.files.items()
        }
    folders: dict[str, set[str]] = defaultdict(set)
    kept = {}
    for path in tree_of(world.library):
        folder, _, name = path.partition("/")
        if folder.startswith("person_"):
            folders[folder].add(name)
        else:
            kept[path] = folder
    return {
        "persons": {frozenset(faces) for faces in persons.values()},
        "nobody": nobody,
        "files": files,
        "together": {frozenset(names) for names in folders.values()},
        "elsewhere": kept,
    }


def library_of(library: Path) -> dict[str, Any]:
    """Everything that a library says, to the last name: persons, whose each face is, decisions, runs, files."""
    with truth_of(library) as txn:
        return {
            "persons": {
                id_: (each.name, each.folder, each.named, each.hidden, each.retired, each.merged_into)
                for id_, each in txn.persons.items()
            },
            "faces": {id_: each.person_id for id_, each in txn.assignments.items()},
            "decisions": {
                id_: (each.kind, each.says, each.verdicts, each.undone_by, each.undoes)
                for id_, each in txn.decisions.items()
            },
            "runs": {id_: (each.state, each.moved, each.persons) for id_, each in txn.runs.items()},
            "files": tree_of(library),
        }


# looking


def tree_of(folder: Path) -> Tree:
    """{relative path: content} of every file below a folder but those of the state, and a library's README.txt."""
    found: Tree = {}
    for above, folders, names in os.walk(folder):
        if STATE_FOLDER in folders:
            folders.remove(STATE_FOLDER)
        if Path(above) == folder and STATE_FOLDER in os.listdir(folder):  # noqa: PTH208 - as many as we like
            names = [name for name in names if name != "README.txt"]
        found |= {os.path.relpath(f"{above}/{name}", folder): Path(above, name).read_bytes() for name in names}
    return found


@contextmanager
def opened(library: Path) -> Iterator[LmdbStore]:
    store = open_store(library / STATE_FOLDER / "truth", "", 0)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def truth_of(library: Path) -> Iterator[StoreTransaction]:
    with opened(library) as store, store.read() as txn:
        yield txn


def other_file_system(than: Path) -> Path | None:
    """A folder of one's own on another file system; None where there is none."""
    for place in (Path("/dev/shm"), Path(f"/run/user/{os.getuid()}"), Path("/var/tmp"), Path("/tmp")):
        if place.is_dir() and os.access(place, os.W_OK) and place.stat().st_dev != than.stat().st_dev:
            return Path(tempfile.mkdtemp(prefix="face-organizer-", dir=place))
    return None
