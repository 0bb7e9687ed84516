"""The real process on real faces: drop files, send signals, kill it, look at the folders."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from intake import status_of
from numbered import paint
from process import COMMAND, NUMBERED, Daemon, as_json, drop, environment, files_below, organizer, partition, person_of
from support import wait_until

from face_organizer.adapters.store import open_store
from face_organizer.config import STATE_FOLDER


@pytest.fixture
def half(faces: list[Path]) -> list[Path]:
    """Of every person every other image, for tests to which it does not matter how many there are."""
    return faces[::2]


def test_once_sorts_an_inbox_by_person_and_empties_it(faces: list[Path], tmp_path: Path) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    drop(faces, inbox)

    summary = as_json("run", "--once", "--inbox", inbox, "--library", library)

    assert summary["images"] == len(faces)
    assert summary["quarantined"] == summary["duplicates"] == 0
    assert files_below(inbox) == []
    assert sorted(path.name for path in files_below(library)) == sorted(path.name for path in faces)
    placed = [path for path in files_below(library) if path.parts[0].startswith("person_")]
    assert len(placed) >= 0.9 * len(faces)
    shown = defaultdict(set)
    for path in placed:
        shown[path.parts[0]].add(person_of(path))
    assert all(len(people) == 1 for people in shown.values()), shown
    assert as_json("check", "--library", library)["findings"] == []
    assert len(as_json("people", "--library", library)) == summary["persons"]


def test_the_daemon_places_what_arrives_and_its_answers_agree_with_the_folders(
    half: list[Path], tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    daemon = start("--inbox", inbox, "--library", library)
    daemon.wait_for("ready")

    drop(half, inbox)
    daemon.wait_for("image_placed", count=len(half))
    wait_until(lambda: status_of(library)["pending"] == 0, within_s=30)

    status = as_json("status", "--library", library)
    assert status["running"] is True
    assert (status["images"], status["in_flight"]) == (len(half), 0)
    assert len(daemon.events("image_enrolled")) == len(half)
    hits = as_json("search", half[0], "--library", library, "--top", "5")
    assert Path(hits[0]["image"]).name == half[0].name
    assert hits[0]["similarity"] > 0.99
    of_person = as_json("search", half[0], "--library", library, "--person", hits[0]["person"], "--face", "1")
    assert {hit["person"] for hit in of_person} == {hits[0]["person"]}
    organizer("search", half[0], "--library", library, "--link", tmp_path / "hits", "--top", "3")
    organizer("report", "--library", library, "--html", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text().count("data:image/jpeg") >= 2
    organizer("search", half[0], "--library", library, "--montage", tmp_path / "hits.png", "--top", "3")
    assert (tmp_path / "hits.png").read_bytes().startswith(b"\x89PNG")
    assert min((tmp_path / "hits").iterdir()).read_bytes() == half[0].read_bytes()
    refused = organizer("search", half[0], "--library", library, "--face", "7", expect=1)
    assert "there is no face 7" in refused.stderr
    organizer("search", "--library", library, expect=2)
    second = organizer("run", "--inbox", inbox, "--library", library, expect=75)
    assert f"(process {daemon.process.pid})" in second.stderr
    assert as_json("check", "--library", library)["findings"] == []
    assert daemon.end() == 0
    assert daemon.events("stopped")


def test_sighup_reclusters_while_images_stream_and_none_is_lost(
    half: list[Path], tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    daemon = start("--inbox", inbox, "--library", library)
    daemon.wait_for("ready")

    drop(half[: len(half) // 2], inbox)
    daemon.wait_for("image_enrolled", count=5)
    for _ in range(20):
        daemon.process.send_signal(signal.SIGHUP)
    drop(half[len(half) // 2 :], inbox)

    (finished, *_) = daemon.wait_for("recluster_finished")
    daemon.wait_for("image_enrolled", count=len(half))
    assert {"born", "merged", "split", "moved", "persons"} <= finished.keys()
    assert daemon.events("config_reloaded")
    assert daemon.end() == 0
    assert len({path.name for path in files_below(library)} | {path.name for path in files_below(inbox)}) == len(half)


def test_sighup_applies_the_sections_that_it_names_whole(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    inbox, library, settings = tmp_path / "inbox", tmp_path / "library", tmp_path / "settings.toml"
    settings.write_text("[watch]\npixels_max = 100\n[recluster]\nseed = 1\n")
    daemon = start("--config", settings, "--inbox", inbox, "--library", library, command=NUMBERED)
    daemon.wait_for("ready")
    paint(inbox / "1.png", [1], 1)
    (refused,) = daemon.wait_for("image_quarantined")
    assert "megapixels" in refused["reason"]

    settings.write_text("[watch]\nsize_max_bytes = 50\n[recluster]\nseed = 1\n")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("config_reloaded")
    paint(inbox / "2.png", [1], 2)
    (_, refused) = daemon.wait_for("image_quarantined", count=2)
    assert "MB" in refused["reason"]

    settings.write_text("[recluster]\nseed = 2\n")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("config_reloaded", count=2)
    paint(inbox / "3.png", [1], 3)
    daemon.wait_for("image_enrolled")
    assert as_json("recluster", "--library", library)["parameters"]["seed"] == 2
    assert daemon.end() == 0


def test_sigterm_finishes_what_is_in_flight_and_the_rest_waits_for_the_next_start(
    half: list[Path], tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    drop(half, inbox)
    daemon = start("--inbox", inbox, "--library", library)
    daemon.wait_for("image_enrolled")

    assert daemon.end() == 0
    left, done = files_below(inbox), files_below(library)
    assert len(left) + len(done) == len(half)

    organizer("run", "--once", "--inbox", inbox, "--library", library)
    assert files_below(inbox) == []
    assert len(files_below(library)) == len(half)


def test_after_kill_9_at_random_moments_the_library_is_the_one_of_an_undisturbed_run(
    faces: list[Path], tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    calm, inbox, library = tmp_path / "calm", tmp_path / "inbox", tmp_path / "library"
    drop(faces, calm / "inbox")
    organizer("run", "--once", "--inbox", calm / "inbox", "--library", calm / "library")
    drop(faces, inbox)
    dice = random.Random(os.environ.get("PYTEST_SEED", "7"))

    for _ in range(4):
        daemon = start("--once", "--inbox", inbox, "--library", library)
        daemon.wait_for("ready")
        threading.Event().wait(dice.uniform(0.1, 0.7))
        daemon.end(signal.SIGKILL)
    organizer("run", "--once", "--inbox", inbox, "--library", library)

    assert files_below(inbox) == []
    assert sorted(path.name for path in files_below(library)) == sorted(path.name for path in faces)
    assert partition(library) == partition(calm / "library")
    assert as_json("check", "--library", library)["findings"] == []
    counts = as_json("status", "--library", library)
    assert (counts["images"], counts["duplicates"]) == (len(faces), 0)


def test_two_people_and_strangers(faces: list[Path], tmp_path: Path) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    everybody = sorted({person_of(path) for path in faces})
    two = [path for path in faces if person_of(path) in everybody[:2]]
    stranger = next(path for path in faces if person_of(path) == everybody[2])
    drop([*two, stranger], inbox)

    summary = as_json("run", "--once", "--people", "2", "--inbox", inbox, "--library", library)

    assert summary["persons"] == 2
    folders = {path.name: path.parts[0] for path in files_below(library)}
    homes = [{folders[path.name] for path in two if person_of(path) == person} for person in everybody[:2]]
    assert homes[0] | homes[1] <= {"person_A", "person_B", "outliers"}
    assert homes[0] & homes[1] <= {"outliers"}
    assert sum(folders[path.name] != "outliers" for path in two) >= 0.75 * len(two)
    assert folders[stranger.name] == "outliers"


def test_the_elbow_chooses_how_many_people_and_shows_its_curve(half: list[Path], tmp_path: Path) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    drop(half, inbox)

    summary = as_json("run", "--once", "--people", "elbow", "--inbox", inbox, "--library", library)

    run = as_json("status", "--library", library)["last_run"]
    curve = json.loads((library / ".face-organizer" / "elbow.json").read_text())
    assert curve["chosen"] == run["found"]["people"] == run["found"]["elbow"]["chosen"]
    assert 1 < curve["chosen"] <= len({person_of(path) for path in half})
    assert summary["persons"] == curve["chosen"]
    assert Path(run["found"]["elbow"]["chart"]).read_bytes().startswith(b"\x89PNG")
    assert as_json("check", "--library", library)["findings"] == []


def test_two_people_keep_their_folders_when_the_other_has_more_images(faces: list[Path], tmp_path: Path) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    first, second = sorted({person_of(path) for path in faces})[:2]
    one, other = ([path for path in faces if person_of(path) == person] for person in (first, second))
    drop([*one[:6], *other[:3]], inbox)
    organizer("run", "--once", "--people", "2", "--inbox", inbox, "--library", library)
    before = {path.name: path.parts[0] for path in files_below(library)}

    drop(other[3:], inbox)
    organizer("run", "--once", "--people", "2", "--inbox", inbox, "--library", library)

    after = {path.name: path.parts[0] for path in files_below(library)}
    assert {before[path.name] for path in one[:6]} != {before[path.name] for path in other[:3]}
    assert all(after[name] == folder for name, folder in before.items() if folder != "outliers")


def test_bad_input_has_its_fate_and_the_rest_goes_on(faces: list[Path], tmp_path: Path) -> None:
    inbox, library, outside = tmp_path / "inbox", tmp_path / "library", tmp_path / "secret.jpg"
    good, other = faces[0], faces[-1]
    outside.write_bytes(other.read_bytes())
    drop([good], inbox)
    half = other.read_bytes()
    (inbox / "empty.jpg").write_bytes(b"")
    (inbox / "half.jpg").write_bytes(half[: len(half) // 2])
    (inbox / "notes.jpg").write_text("just text")
    (inbox / "picture.txt").write_bytes(faces[1].read_bytes())
    (inbox / "link.jpg").symlink_to(outside)
    (inbox / "sub").mkdir()
    (inbox / "sub" / good.name).write_bytes(faces[2].read_bytes())
    (inbox / "sub" / "twin.jpg").write_bytes(good.read_bytes())
    (inbox / os.fsdecode(b"caf\xe9\n.jpg")).write_bytes(faces[3].read_bytes())
    os.mkfifo(inbox / "pipe.jpg")
    (inbox / "copying.jpg.part").write_bytes(b"half")

    summary = as_json("run", "--once", "--inbox", inbox, "--library", library)

    assert (summary["images"], summary["quarantined"], summary["duplicates"]) == (4, 5, 1)
    quarantined = {path.name for path in (library / "quarantine").iterdir()}
    for name in ("empty.jpg", "half.jpg", "notes.jpg", "link.jpg", "pipe.jpg"):
        assert name in quarantined
        assert f"{name}.reason.txt" in quarantined
    assert "empty" in (library / "quarantine" / "empty.jpg.reason.txt").read_text()
    assert "link" in (library / "quarantine" / "link.jpg.reason.txt").read_text()
    assert outside.read_bytes() == half
    assert [path.name for path in files_below(inbox)] == ["copying.jpg.part"]
    names = [path.name for path in files_below(library)]
    assert good.name in names and any(name.startswith(good.stem + "~2") for name in names)
    assert os.fsdecode(b"caf\xe9\n.jpg") in names
    assert as_json("check", "--library", library)["findings"] == []


def test_wrong_usage_and_missing_libraries_are_explained(tmp_path: Path) -> None:
    assert organizer("run", "--people", "many", expect=2).stderr.count("auto") == 1
    assert "inside one another" in organizer("run", "--inbox", tmp_path, "--library", tmp_path / "a", expect=2).stderr
    assert "not a library yet" in organizer("people", "--library", tmp_path / "none", expect=1).stderr
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "in").mkdir()
    refused = organizer("run", "--inbox", tmp_path / "in", "--library", tmp_path / "file" / "x", expect=2)
    assert "file/x" in refused.stderr and "Traceback" not in refused.stderr
    assert "no inbox" in organizer("run", "--once", "--inbox", tmp_path / "typo", expect=2).stderr
    assert organizer("run", "--config", tmp_path / "no.toml", expect=2).stderr.count("no.toml") == 1


def test_commands_without_a_daemon_finish_what_they_begin_from_any_folder(faces: list[Path], tmp_path: Path) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    drop(faces[:16], inbox)
    subprocess.run(
        [*COMMAND, "run", "--once", "--inbox", "inbox", "--library", "library"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=True,
    )
    (moved, *_) = [path for path in files_below(library) if path.parts[0].startswith("person_")]
    (library / moved).rename(library / moved.name)

    assert as_json("check", "--library", library, expect=1)["clean"] is False
    (library / moved.name).rename(library / moved)
    assert as_json("recluster", "--library", library)["faces"] == 16
    assert as_json("status", "--library", library)["pending"] == 0
    assert as_json("check", "--library", library)["findings"] == []


def test_where_nobody_follows_the_folders_a_file_taken_out_is_noticed_and_repair_makes_peace(
    faces: list[Path], tmp_path: Path
) -> None:
    inbox, library, settings = tmp_path / "inbox", tmp_path / "library", tmp_path / "settings.toml"
    drop(faces[:8], inbox)
    settings.write_text("[folders]\nwatch = false\n")
    organizer("run", "--once", "--config", settings, "--inbox", inbox, "--library", library)
    gone = library / files_below(library)[0]
    gone.unlink()

    (finding,) = as_json("check", "--library", library, expect=1)["findings"]
    assert finding["kind"] == "lost_place"
    repaired = as_json("check", "--repair", "--library", library)
    assert (repaired["repaired"], repaired["left"]) == (1, [])
    assert as_json("check", "--library", library)["findings"] == []

    stray = library / files_below(library)[0]
    stray.rename(stray.with_name("renamed.jpg"))
    told = organizer("check", "--repair", "--library", library, expect=1).stdout
    assert "move it to the inbox" in told
    assert "2 findings, 1 repaired, 1 left" in told


def test_without_its_memory_it_never_mixes_new_persons_into_old_folders(faces: list[Path], tmp_path: Path) -> None:
    inbox, library = tmp_path / "inbox", tmp_path / "library"
    people = sorted({person_of(path) for path in faces})
    drop([path for path in faces if person_of(path) == people[0]], inbox)
    organizer("run", "--once", "--inbox", inbox, "--library", library)
    shutil.rmtree(library / ".face-organizer")

    drop([path for path in faces if person_of(path) == people[1]], inbox)
    organizer("run", "--once", "--inbox", inbox, "--library", library)

    shown = defaultdict(set)
    for path in files_below(library):
        if path.parts[0].startswith("person_"):
            shown[path.parts[0]].add(person_of(path))
    assert {frozenset(who) for who in shown.values()} == {frozenset(people[:1]), frozenset(people[1:2])}


def test_answers_have_no_dots_in_their_paths_and_images_stay_known_by_how_the_inbox_was_spelt(
    faces: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    drop(faces[:4], tmp_path / "in")
    inbox, library = (tmp_path / "work" / ".." / name for name in ("in", "out"))
    arguments = ("--placement", "copy", "--inbox", inbox, "--library", library)
    organizer("run", "--once", *arguments)

    for command in (("status",), ("explain", faces[0]), ("report",), ("export", "--format", "csv")):
        said = organizer(*command, "--library", library, *(["--json"] if command[0] != "export" else [])).stdout
        assert str(tmp_path / "out") in said or command[0] == "explain", command
        assert "/.." not in said.replace(str(faces[0]), ""), command
    assert as_json("run", "--once", *arguments)["duplicates"] == 0
    with open_store(
        tmp_path / "out" / STATE_FOLDER / "truth", "", 0
    ).write() as txn:  # as if spelt so by a start before
        for file_id, file in list(txn.files.items()):
            txn.delete_source(file.source)
            old = file.source.replace(b"/in/", b"/work/../in/")
            txn.files.put(file_id, replace(file, source=old))
            txn.put_source(old, file_id)
        txn.put_note("settings", txn.note("settings").replace(b'/in"', b'/work/../in"'))
    assert as_json("run", "--once", *arguments)["duplicates"] == 0
