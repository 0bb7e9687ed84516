"""Images whose content is changed where they lie, on the real process: by an editor, by exiftool, and by accident."""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from homes import FollowedHome
from numbered import paint
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from process import COMMAND, NUMBERED, Daemon, as_json, environment, organizer
from support import wait_until

from face_organizer.app.commands import answer

ANN, BOB = "person_0001", "person_0002"

needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None, reason="exiftool (libimage-exiftool-perl) is not installed"
)


class House(FollowedHome):
    """Ann on four pictures, Bob on four, both on one more."""

    def __init__(self, folder: Path, start: Callable[..., Daemon], placement: str = "move") -> None:
        super().__init__(folder, start, f'placement = "{placement}"\n')
        for number, people in enumerate([(1,), (1,), (1,), (1,), (2,), (2,), (2,), (2,), (1, 2)]):
            paint(self.inbox / f"{number}.png", people, number)
        self.once()

    def at(self, place: str) -> Path:
        return self.library / place

    def faces(self) -> list[tuple[int, str, str]]:
        rows = answer(self.library, "export_faces")["rows"]
        return [(row["face_id"], row["person"], Path(row["path"] or "").name) for row in rows]

    def are_written(self, before: set[tuple[Path, int]], count: int) -> bool:
        now = {(path, path.stat().st_ino) for path in self.at("Ann").glob("*.png")}
        return len(now - before) >= count


@pytest.fixture
def house(tmp_path: Path, start: Callable[..., Daemon]) -> House:
    return House(tmp_path, start)


def saved_anew(path: Path, says: str = "edited") -> bytes:
    """The same picture in other bytes."""
    said, buffer = PngInfo(), io.BytesIO()
    said.add_text("Comment", says)
    with Image.open(path) as image:
        image.save(buffer, "PNG", pnginfo=said)
    return buffer.getvalue()


def in_place(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def renamed_over(path: Path, content: bytes) -> None:
    staged = path.with_name(f".{path.name}.tmp")
    staged.write_bytes(content)
    staged.replace(path)


@pytest.mark.parametrize("save", [pytest.param(in_place, marks=pytest.mark.long), renamed_over])
def test_an_edited_image_keeps_its_faces_and_all_its_places_show_the_edit(
    house: House, save: Callable[[Path, bytes], None]
) -> None:
    daemon, before = house.begin(), house.faces()
    both = house.at(f"{ANN}/8.png")
    old, edited = both.read_bytes(), saved_anew(both)

    save(both, edited)
    daemon.wait_for("image_edited")
    house.is_well()

    assert house.faces() == before
    assert house.at(f"{BOB}/8.png").samefile(both)
    assert both.read_bytes() == edited
    (house.inbox / "again.png").write_bytes(old)
    daemon.wait_for("image_duplicate")
    house.is_well()
    assert house.faces() == before
    assert house.at(f"{ANN}/again.png").read_bytes() == old
    assert both.read_bytes() == edited


@pytest.mark.parametrize("save", [pytest.param(in_place, marks=pytest.mark.long), renamed_over])
def test_an_image_that_is_edited_and_dragged_or_whose_folder_is_renamed_in_one_burst_stays_what_it_is(
    house: House, save: Callable[[Path, bytes], None]
) -> None:
    daemon, before = house.begin(), house.faces()
    for place in (f"{ANN}/0.png", f"{BOB}/4.png"):
        save(house.at(place), saved_anew(house.at(place)))
    house.at(ANN).rename(house.at("Zoe"))
    house.at(f"{BOB}/4.png").rename(house.at("Zoe/4.png"))

    daemon.wait_for("folders_understood")
    house.is_well()

    moved = [(id_, "Zoe" if who == ANN or name == "4.png" else who, name) for id_, who, name in before]
    assert house.faces() == moved
    assert len(daemon.events("image_edited")) == 2 and not daemon.events("image_missing")
    assert [row["kind"] for row in answer(house.library, "history")] == ["sorted"]


def test_what_changed_while_nobody_watched_is_found_at_the_start(house: House) -> None:
    before = house.faces()
    edits = {place: saved_anew(house.at(place)) for place in (f"{ANN}/0.png", f"{BOB}/4.png", f"{BOB}/8.png")}
    for place, content in edits.items():
        renamed_over(house.at(place), content)
    house.at(f"{ANN}/1.png").write_text("no image any more")
    other = np.zeros((24, 48, 3), np.uint8)
    other[0, 0, 0], other[1, 0, 0] = 1 + 1, 77
    Image.fromarray(other).save(house.at(f"{ANN}/2.png"))

    house.once()

    lost = next(face for face, _, name in before if name == "2.png")
    now = house.faces()
    assert [row for row in now if row[0] not in (lost, 11)] == [row for row in before if row[0] != lost]
    assert [row[1:] for row in now if row[0] == 11] == [(ANN, "2.png")]
    assert {place: house.at(place).read_bytes() for place in edits} == edits
    assert house.at(f"{ANN}/8.png").samefile(house.at(f"{BOB}/8.png"))
    assert house.at(f"{ANN}/1.png").read_text() == "no image any more"
    assert [row["says"] for row in answer(house.library, "history")] != []


@pytest.mark.long
def test_an_edit_can_be_taken_back_and_its_image_forgotten(house: House) -> None:
    old = house.at(f"{ANN}/8.png").read_bytes()
    renamed_over(house.at(f"{ANN}/8.png"), saved_anew(house.at(f"{ANN}/8.png")))
    house.once()
    house.is_well()
    renamed_over(house.at(f"{BOB}/8.png"), old)
    house.once()
    house.is_well()
    assert house.at(f"{ANN}/8.png").read_bytes() == old
    renamed_over(house.at(f"{BOB}/8.png"), saved_anew(house.at(f"{BOB}/8.png"), "again"))
    house.once()

    as_json("forget", ANN, "--yes", "--library", house.library, command=NUMBERED)
    house.is_well()
    assert {row[1] for row in house.faces()} == {BOB}
    assert house.at(f"{BOB}/8.png").exists()


@pytest.mark.parametrize("placement", ["hardlink", "copy"])
@pytest.mark.parametrize("save", [in_place, renamed_over])
@pytest.mark.long
def test_where_originals_stay_in_the_inbox_an_edit_in_the_library_is_one_too(
    tmp_path: Path, start: Callable[..., Daemon], placement: str, save: Callable[[Path, bytes], None]
) -> None:
    house = House(tmp_path, start, placement)
    before, edited = house.faces(), saved_anew(house.at(f"{ANN}/8.png"))
    save(house.at(f"{ANN}/8.png"), edited)

    for _ in range(2):
        house.once()

        assert house.faces() == before
        assert house.at(f"{BOB}/8.png").read_bytes() == edited
        house.is_well()


@needs_exiftool
@pytest.mark.parametrize("with_daemon", [False, pytest.param(True, marks=pytest.mark.long)])
def test_names_go_into_the_images_themselves_when_asked(house: House, with_daemon: bool) -> None:
    daemon = house.begin() if with_daemon else None
    organizer("name", ANN, "Ann", "--library", house.library)
    house.is_well()
    before = house.faces()
    refused = organizer("export", "--library", house.library, "--write-metadata", expect=2)
    assert "--yes" in refused.stderr

    told = as_json("export", "--library", house.library, "--write-metadata", "--yes")

    assert told == {"written": 5, "as_they_are": 0, "left_alone": 0, "gone": 0}
    house.is_well()
    assert house.faces() == before
    assert house.at("Ann/8.png").samefile(house.at(f"{BOB}/8.png"))
    names = subprocess.run(["exiftool", "-s3", "-RegionName", house.at("Ann/8.png")], capture_output=True, check=True)
    assert names.stdout.decode().strip() == "Ann"
    assert as_json("export", "--library", house.library, "--write-metadata", "--yes")["as_they_are"] == 5
    if daemon is not None:
        assert not daemon.events("folders_understood")


@pytest.mark.long
def test_killed_at_once_after_an_edit_the_next_start_brings_its_places_in_line(house: House) -> None:
    before = house.faces()
    for number, event in enumerate(["ready", "image_edited", "image_edited"]):
        daemon = house.begin()
        edited = saved_anew(house.at(f"{ANN}/8.png"), f"{number}")
        renamed_over(house.at(f"{BOB}/8.png"), edited)
        daemon.wait_for(event)
        daemon.end(signal.SIGKILL)

        house.once()

        assert house.faces() == before
        assert house.at(f"{ANN}/8.png").read_bytes() == edited
        house.is_well()


@needs_exiftool
@pytest.mark.long
def test_writing_names_that_is_killed_loses_nothing_and_is_ended_by_saying_it_again(house: House) -> None:
    organizer("name", ANN, "Ann", "--library", house.library)
    before = house.faces()
    inside = [*COMMAND, "export", "--library", str(house.library), "--write-metadata", "--yes"]
    for written in (1, 3):
        done = {(path, path.stat().st_ino) for path in house.at("Ann").glob("*.png")}
        writing = subprocess.Popen(inside, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(partial(house.are_written, done, written), 60)
        writing.kill()
        writing.wait()
        house.once()
        assert house.faces() == before
        house.is_well()

    told = as_json("export", "--library", house.library, "--write-metadata", "--yes")

    assert told["written"] + told["as_they_are"] == 5
    assert not list(house.library.glob(".face-organizer-export*"))
    house.is_well()
    assert house.faces() == before
