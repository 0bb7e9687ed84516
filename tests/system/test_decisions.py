"""Decisions by command on real faces, with the daemon and without: they hold, are explained, and can be taken back."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from intake import status_of
from process import Daemon, as_json, drop, files_below, organizer
from support import wait_until
from survival import Nest


@pytest.fixture(scope="module")
def sorted_once(faces: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sorted")
    drop(faces, folder / "inbox")
    organizer("run", "--once", "--inbox", folder / "inbox", "--library", folder / "library")
    return folder


@pytest.fixture
def library(sorted_once: Path, tmp_path: Path) -> Path:
    """A library of its own, of real faces. Its inbox lies beside it and is empty."""
    shutil.copytree(sorted_once / "library", tmp_path / "library", symlinks=True)
    (tmp_path / "inbox").mkdir()
    return tmp_path / "library"


def tree(library: Path) -> dict[str, bytes]:
    return {str(path): (library / path).read_bytes() for path in files_below(library)}


def people(library: Path) -> dict[str, int]:
    return {row["folder"]: row["faces"] for row in as_json("people", "--library", library)}


def test_a_named_person_keeps_name_and_folder_over_twenty_reclusterings(
    library: Path, start: Callable[..., Daemon]
) -> None:
    daemon = start("--inbox", library.parent / "inbox", "--library", library)
    daemon.wait_for("ready")
    first = as_json("people", "--library", library)[0]

    as_json("name", first["cover"], "Zoë Example", "--library", library)
    for number in range(20):
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("recluster_finished", count=number + 1)

    assert people(library)["Zoë Example"] == first["faces"]
    assert len(list((library / "Zoë Example").iterdir())) == first["images"]
    assert as_json("check", "--library", library)["findings"] == []


def test_a_merge_a_split_a_rejection_and_their_undo_give_back_the_same_tree(
    library: Path, start: Callable[..., Daemon]
) -> None:
    start("--inbox", library.parent / "inbox", "--library", library).wait_for("ready")
    before, (one, other, third, *_) = tree(library), as_json("people", "--library", library)

    as_json("merge", library / other["folder"], one["folder"], "--library", library)
    as_json("split", str(third["person_id"]), "--into", "2", "--library", library)
    rejected = sorted((library / one["folder"]).iterdir())[0]
    as_json("reject", rejected, "--library", library)
    as_json("recluster", "--library", library)

    assert other["folder"] not in people(library)
    assert people(library)[third["folder"]] < third["faces"]
    assert not rejected.exists()
    assert tree(library).keys() != before.keys()
    for _ in range(3):
        as_json("undo", "--library", library)
    assert tree(library) == before
    assert [row["undone_by"] for row in as_json("history", "--library", library)] == [6, 5, 4, None, None, None]


def test_a_proposal_is_shown_applied_and_rolled_back_to_the_last_byte(
    library: Path, tmp_path: Path, start: Callable[..., Daemon]
) -> None:
    strict = tmp_path / "strict.toml"  # with it, a re-clustering takes persons apart
    strict.write_text("[persons]\nsimilarity_link_min = 0.75\n")
    start("--config", strict, "--inbox", library.parent / "inbox", "--library", library).wait_for("ready")
    before = tree(library)

    proposal = as_json("recluster", "--propose", "--library", library)

    assert (proposal["state"], proposal["parameters"]["similarity_link_min"]) == ("proposed", 0.75)
    assert proposal["moved"] > 0
    assert Path(proposal["moves"][0]["examples"][0]).is_file()
    assert as_json("status", "--library", library)["proposal"]["run_id"] == proposal["run_id"]
    assert tree(library) == before
    applied = as_json("recluster", "--apply", "--library", library)
    assert applied["state"] == "applied"
    wait_until(lambda: status_of(library)["pending"] == 0, within_s=30)
    assert tree(library) != before
    assert as_json("recluster", "--rollback", "--library", library)["rolled_back"] == [applied["run_id"]]
    assert tree(library) == before
    assert as_json("runs", "--library", library)[-1]["state"] == "rolled_back"


def test_every_face_is_explained(library: Path) -> None:
    first = as_json("people", "--library", library)[0]
    as_json("name", first["cover"], "Ada", "--library", library)
    image = sorted((library / "Ada").iterdir())[-1]

    (face, *_) = as_json("explain", image, "--library", library)["faces"]
    told = organizer("explain", image, "--library", library).stdout

    assert face["person"] == "Ada"
    assert face["similarity"] > 0.4
    assert face["nearest"][0]["person"] == "Ada"
    assert face["rule"] in ("joined", "founded", "reclustered")
    assert face["nearest_confirmed"] or "Ada" in str(face["decisions"])
    assert "is Ada" in told


def test_what_makes_no_sense_is_refused_with_a_way_out(library: Path, tmp_path: Path, nests: list[Nest]) -> None:
    def refused(*words: str | Path, expect: int = 1) -> str:
        ended = nests[0].run(*words, "--library", library)
        assert ended.code == expect, ended
        return ended.err

    stranger = tmp_path / "stranger.jpg"
    stranger.write_bytes(b"not in the library")
    letter = library / "quarantine" / "letter.txt"
    letter.parent.mkdir(exist_ok=True)
    letter.write_text("Dear Sir or Madam")
    letter.with_name("letter.txt.reason.txt").write_text("no image that we read\noriginal path: letter.txt\n")

    for arguments, sentence in [
        (("name", "Nobody", "Ada"), "nobody here is called 'Nobody'"),
        (("explain", stranger), "is not in this library"),
        (("explain", letter), "lies in quarantine/, for it could not be taken in: no image that we read\n"),
        (("reject", "4711"), "there is no face 4711"),
        (("undo", "99"), "there is no decision 99"),
        (("recluster", "--apply"), "no proposal waits"),
        (("recluster", "--rollback", "99"), "there is no run 99"),
        (("split", "1", "--into", "90"), "too few to split"),
        (("name", "1", "77"), "a number means a person by its id"),
    ]:
        assert sentence in refused(*arguments)
    refused("recluster", "--apply", "--propose", expect=2)
    assert "not the number of a run" in refused("recluster", "--rollback=x", expect=2)
    assert "say two persons, --library is none" in refused("search", "--together", "Ann", expect=2)
    assert "no file" in refused("reject", library / "gone.jpg", expect=2)
    assert "name is missing" in refused("assign", "1", stranger, "--new", expect=2)


def test_a_running_daemon_takes_decisions_and_a_kill_loses_none(library: Path, start: Callable[..., Daemon]) -> None:
    one, other, *_ = as_json("people", "--library", library)
    daemon = start("--inbox", library.parent / "inbox", "--library", library)
    daemon.wait_for("ready")

    as_json("name", one["folder"], "Ada", "--library", library)
    as_json("merge", other["folder"], "Ada", "--library", library)
    daemon.end(signal.SIGKILL)

    as_json("recluster", "--library", library)
    assert people(library)["Ada"] == one["faces"] + other["faces"]
    assert len(list((library / "Ada").iterdir())) >= one["images"]
    assert as_json("check", "--library", library)["findings"] == []


def test_a_split_takes_an_intruder_out_alone_and_leaves_one_person_whole(library: Path) -> None:
    one, other, *_ = as_json("people", "--library", library)
    whole = organizer("split", str(one["person_id"]), "--library", library, expect=1)
    assert f"split {one['person_id']} --into 2" in whole.stderr
    as_json("assign", sorted((library / other["folder"]).iterdir())[0], str(one["person_id"]), "--library", library)

    parts = as_json("split", str(one["person_id"]), "--library", library)["persons"]

    assert sorted(part["faces"] for part in parts) == [1, one["faces"]]
