"""A library that cannot be written to can be asked, and nothing at all is written anywhere in it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from elsewhere import state_of
from mounts import seen_read_only, without_privileges
from numbered import paint
from process import NUMBERED, Daemon
from survival import Ended, Nest
from test_migrate import unpacked

from face_organizer.adapters.lock import LibraryLock
from face_organizer.config import STATE_FOLDER

NOBODYS = 65534
READING = ("status", "people", "search PHOTO", "report", "check", "export --format jsonl --out OUT")
READING_TOO = (
    "people --all",
    "search --together Alice 2",
    "explain PHOTO",
    "review",
    "history",
    "runs",
    "runs 1",
    "reembed",
    "import-names PHOTO --dry-run",
    "export --format jsonl --out OUT --of persons",
)
CHANGING = ("name 2 Bob", "recluster --propose", "check --repair", "run --once --inbox INBOX", "export --xmp")
CHANGING_TOO = (
    "merge 2 3",
    "apart 2 3",
    "split 2",
    "reject 3",
    "assign 3 2",
    "hide 2",
    "unhide 2",
    "forget 2 --yes",
    "undo",
    "recluster",
    "recluster --rollback",
    "reembed --pack painted",
    "reembed --discard",
    "export --write-metadata --yes",
)
VOLATILE = ("up_s", "read_only", "store_bytes", "threads")


class Home:
    """A library of three people; the first is Alice."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.library, self.inbox = folder, folder / "library", folder / "inbox"
        self.photo, self.known = folder / "photo.png", self.library / "Alice" / "a0.png"

    def fill(self, nest: Nest) -> None:
        for person in range(3):
            for number in range(5):
                paint(self.inbox / f"{'abc'[person]}{number}.png", [person], 5 * person + number)
        paint(self.inbox / "both.png", [0, 1], 50)
        paint(self.photo, [0], 99)
        assert nest.run("run", "--once", "--inbox", self.inbox, "--library", self.library).code == 0
        assert nest.run("name", "1", "Alice", "--library", self.library).code == 0

    @property
    def state(self) -> Path:
        return self.library / STATE_FOLDER

    def run(self, nest: Nest, command: str, *options: str) -> Ended:
        photo = self.known if command.startswith("explain") else self.photo
        places = {"PHOTO": photo, "OUT": self.folder / "out.jsonl", "INBOX": self.inbox}
        words = [places.get(word, word) for word in command.split()]
        return nest.run(*words, *options, "--library", self.library)

    def answers(self, nest: Nest, command: str) -> Any:
        """What is printed, and what is in the table."""
        ended = self.run(nest, command, "--json")
        assert ended.code == 0, (command, ended.out, ended.err)
        told = json.loads(ended.out)
        if command == "status":
            told = {key: value for key, value in told.items() if key not in VOLATILE}
        table = self.folder / "out.jsonl"
        return told, table.read_text() if "OUT" in command else ""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, nest: Nest) -> Path:
    home = Home(tmp_path_factory.mktemp("home"))
    home.fill(nest)
    return home.folder


@pytest.fixture
def home(tmp_path: Path, template: Path) -> Home:
    return Home(Path(shutil.copytree(template, tmp_path / "home")))


@pytest.fixture
def open_nest(tmp_path: Path) -> Iterator[Callable[[list[str]], Nest]]:
    nests: list[Nest] = []

    def begin(within: list[str]) -> Nest:
        nests.append(Nest(tmp_path, painted=True, within=within))
        return nests[-1]

    yield begin
    for nest in nests:
        nest.close()


NestWithin = Callable[[list[str]], Nest]


def make_anothers(library: Path) -> None:
    """Nobody may write there any more; as root we give it away, too."""
    for path in [library, *library.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
        if os.geteuid() == 0:
            os.chown(path, NOBODYS, NOBODYS)


@pytest.fixture(params=["a read-only file system", "another user's"])
def read_only(request: pytest.FixtureRequest, home: Home, open_nest: NestWithin) -> Iterator[Nest]:
    """Processes that can only read the home's library."""
    if request.param == "another user's":
        within = without_privileges()
        make_anothers(home.library)
        yield open_nest(within)
        for path in [home.library, *home.library.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
    else:
        yield open_nest(seen_read_only(home.library))


@pytest.mark.parametrize("commands", [READING, pytest.param(READING_TOO, marks=pytest.mark.long)])
def test_all_that_only_reads_answers_as_ever_and_leaves_no_trace(
    commands: Sequence[str], home: Home, nest: Nest, open_nest: NestWithin
) -> None:
    wanted = {command: home.answers(nest, command) for command in commands}
    before = state_of(home.library)

    told = open_nest(seen_read_only(home.library))

    for command, answer in wanted.items():
        assert home.answers(told, command) == answer, command
        assert state_of(home.library) == before, command


@pytest.mark.parametrize("commands", [CHANGING, pytest.param(CHANGING_TOO, marks=pytest.mark.long)])
def test_what_changes_anything_is_refused_and_changes_nothing(
    commands: Sequence[str], home: Home, read_only: Nest
) -> None:
    before = state_of(home.library)

    for command in commands:
        ended = home.run(read_only, command)

        assert ended.code == 1, (command, ended.out, ended.err)
        assert "Traceback" not in ended.err, command
        assert any(why in ended.err for why in ("Read-only file system", "Permission denied")), (command, ended.err)
        assert str(home.library) in ended.err, command
    assert state_of(home.library) == before


def test_whoever_may_only_read_it_is_answered_and_told_so(home: Home, read_only: Nest) -> None:
    before = state_of(home.library)

    status = json.loads(home.run(read_only, "status", "--json").out)
    people = home.run(read_only, "people")

    assert f"{home.state} cannot be written: " in status["read_only"]
    assert "Alice" in people.out
    assert people.err == ""
    assert state_of(home.library) == before


def test_an_index_that_is_gone_is_made_in_memory(home: Home, open_nest: NestWithin) -> None:
    shutil.rmtree(home.state / "index")
    before = state_of(home.library)

    hits = json.loads(home.run(open_nest(seen_read_only(home.library)), "search PHOTO", "--json").out)

    assert {hit["person"] for hit in hits} == {"Alice"}
    assert len(hits) == 6
    assert state_of(home.library) == before


@pytest.mark.parametrize(("step", "when"), [("change_finished", "before"), ("placed", "before")])
def test_what_was_cut_short_stays_so_and_is_told(
    step: str, when: str, home: Home, nest: Nest, open_nest: NestWithin
) -> None:
    arm = {"step": step, "when": when, "nth": 1}
    assert nest.run("merge", "2", "3", "--library", home.library, arm=arm).happened
    before = state_of(home.library)

    ended = home.run(open_nest(seen_read_only(home.library)), "people")

    assert ended.code == 0, ended.err
    assert "left_undone" in ended.err
    assert state_of(home.library) == before


def test_one_of_an_older_version_is_refused_for_it_cannot_be_brought_up_to_date(
    tmp_path: Path, open_nest: NestWithin
) -> None:
    library = unpacked(2, tmp_path)
    before = state_of(library)

    ended = open_nest(seen_read_only(library)).run("people", "--library", library)

    assert ended.code == 1
    assert "is of an older version (schema 2" in ended.err
    assert "Read-only file system. Copy the library to where it can be written" in ended.err
    assert state_of(library) == before


def test_while_a_writer_holds_it_nobody_else_reads(home: Home, read_only: Nest) -> None:
    held = os.open(home.state / "lock", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)

    ended = home.run(read_only, "people")
    os.close(held)

    assert ended.code == 75
    assert f"process {os.getpid()}) writes to {home.state}, and you cannot ask it" in ended.err
    assert home.run(read_only, "people").code == 0


def test_several_read_at_once_and_a_writer_is_told_who(home: Home, nest: Nest, read_only: Nest) -> None:
    held = os.open(home.state / "lock", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)

    read, written = home.run(read_only, "people"), home.run(nest, "people")
    os.close(held)

    assert (read.code, written.code) == (0, 75)
    assert f"process {os.getpid()}) reads {home.state} just now" in written.err


def test_a_running_daemon_answers_whoever_sees_its_library_through_a_read_only_mount(
    home: Home, start: Callable[..., Daemon], open_nest: NestWithin
) -> None:
    start("--inbox", home.inbox, "--library", home.library, command=NUMBERED).wait_for("ready")
    told = open_nest(seen_read_only(home.library))

    assert json.loads(home.run(told, "status", "--json").out)["running"]
    assert home.run(told, "name 2 Bob").code == 0


def test_without_a_lock_only_a_read_only_file_system_is_to_be_trusted(home: Home, open_nest: NestWithin) -> None:
    (home.state / "lock").unlink()
    mounted = open_nest(seen_read_only(home.library))
    assert home.run(mounted, "people").code == 0

    make_anothers(home.library)
    ended = home.run(open_nest(without_privileges()), "people")

    assert ended.code == 1
    assert "lock is not there, so that nobody can tell whether somebody writes" in ended.err


def test_the_socket_of_somebody_elses_dead_daemon_is_no_obstacle(
    home: Home, open_nest: NestWithin, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may give a socket away")
    with monkeypatch.context() as there, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        there.chdir(home.state)
        dead.bind("control.sock")
    make_anothers(home.library)
    (home.state / "control.sock").chmod(0o600)
    told = open_nest(without_privileges())

    assert "Alice" in home.run(told, "people").out
    assert stat.S_ISSOCK((home.state / "control.sock").stat().st_mode)


def test_a_lock_on_what_can_be_written_is_alone_as_ever(tmp_path: Path) -> None:
    lock = LibraryLock(tmp_path, reading=True)

    assert lock.unwritable == ""
    with pytest.raises(Exception, match="answers no command just now"):
        LibraryLock(tmp_path, reading=True)
    lock.release()
