"""`forget` leaves no trace: the bytes of the whole state folder are searched, beside the running process and after a
kill at each step. Pictures are numbers (numbered.py)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from numbered import paint, vector_of
from process import NUMBERED, Daemon, as_json, environment, files_below, organizer
from support import wait_until

ALICE, BOB, CARL = 11, 12, 13
NAME, OTHER_NAME = "Alice-Quellenhofer", "Quellwasser"
OWN, TOGETHER = 6, 2


class Home:
    """A library in which Alice has a name, a history, pictures of her own and some with Bob."""

    def __init__(self, folder: Path) -> None:
        self.inbox, self.library = folder / "inbox", folder / "library"
        self.state = self.library / ".face-organizer"
        self.numbers: dict[str, tuple[list[int], int]] = {}

    def drop(self) -> None:
        for number in range(OWN):
            self._paint(f"solo-alice-{number}.png", [ALICE], number)
            self._paint(f"bob-{number}.png", [BOB], 100 + number)
            self._paint(f"carl-{number}.png", [CARL], 200 + number)
        for number in range(TOGETHER):
            self._paint(f"both-{number}.png", [ALICE, BOB], 300 + number)
        self._paint("with-stranger.png", [ALICE, 77], 400)

    def _paint(self, name: str, people: list[int], number: int) -> None:
        paint(self.inbox / name, people, number)
        self.numbers[name] = people, number

    def sort(self, *arguments: str) -> None:
        done = subprocess.run(
            [*NUMBERED, "run", "--once", "--inbox", str(self.inbox), "--library", str(self.library), *arguments],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def decide(self) -> None:
        """Everything that leaves traces: names, a merge, a rejection, an undo, runs."""
        alice, bob = (self.person(name) for name in ("solo-alice-0.png", "bob-0.png"))
        for words in (
            ("name", alice, OTHER_NAME),
            ("name", OTHER_NAME, NAME),
            ("reject", self.library / NAME / "solo-alice-0.png"),
            ("undo",),
            ("name", bob, "Bob"),
            ("hide", "Bob"),
            ("undo",),
        ):
            organizer(*words, "--library", self.library)

    def person(self, name: str) -> str:
        (place,) = [path for path in files_below(self.library) if path.name == name]
        return place.parts[0]

    def vectors(self, person: int) -> Iterator[tuple[str, bytes]]:
        for name, (people, number) in self.numbers.items():
            if person in people:
                vector = vector_of(person, number)
                yield name, vector.astype("<f2").tobytes()
                yield name, vector.astype("<f2").astype("<f4").tobytes()
                yield name, vector.tobytes()

    def traces(self) -> list[str]:
        """What is left of Alice in the files of the state folder: pieces of vectors, her names, her pictures' names."""
        own = [name for name, (people, _) in self.numbers.items() if people == [ALICE]]
        marks = [(f"vector of {name}", piece) for name, vector in self.vectors(ALICE) for piece in pieces(vector)]
        marks += [(text, text.encode()) for text in (NAME, OTHER_NAME, *own)]
        found = []
        for path in self.state.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                found += [f"{what} in {path.relative_to(self.state)}" for what, mark in marks if mark in data]
        return found


def pieces(vector: bytes) -> tuple[bytes, bytes, bytes]:
    """Parts of it, so that one that was half written over is found too."""
    return vector[:32], vector[len(vector) // 2 :][:32], vector[-32:]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("home"))
    home.drop()
    home.sort()
    home.decide()
    return home


@pytest.fixture
def home(template: Home, tmp_path: Path) -> Home:
    """A copy: the inbox is a note in it, and is not looked at again."""
    copy = Home(tmp_path)
    copy.numbers = template.numbers
    subprocess.run(["cp", "-a", str(template.library), str(copy.library)], check=True)
    copy.inbox.mkdir()
    return copy


def must_be_forgotten(home: Home) -> None:
    assert home.traces() == []
    people = as_json("people", "--library", home.library)
    assert [person["name"] for person in people if NAME in person["name"]] == []
    assert as_json("check", "--library", home.library)["findings"] == []
    own = {path.name for path in (home.library / NAME).iterdir()}
    assert own == {f"solo-alice-{number}.png" for number in range(OWN)}
    assert {path.name for path in (home.library / "Bob").iterdir()} >= {"both-0.png", "both-1.png", "bob-0.png"}
    assert (home.library / "outliers" / "with-stranger.png").exists()
    bob = next(person for person in people if person["name"] == "Bob")
    assert bob["faces"] == OWN + TOGETHER


def test_the_search_finds_her_before_she_is_forgotten(home: Home) -> None:
    told = home.traces()
    assert {line.split(" in ")[0] for line in told} >= {NAME, OTHER_NAME, "solo-alice-1.png", "vector of both-0.png"}
    assert any(line.endswith("faces.faiss") for line in told)


def test_forget_leaves_no_trace_and_the_images_stay(home: Home) -> None:
    before = {path.name: (home.library / path).read_bytes() for path in files_below(home.library)}

    found = as_json("forget", NAME, "--yes", "--library", home.library)

    assert (found["faces"], found["images"], found["shared"]) == (OWN + TOGETHER + 1, OWN, TOGETHER + 1)
    must_be_forgotten(home)
    assert {path.name: (home.library / path).read_bytes() for path in files_below(home.library)} == before
    history = as_json("history", "--library", home.library)
    assert [line["kind"] for line in history] == ["forgotten"] * 4 + ["name", "hide", "undo", "forget"]
    assert "Bob" in history[4]["says"]
    (hidden,) = [line for line in history if line["kind"] == "hide"]
    assert hidden["undone_by"] is not None
    organizer("undo", "1", "--library", home.library, expect=1)
    assert "Bob" in as_json("undo", "--library", home.library)["says"]


def test_the_running_daemon_forgets_goes_on_and_takes_nothing_in_again(
    home: Home, start: Callable[..., Daemon]
) -> None:
    daemon = start("--inbox", home.inbox, "--library", home.library, command=NUMBERED)
    daemon.wait_for("ready")

    as_json("forget", NAME, "--yes", "--library", home.library)
    assert home.traces() == []
    paint(home.inbox / "later.png", [BOB], 900)
    paint(home.inbox / "alice-again.png", [ALICE], 901)
    daemon.wait_for("image_placed", count=3 + TOGETHER)

    assert (home.library / "Bob" / "later.png").exists()
    assert (home.library / "outliers" / "alice-again.png").exists()
    assert daemon.end() == 0
    people = as_json("people", "--library", home.library)
    assert sum(person["faces"] for person in people) == 2 * OWN + TOGETHER + 1
    assert max(person["person_id"] for person in people) <= 3  # nobody was born of what was forgotten


def test_ids_are_not_given_again(home: Home) -> None:
    alice = next(p for p in as_json("people", "--library", home.library) if p["name"] == NAME)["person_id"]
    as_json("forget", NAME, "--yes", "--library", home.library)
    for number in range(3):
        paint(home.inbox / f"new-{number}.png", [ALICE], 500 + number)
    home.sort()

    born = [person["person_id"] for person in as_json("people", "--library", home.library)]
    assert alice not in born
    assert max(born) == 4


@pytest.mark.parametrize("placement", ["copy", "symlink"])
def test_what_stays_in_the_inbox_is_not_taken_in_again(placement: str, tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.drop()
    home.sort("--placement", placement)
    organizer("name", home.person("solo-alice-0.png"), NAME, "--library", home.library)

    as_json("forget", NAME, "--yes", "--library", home.library)
    home.sort("--placement", placement)

    assert [line for line in home.traces() if "with-stranger" not in line] == []
    assert as_json("status", "--library", home.library)["images"] == 2 * OWN + TOGETHER + 1
    assert len(files_below(home.inbox)) == 3 * OWN + TOGETHER + 1
    assert as_json("check", "--library", home.library)["findings"] == []


def test_it_asks_first_and_says_what_goes(home: Home) -> None:
    done = organizer("forget", NAME, "--library", home.library, expect=2)
    assert "--yes" in done.stderr
    assert home.traces()

    script = (
        f"import pty, sys; sys.exit(pty.spawn([{sys.executable!r}, '-m', 'face_organizer', 'forget', {NAME!r},"
        f" '--library', {str(home.library)!r}]) >> 8)"
    )
    answered = subprocess.run(
        [sys.executable, "-c", script], input=b"n\n", env=environment(), capture_output=True, timeout=100, check=False
    )
    told = answered.stdout.decode()
    assert answered.returncode == 1, told
    assert "cannot be undone" in told
    assert f"{OWN} images that show nobody else stay in {NAME}/" in told
    assert f"{TOGETHER + 1} images that show others too leave" in told
    assert home.traces()


def test_copies_of_older_versions_go_too(home: Home) -> None:
    copy = home.state / "truth-schema-2-backup"
    copy.mkdir()
    (copy / "data.mdb").write_bytes((home.state / "truth" / "data.mdb").read_bytes())

    assert as_json("forget", NAME, "--yes", "--library", home.library)["copies"] == 1

    assert not copy.exists()
    must_be_forgotten(home)


# kills

STEPS = {
    "written": "face_organizer.pipeline.forget:scrub",
    "committed": "face_organizer.pipeline.roster:Roster.forget",
    "file deleted": "face_organizer.adapters.index:FaceIndex.discard",
    "index made": "face_organizer.pipeline.keep_index:IndexKeeper.rebuild",
    "index saved": "face_organizer.pipeline.keep_index:IndexKeeper.save",
    "placed": "face_organizer.pipeline.gallery:Gallery._record_placed",
    "backups": "face_organizer.adapters.store:LmdbStore.delete_backups",
    "copied": "face_organizer.adapters.store:copy_compact",
    "swapped": "face_organizer.adapters.store:flush",
    "rewritten": "face_organizer.adapters.store:LmdbStore.rewrite",
    "done": "face_organizer.pipeline.forget:Forget._done",
}

KILLED = """
import os, signal, sys
from importlib import import_module
module, path = sys.argv[1].split(":")
owner = import_module(module)
*classes, name = path.split(".")
for each in classes:
    owner = getattr(owner, each)
original, when = getattr(owner, name), sys.argv[2]
def dies(*arguments, **options):
    if when == "after":
        original(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, dies)
from face_organizer.cli import main
main(sys.argv[3:], prog_name="face-organizer")
"""


def kill_at(step: str, when: str, *arguments: Any) -> int:
    command = [sys.executable, "-c", KILLED, STEPS[step], when, *map(str, arguments)]
    return subprocess.run(command, env=environment(), capture_output=True, timeout=100, check=False).returncode


CASES = [(step, when) for step in STEPS for when in ("before", "after")]
QUICK = (
    ("written", "after"),
    ("file deleted", "before"),
    ("index made", "before"),
    ("placed", "before"),
    ("copied", "after"),
    ("swapped", "before"),
    ("done", "before"),
)


@pytest.mark.parametrize(
    ("step", "when"), [case if case in QUICK else pytest.param(*case, marks=pytest.mark.long) for case in CASES]
)
def test_a_kill_at_any_step_leaves_her_known_or_the_next_start_forgets_her(step: str, when: str, home: Home) -> None:
    assert kill_at(step, when, "forget", NAME, "--yes", "--library", home.library) == -signal.SIGKILL

    is_known = any(person["name"] == NAME for person in as_json("people", "--library", home.library))
    assert is_known is (step == "written")
    if is_known:
        as_json("forget", NAME, "--yes", "--library", home.library)
    else:
        wait_until(lambda: json.loads(_status(home))["pending"] == 0, within_s=60)
    must_be_forgotten(home)


def _status(home: Home) -> str:
    return organizer("status", "--json", "--library", home.library).stdout
