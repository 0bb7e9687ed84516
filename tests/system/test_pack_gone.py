"""A library whose model pack is gone can be asked, corrected and moved to another; only what looks at a picture is
refused, with what helps. Pictures are numbers (numbered.py)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from homes import Home
from numbered import OTHER, paint
from survival import Nest, opened, truth_of

from face_organizer.app.library_pack import NOTED
from face_organizer.app.machine import _pack_missing
from face_organizer.config import STATE_FOLDER, Config
from face_organizer.facts import PackMissing

GONE = "/mnt/disk/pack25"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, nest: Nest) -> Home:
    home = Home(tmp_path_factory.mktemp("home"), nest)
    for number in range(4):
        paint(home.inbox / f"a-{number}.png", [11], number)
        paint(home.inbox / f"b-{number}.png", [12], 10 + number)
    home.sort()
    with opened(home.library) as store, store.write() as txn:
        model = txn.models.get(txn.slot)
        assert model is not None
        txn.models.put(txn.slot, replace(model, pack=GONE))
    return home


@pytest.fixture
def home(template: Home, tmp_path: Path) -> Home:
    return template.copy(tmp_path)


def test_what_shows_nothing_to_the_networks_works_all_the_same(home: Home) -> None:
    status = home.json("status")
    assert status["pack"] == GONE
    assert status["problems"] == [problem_of(home)]
    one, other = home.person("a-0.png"), home.person("b-0.png")

    home.run("name", one, "Ada")
    home.run("merge", "Ada", other)
    home.run("undo")
    home.run("recluster")

    people = home.run("people", "--json")
    assert {each["name"] for each in json.loads(people.out)} == {"Ada", other}
    assert people.err == ""
    assert len(home.json("history")) == 3
    assert home.json("runs")
    assert home.json("explain", home.library / "Ada" / "a-0.png")
    assert len(home.run("export", "--format", "jsonl").out.splitlines()) == 8
    assert home.json("check")["findings"] == []
    home.run("report")
    home.run("forget", other, "--yes")
    assert [each["name"] for each in home.json("people")] == ["Ada"]


def problem_of(home: Home) -> str:
    return (
        f"the library {home.library} goes by the model pack {GONE}, which is not to be had: there is no folder {GONE}."
        f" Put the folder {GONE} back as it was, or `face-organizer reembed --pack opencv-zoo --library {home.library}`"
        " moves it to another, for which only its images are needed"
    )


def test_what_looks_at_a_picture_is_refused_with_what_helps(home: Home) -> None:
    photo = paint(home.inbox / "c.png", [11], 30)

    assert problem_of(home) in home.run("search", photo, expect=1).err
    assert problem_of(home) in home.sort(expect=2).err
    home.config.write_text(f'[faces]\npack = "{GONE}"\n')
    refused = home.sort(expect=2).err
    assert f"faces.pack = '{GONE}': there is no folder {GONE}. Put the folder" in refused
    assert f"`face-organizer reembed --pack opencv-zoo --library {home.library}`" in refused


def test_the_doctor_tells_it_and_changes_nothing(home: Home) -> None:
    truth = home.library / STATE_FOLDER / "truth" / "data.mdb"
    before = truth.read_bytes(), truth.stat().st_mtime_ns

    missing = _pack_missing(Config(library=str(home.library)))

    assert missing == PackMissing(str(home.library), GONE, f"there is no folder {GONE}")
    assert (truth.read_bytes(), truth.stat().st_mtime_ns) == before
    assert _pack_missing(Config(library=str(home.library.parent / "none"))) is None


def test_it_is_moved_to_another_pack_from_its_images(home: Home) -> None:
    people = home.json("people")

    told = json.loads(home.run("reembed", "--pack", OTHER, "--json").out)

    assert told["in_use"] == OTHER
    assert [each["person_id"] for each in home.json("people")] == [each["person_id"] for each in people]
    assert home.json("status")["problems"] == []
    assert home.sort().code == 0


def test_the_bounds_are_noted_while_the_pack_is_there(template: Home) -> None:
    with truth_of(template.library) as txn:
        assert json.loads(txn.note(NOTED))["similarity_join_min"] > 0
