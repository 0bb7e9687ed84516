"""A library moves to another model and loses nothing: with a daemon and without, killed at every step, with images that
cannot be read, forwards and back. Pictures are numbers (numbered.py), and so are both models."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tarfile
import threading
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from homes import Home
from numbered import OTHER, OTHER_D, UNSEEN, D, paint, vector_of
from pictures import LFW_DEV, NO_LFW
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from process import NUMBERED, Daemon, as_json, drop, organizer, partition
from steps import REEMBEDDING
from support import wait_until
from survival import Nest, library_of, opened, truth_of

from face_organizer.adapters.models import load_pack
from face_organizer.app.parts import pack_of
from face_organizer.config import STATE_FOLDER, Config

ALICE, BOB, CARL, STRANGER, DORA, EVE, ODD = 11, 12, 13, 77, 88, 99, 66
OWN = 4
FIRST = "opencv-zoo"
SCRFD = LFW_DEV.parents[1] / "models" / "scrfd_2.5g_kps.onnx"
CALM = """
[watch]
settle_s = 0.02
[flow]
commit_batch_max = 3
"""


class TwoModelsHome(Home):
    """A library of three persons with decisions; some pictures show people whom only the other model sees."""

    settings = CALM

    def drop(self) -> None:
        for number in range(OWN):
            paint(self.inbox / f"alice-{number}.png", [ALICE], number)
            paint(self.inbox / f"bob-{number}.png", [BOB], 100 + number)
            paint(self.inbox / f"carl-{number}.png", [CARL], 200 + number)
        paint(self.inbox / "both.png", [ALICE, BOB], 300, green=[DORA])
        paint(self.inbox / "crowd.png", [ALICE, BOB, CARL, STRANGER], 301)
        paint(self.inbox / "odd.png", [ODD], 304)
        paint(self.inbox / "nobody.png", [], 302)
        paint(self.inbox / "seemed-nobody.png", [], 303, green=[EVE])

    def decide(self) -> None:
        """Names; a face that is not Bob's, by word of a human; one that is Carl's although it looks otherwise."""
        self.run("name", self.person("alice-0.png"), "Alice")
        self.run("name", self.person("bob-0.png"), "Bob")
        self.run("assign", self.library / "outliers" / "odd.png", "Bob")
        self.run("reject", self.library / "Bob" / "odd.png")
        self.run("assign", self.library / "Alice" / "alice-3.png", self.person("carl-0.png"))

    def told(self) -> Any:
        return self.json("reembed")

    def says(self) -> dict[str, Any]:
        """Everything but runs, and which model."""
        told = library_of(self.library)
        del told["runs"]
        return told

    def must_be_clean(self) -> None:
        self.run("status")  # which ends what is to be placed
        assert self.json("check")["findings"] == []


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, nest: Nest) -> TwoModelsHome:
    home = TwoModelsHome(tmp_path_factory.mktemp("home"), nest)
    home.drop()
    home.sort()
    home.decide()
    return home


@pytest.fixture
def home(template: TwoModelsHome, tmp_path: Path) -> TwoModelsHome:
    return template.copy(tmp_path)


@pytest.fixture(scope="module")
def moved(template: TwoModelsHome, tmp_path_factory: pytest.TempPathFactory) -> tuple[TwoModelsHome, dict[str, Any]]:
    """Moved without a disturbance, and what it says."""
    home = template.copy(tmp_path_factory.mktemp("moved"))
    ended = home.run("reembed", "--pack", OTHER, "--json")
    assert json.loads(ended.out)["in_use"] == OTHER
    assert "index_rebuilt" not in ended.err  # that it is made anew is meant
    return home, home.says()


def model_of(library: Path) -> tuple[str, int]:
    with opened(library) as store:
        return store.fingerprint, store.dimension


def test_persons_names_and_decisions_are_carried_over_by_face(
    template: TwoModelsHome, moved: tuple[TwoModelsHome, dict[str, Any]]
) -> None:
    home, after = moved
    before = template.says()

    assert model_of(home.library) == (OTHER, OTHER_D)
    assert after["persons"] == before["persons"]
    assert after["decisions"] == before["decisions"]
    assert before["faces"].items() <= after["faces"].items()
    assert set(after["files"]) - set(before["files"]) == {"outliers/seemed-nobody.png"}
    assert set(before["files"]) - set(after["files"]) == {"no_face/seemed-nobody.png"}
    home.must_be_clean()


def test_every_embedding_is_the_other_models_and_what_only_it_sees_is_a_new_face(
    moved: tuple[TwoModelsHome, dict[str, Any]], template: TwoModelsHome
) -> None:
    home, _ = moved
    with truth_of(template.library) as txn:
        known = set(txn.face_ids().tolist())
    with truth_of(home.library) as txn:
        new = set(txn.face_ids().tolist()) - known
        faces = {face_id: txn.faces.get(face_id) for face_id in new}
        names = {_name(txn, record.image_id) for record in faces.values() if record is not None}
        crowd = next(image for _, image in txn.images.items() if len(image.face_ids) == 4)
        unseen = txn.vectors([crowd.face_ids[UNSEEN]])[0]
        assert txn.neighbours(3).face_ids.tolist() == txn.face_ids().tolist()

    assert names == {"both.png", "seemed-nobody.png"}
    assert unseen @ vector_of(STRANGER, 301, OTHER_D) > 0.999


def _name(txn: Any, image_id: int) -> str:
    return str(txn.files.get(txn.images.get(image_id).file_ids[0]).name.decode())


@pytest.mark.long
def test_a_dry_run_compares_and_the_library_goes_on_by_the_old_model(home: TwoModelsHome) -> None:
    before = home.says()

    told = home.json("reembed", "--pack", OTHER, "--dry-run")

    assert told["in_use"] == FIRST
    assert told["beside"]["state"] == "ready"
    assert told["beside"]["found"]["agreement"]["f"] > 0.9
    assert told["comparison"]["at_risk"] == []
    assert home.says() == before
    home.must_be_clean()
    assert model_of(home.library)[1] == D


@pytest.mark.long
def test_discarding_leaves_the_library_as_it_was(home: TwoModelsHome) -> None:
    home.run("reembed", "--pack", OTHER, "--dry-run")

    assert home.json("reembed", "--discard") == {"discarded": OTHER}

    assert home.told() == {"in_use": FIRST, "beside": None, "comparison": None}
    with truth_of(home.library) as txn:
        assert len(txn.beside().face_ids()) == 0
        assert txn.beside().faces.count() == 0
    home.run("reembed", "--switch", expect=1)


@pytest.mark.long
def test_the_way_back_reads_only_what_came_since(home: TwoModelsHome) -> None:
    home.run("reembed", "--pack", OTHER)
    paint(home.inbox / "late.png", [ALICE], 900)
    home.sort()
    assert (home.library / "Alice" / "late.png").exists()
    after = home.says()

    told = home.json("reembed", "--pack", FIRST)

    assert (told["in_use"], told["beside"]["state"]) == (FIRST, "kept")
    assert model_of(home.library)[1] == D
    assert home.says() == after
    home.must_be_clean()
    with truth_of(home.library) as txn:
        kept = txn.models.get(txn.slot)
    assert kept is not None
    assert kept.images == 3  # late.png and the two with a face that only the other model had seen


def in_its_place(image: Path, content: bytes) -> bytes:
    """Put another content into a file that nobody sees has changed, as a disk that fails would; returns the old one."""
    told, old = image.stat(), image.read_bytes()
    image.write_bytes(content.ljust(len(old), b"\0"))
    os.utime(image, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert image.stat().st_size == len(old)
    return old


def test_images_that_cannot_be_read_ask_first_and_their_faces_stay_who_they_are(home: TwoModelsHome) -> None:
    before, image = home.says(), home.library / "Bob" / "bob-0.png"
    content = in_its_place(image, b"rot")

    told = home.json("reembed", "--pack", OTHER, expect=1)
    assert (told["in_use"], told["beside"]["state"]) == (FIRST, "ready")
    assert "1 images that show a face cannot be read" in told["beside"]["waits"]

    assert home.json("reembed", "--switch")["in_use"] == OTHER
    in_its_place(image, content)
    after = home.says()
    assert before["faces"].items() <= after["faces"].items()
    home.must_be_clean()
    home.run("recluster")
    assert home.says()["faces"] == after["faces"]


@pytest.mark.long
def test_an_image_that_is_whole_again_is_read_by_the_next_try(home: TwoModelsHome) -> None:
    image = home.library / "Bob" / "bob-0.png"
    content = in_its_place(image, b"rot")
    home.run("reembed", "--pack", OTHER, expect=1)
    in_its_place(image, content)

    told = home.json("reembed", "--pack", OTHER)

    assert told["in_use"] == OTHER
    with truth_of(home.library) as txn:
        assert all(record.founder for _, record in txn.faces.items())


@pytest.mark.long
def test_an_image_that_was_written_over_is_not_taken_for_the_one_we_knew(home: TwoModelsHome) -> None:
    other = paint(home.library.parent / "other.png", [CARL], 999).read_bytes()
    in_its_place(home.library / "Bob" / "bob-0.png", other)

    told = home.json("reembed", "--pack", OTHER, "--dry-run")

    assert told["beside"]["found"]["unread_images"] == 1


def saved_anew(path: Path) -> bytes:
    """Write the same picture in other bytes, as an editor does; returns them."""
    said, staged = PngInfo(), path.with_name(f".{path.name}.tmp")
    said.add_text("Comment", "edited")
    with Image.open(path) as image:
        image.save(staged, "PNG", pnginfo=said)
    staged.replace(path)
    return path.read_bytes()


def test_images_edited_before_the_move_and_not_noticed_yet_are_read_and_stay_who_they_are(home: Home) -> None:
    before, places = home.says(), ["Bob/bob-1.png", "Alice/both.png"]
    edits = {place: saved_anew(home.library / place) for place in places}

    told = home.json("reembed", "--pack", OTHER)

    assert told["in_use"] == OTHER
    with truth_of(home.library) as txn:
        assert all(record.founder for _, record in txn.faces.items())  # none is a stand-in
    after = home.says()
    assert before["faces"].items() <= after["faces"].items()
    assert (after["persons"], after["decisions"]) == (before["persons"], before["decisions"])
    home.must_be_clean()
    assert {place: (home.library / place).read_bytes() for place in places} == edits
    assert (home.library / "Bob" / "both.png").read_bytes() == edits["Alice/both.png"]


def test_images_edited_while_the_daemon_moves_lose_neither_the_edit_nor_a_decision(
    home: Home, start: Callable[..., Daemon]
) -> None:
    home.config.write_text(CALM + "[folders]\nsettle_s = 0.2\n")
    before = home.says()
    daemon = start("--config", home.config, "--inbox", home.inbox, "--library", home.library, command=NUMBERED)
    daemon.wait_for("ready")
    edits = {}
    begun = threading.Thread(target=home.json, args=("reembed", "--pack", OTHER, "--dry-run"))
    begun.start()
    for place in ("Bob/bob-1.png", "Alice/both.png", "Bob/bob-2.png", "Alice/alice-1.png"):
        edits[place] = saved_anew(home.library / place)
    begun.join(60)
    daemon.wait_for("image_edited", count=len(edits))

    edits["Bob/bob-0.png"] = saved_anew(home.library / "Bob/bob-0.png")  # read already
    assert home.json("reembed", "--switch")["in_use"] == OTHER

    daemon.wait_for("model_switched")
    daemon.wait_for("image_edited", count=len(edits))
    after = home.says()
    assert before["faces"].items() <= after["faces"].items()
    assert (after["persons"], after["decisions"]) == (before["persons"], before["decisions"])
    assert {place: (home.library / place).read_bytes() for place in edits} == edits
    home.must_be_clean()
    assert daemon.events("image_not_reembedded") == []
    assert daemon.end() == 0


def test_the_daemon_sorts_on_takes_what_comes_along_and_switches_in_place(
    home: TwoModelsHome, start: Callable[..., Daemon]
) -> None:
    daemon = start("--config", home.config, "--inbox", home.inbox, "--library", home.library, command=NUMBERED)
    daemon.wait_for("ready")
    pid = home.json("status")["pid"]
    home.json("reembed", "--pack", OTHER, "--dry-run")
    for number in range(3):
        paint(home.inbox / f"meanwhile-{number}.png", [ALICE], 700 + number)
    daemon.wait_for("image_placed", count=3)
    assert home.json("status")["pack"] == FIRST

    told = home.json("reembed", "--switch")
    assert told["in_use"] == OTHER
    daemon.wait_for("model_switched")
    paint(home.inbox / "later.png", [BOB], 800)
    wait_until(lambda: (home.library / "Bob" / "later.png").exists(), 20)
    wait_until(lambda: home.json("runs")[-1]["reason"] == "reembed", 20)

    status = home.json("status")
    assert (status["pid"], status["pack"], status["reembed"]["state"]) == (pid, OTHER, "kept")
    assert {f"meanwhile-{number}.png" for number in range(3)} <= {
        path.name for path in (home.library / "Alice").iterdir()
    }
    home.must_be_clean()
    assert daemon.end() == 0
    assert model_of(home.library) == (OTHER, OTHER_D)


def test_a_configuration_that_names_another_pack_is_refused_with_the_command_that_moves(home: TwoModelsHome) -> None:
    home.config.write_text(CALM + f'[faces]\npack = "{OTHER}"\n')

    refused = home.sort(expect=1)

    assert f"face-organizer reembed --pack {OTHER}" in refused.err


@pytest.mark.long
def test_a_library_holds_two_models_at_most(home: TwoModelsHome) -> None:
    assert "already" in home.run("reembed", "--pack", FIRST, expect=1).err
    assert "no model pack" in home.run("reembed", "--pack", "none", expect=2).err
    assert "no other model" in home.run("reembed", "--switch", expect=1).err
    assert "one model only" in home.run("reembed", "--discard", expect=1).err
    home.run("reembed", "--switch", "--discard", expect=2)


@pytest.mark.long
def test_a_library_of_an_older_versions_model_is_moved_to_todays(tmp_path: Path, nest: Nest) -> None:
    with tarfile.open(Path(__file__).parents[1] / "data" / "library-schema-1.tar.xz") as archive:
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # type: ignore[arg-type]
    home = TwoModelsHome(tmp_path, nest)
    before = home.json("people")
    if model_of(home.library)[0] == pack_of(Config().faces).fingerprint:
        pytest.skip("it is of today's model")

    told = home.json("reembed", "--pack", FIRST)

    assert told["in_use"] == FIRST
    assert model_of(home.library)[0] == pack_of(Config().faces).fingerprint
    now = home.json("people")
    assert [(each["name"], each["faces"]) for each in now] == [(each["name"], each["faces"]) for each in before]
    home.must_be_clean()


def test_forget_reaches_both_models_and_the_face_is_not_found_again(home: TwoModelsHome) -> None:
    home.run("reembed", "--pack", OTHER, "--dry-run")

    home.run("forget", "Bob", "--yes")

    assert traces_of(home, BOB) == []
    home.must_be_clean()
    home.run("reembed", "--pack", OTHER)
    assert traces_of(home, BOB) == []
    with truth_of(home.library) as txn:
        both = next(image for _, image in txn.images.items() if image.closed and len(image.face_ids) == 1)
        assert txn.neighbours(20).face_ids.tolist() == txn.face_ids().tolist()
    assert both.face_ids


@pytest.mark.long
def test_forget_before_a_move_lets_no_face_of_the_image_come_back(home: TwoModelsHome) -> None:
    home.run("forget", "Bob", "--yes")

    home.run("reembed", "--pack", OTHER)

    assert traces_of(home, BOB) == []
    home.must_be_clean()
    home.run("forget", "Alice", "--yes")
    assert [line for line in traces_of(home, ALICE) if ": 3 by" not in line] == []  # that one is Carl, a human said
    home.must_be_clean()


def traces_of(home: TwoModelsHome, person: int) -> list[str]:
    """Pieces of a person's vectors, by either model, in the files of the state folder."""
    vectors = {(number, d): vector_of(person, number, d) for number in [*range(304), 900] for d in (D, OTHER_D)}
    pieces = {
        (number, d, piece)
        for (number, d), vector in vectors.items()
        for kept in (vector.astype("<f2").tobytes(), vector.tobytes())
        for piece in (kept[:32], kept[-32:])
    }
    files = [path for path in (home.library / STATE_FOLDER).rglob("*") if path.is_file()]
    contents = {path.name: path.read_bytes() for path in files}
    return [
        f"{name}: {number} by {d}" for name, data in contents.items() for number, d, piece in pieces if piece in data
    ]


# kills

CASES = list(product(REEMBEDDING, ("before", "after")))
QUICK = {("faces_kept", "after"), ("model_switched", "after")}


@pytest.mark.parametrize(
    ("step", "when"), [case if case in QUICK else pytest.param(*case, marks=pytest.mark.long) for case in CASES]
)
def test_a_kill_at_any_step_costs_nothing(
    step: str, when: str, home: TwoModelsHome, moved: tuple[TwoModelsHome, dict[str, Any]]
) -> None:
    killed = home.run(
        "reembed", "--pack", OTHER, expect=None, arm={"step": step, "when": when, "nth": 2 if step in TWICE else 1}
    )
    assert (killed.happened, killed.code) == (True, -signal.SIGKILL), killed.err
    home.must_be_clean()

    if home.told()["in_use"] != OTHER:
        home.run("reembed", "--pack", OTHER)

    assert home.told()["in_use"] == OTHER
    assert home.says() == moved[1]
    home.must_be_clean()


TWICE = {"store_reopened"}
"""Its first call is that of the opening."""


# real networks


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.skipif(not LFW_DEV.is_dir() or not SCRFD.is_file(), reason=f"{NO_LFW}, or no SCRFD")
def test_real_faces_keep_their_persons_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SCRFD in the place of YuNet, and the same recogniser without its whitening."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # what is made of the pack goes with it
    own, inbox, library = tmp_path / "own", tmp_path / "inbox", tmp_path / "library"
    own.mkdir()
    shutil.copy(SCRFD, own / "find.onnx")
    shutil.copy(load_pack(FIRST).recogniser_path, own / "recognise.onnx")
    people = [folder for folder in sorted(LFW_DEV.iterdir()) if len(list(folder.iterdir())) >= 4][:12]
    drop([path for folder in people for path in sorted(folder.iterdir())[:4]], inbox)
    organizer("run", "--once", "--inbox", inbox, "--library", library)
    assert len(partition(library)) == len(people)
    organizer("name", "1", "Ada", "--library", library)
    organizer("reject", min((library / "Ada").iterdir()), "--library", library)
    before, history = partition(library), as_json("history", "--library", library)

    for pack in (own, FIRST):
        told = as_json("reembed", "--pack", pack, "--library", library, within_s=400)

        assert told["in_use"] == str(pack)
        assert partition(library) == before
        assert as_json("check", "--library", library)["findings"] == []
        assert as_json("runs", "--library", library)[-1]["moved"] == 0
    assert as_json("history", "--library", library) == history
    assert (library / "Ada").is_dir()
