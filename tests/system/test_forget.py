"""`forget` leaves no trace: the bytes of the whole state folder are searched, beside the running process and after a
kill at each step. Pictures are numbers (numbered.py)."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Self

import pytest
from homes import Home
from numbered import paint, vector_of
from process import NUMBERED, Daemon, environment, files_below
from steps import FORGETTING
from survival import Nest

from face_organizer.config import STATE_FOLDER

ALICE, BOB, CARL = 11, 12, 13
NAME, OTHER_NAME = "Alice-Quellenhofer", "Quellwasser"
OWN, TOGETHER = 6, 2


class AlicesHome(Home):
    """A library in which Alice has a name, a history, pictures of her own and some with Bob.

    numbers: who is in each picture, by its name, and the picture's number."""

    def __init__(self, folder: Path, nest: Nest) -> None:
        super().__init__(folder, nest)
        self.state = self.library / STATE_FOLDER
        self.numbers: dict[str, tuple[list[int], int]] = {}

    def copy(self, folder: Path) -> Self:
        copy = super().copy(folder)
        copy.numbers = self.numbers
        return copy

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
            self.run(*words)

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
def template(tmp_path_factory: pytest.TempPathFactory, nest: Nest) -> AlicesHome:
    home = AlicesHome(tmp_path_factory.mktemp("home"), nest)
    home.drop()
    home.sort()
    home.decide()
    return home


@pytest.fixture
def home(template: AlicesHome, tmp_path: Path) -> AlicesHome:
    return template.copy(tmp_path)


def must_be_forgotten(home: AlicesHome) -> None:
    assert home.traces() == []
    people = home.json("people")
    assert [person["name"] for person in people if NAME in person["name"]] == []
    assert home.json("check")["findings"] == []
    own = {path.name for path in (home.library / NAME).iterdir()}
    assert own == {f"solo-alice-{number}.png" for number in range(OWN)}
    assert {path.name for path in (home.library / "Bob").iterdir()} >= {"both-0.png", "both-1.png", "bob-0.png"}
    assert (home.library / "outliers" / "with-stranger.png").exists()
    bob = next(person for person in people if person["name"] == "Bob")
    assert bob["faces"] == OWN + TOGETHER


def test_the_search_finds_her_before_she_is_forgotten(home: AlicesHome) -> None:
    told = home.traces()
    assert {line.split(" in ")[0] for line in told} >= {NAME, OTHER_NAME, "solo-alice-1.png", "vector of both-0.png"}
    assert any(line.endswith("faces.faiss") for line in told)


def test_forget_leaves_no_trace_and_the_images_stay(home: AlicesHome) -> None:
    before = {path.name: (home.library / path).read_bytes() for path in files_below(home.library)}

    found = home.json("forget", NAME, "--yes")

    assert (found["faces"], found["images"], found["shared"]) == (OWN + TOGETHER + 1, OWN, TOGETHER + 1)
    must_be_forgotten(home)
    assert {path.name: (home.library / path).read_bytes() for path in files_below(home.library)} == before
    history = home.json("history")
    assert [line["kind"] for line in history] == ["forgotten"] * 4 + ["name", "hide", "undo", "forget"]
    assert "Bob" in history[4]["says"]
    (hidden,) = [line for line in history if line["kind"] == "hide"]
    assert hidden["undone_by"] is not None
    home.run("undo", "1", expect=1)
    assert "Bob" in home.json("undo")["says"]


def test_asked_for_it_deletes_the_images_that_show_nobody_else(home: AlicesHome) -> None:
    before = {path.name for path in files_below(home.library)}

    home.run("forget", NAME, "--images", "--yes")

    assert home.traces() == []
    own = {f"solo-alice-{number}.png" for number in range(OWN)}
    assert {path.name for path in files_below(home.library)} == before - own
    assert not (home.library / NAME).exists()
    assert home.json("check")["findings"] == []


def test_what_stands_in_the_place_of_an_image_is_not_deleted(home: AlicesHome) -> None:
    place = home.library / NAME / "solo-alice-3.png"
    folder = place.parent
    place.unlink()
    place.mkdir()

    home.run("forget", NAME, "--images", "--yes")

    assert [path.name for path in folder.iterdir()] == [place.name]


def test_the_running_daemon_forgets_goes_on_and_takes_nothing_in_again(
    home: AlicesHome, start: Callable[..., Daemon]
) -> None:
    daemon = start("--inbox", home.inbox, "--library", home.library, command=NUMBERED)
    daemon.wait_for("ready")

    home.json("forget", NAME, "--yes")
    assert home.traces() == []
    paint(home.inbox / "later.png", [BOB], 900)
    paint(home.inbox / "alice-again.png", [ALICE], 901)
    daemon.wait_for("image_placed", count=3 + TOGETHER)

    assert (home.library / "Bob" / "later.png").exists()
    assert (home.library / "outliers" / "alice-again.png").exists()
    assert daemon.end() == 0
    people = home.json("people")
    assert sum(person["faces"] for person in people) == 2 * OWN + TOGETHER + 1
    assert max(person["person_id"] for person in people) <= 3  # nobody was born of what was forgotten


@pytest.mark.parametrize("pictures", [1, pytest.param(3, marks=pytest.mark.long)])
def test_dropped_again_her_pictures_are_new_and_nobody_decides_anything(pictures: int, home: AlicesHome) -> None:
    home.json("forget", NAME, "--yes")
    decided = home.json("history")
    for number in range(pictures):
        shutil.copy2(home.library / NAME / f"solo-alice-{number}.png", home.inbox)
    home.sort()
    home.sort()  # finds what was done in the folders meanwhile: nothing

    assert home.json("history") == decided
    assert NAME not in {person["folder"] for person in home.json("people")}


def test_ids_are_not_given_again(home: AlicesHome) -> None:
    alice = next(p for p in home.json("people") if p["name"] == NAME)["person_id"]
    home.json("forget", NAME, "--yes")
    for number in range(3):
        paint(home.inbox / f"new-{number}.png", [ALICE], 500 + number)
    home.sort()

    born = [person["person_id"] for person in home.json("people")]
    assert alice not in born
    assert max(born) == 4


@pytest.mark.parametrize("placement", ["symlink", pytest.param("copy", marks=pytest.mark.long)])
def test_what_stays_in_the_inbox_is_not_taken_in_again(placement: str, tmp_path: Path, nest: Nest) -> None:
    home = AlicesHome(tmp_path, nest)
    home.drop()
    home.sort("--placement", placement)
    home.run("name", home.person("solo-alice-0.png"), NAME)

    home.json("forget", NAME, "--yes")
    home.sort("--placement", placement)

    assert [line for line in home.traces() if "with-stranger" not in line] == []
    assert home.json("status")["images"] == 2 * OWN + TOGETHER + 1
    assert len(files_below(home.inbox)) == 3 * OWN + TOGETHER + 1
    assert home.json("check")["findings"] == []


def test_it_asks_first_and_says_what_goes(home: AlicesHome) -> None:
    assert "--yes" in home.run("forget", NAME, expect=2).err
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


def test_copies_of_older_versions_go_too(home: AlicesHome) -> None:
    copy = home.state / "truth-schema-2-backup"
    copy.mkdir()
    (copy / "data.mdb").write_bytes((home.state / "truth" / "data.mdb").read_bytes())

    assert home.json("forget", NAME, "--yes")["copies"] == 1

    assert not copy.exists()
    must_be_forgotten(home)


# kills

CASES = list(product(FORGETTING, ("before", "after")))
QUICK = {
    ("person_scrubbed", "after"),
    ("index_remade", "before"),
    ("placed", "before"),
    ("truth_swapped", "before"),
    ("forgetting_done", "before"),
}


@pytest.mark.parametrize(
    ("step", "when"), [case if case in QUICK else pytest.param(*case, marks=pytest.mark.long) for case in CASES]
)
def test_a_kill_at_any_step_leaves_her_known_or_the_next_start_forgets_her(
    step: str, when: str, home: AlicesHome
) -> None:
    nth = 2 if step == "truth_swapped" else 1  # the first is that of the opening
    killed = home.run("forget", NAME, "--yes", expect=None, arm={"step": step, "when": when, "nth": nth})
    assert (killed.happened, killed.code) == (True, -signal.SIGKILL), killed.err

    is_known = any(person["name"] == NAME for person in home.json("people"))
    assert is_known is (step == "person_scrubbed")
    if is_known:
        home.json("forget", NAME, "--yes")
    else:
        home.json("status")  # whatever the command, it ends what was begun
    must_be_forgotten(home)
