"""Out to other programs and in from them, with the real program: tables, sidecars, exiftool's own regions, names."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from numbered import paint
from process import NUMBERED, Daemon, as_json, environment, files_below, organizer

needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None, reason="exiftool (libimage-exiftool-perl) is not installed"
)


@pytest.fixture(scope="module")
def sorted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Person 1 on four pictures, person 2 on three, both on one more."""
    folder = tmp_path_factory.mktemp("sorted")
    for number, people in enumerate([(1,), (1,), (1,), (1,), (2,), (2,), (2,), (1, 2)]):
        paint(folder / "inbox" / f"{number}.png", people, number)
    arguments = ("run", "--once", "--inbox", folder / "inbox", "--library", folder / "library")
    organizer(*arguments, command=NUMBERED)
    return folder / "library"


@pytest.fixture
def library(sorted_once: Path, tmp_path: Path) -> Path:
    """One of its own, an empty inbox beside it."""
    (tmp_path / "inbox").mkdir()
    return Path(shutil.copytree(sorted_once, tmp_path / "library", symlinks=True))


def regions(file: Path) -> dict[str, list[float]]:
    """What exiftool reads: name -> middle and size."""
    told = subprocess.run(["exiftool", "-struct", "-j", "-RegionInfo", file], capture_output=True, check=True)
    found = json.loads(told.stdout)[0]["RegionInfo"]["RegionList"]
    return {each["Name"]: [float(each["Area"][key]) for key in "XYWH"] for each in found}


def test_faces_go_out_as_a_table_from_a_running_daemon_and_without_one(
    library: Path, start: Callable[..., Daemon]
) -> None:
    out = library.parent / "faces.parquet"
    table = organizer("export", "--library", library, "--format", "csv", "--where", "quality>=0.5").stdout
    rows = list(csv.DictReader(io.StringIO(table)))
    assert len(rows) == 9
    assert {row["person"] for row in rows} == {"person_0001", "person_0002"}
    assert all(Path(row["path"]).is_file() for row in rows)

    daemon = start("--inbox", library.parent / "inbox", "--library", library, command=NUMBERED)
    daemon.wait_for("ready")

    assert as_json("export", "--library", library, "--format", "parquet", "--out", out)["rows"] == 9
    persons = organizer("export", "--library", library, "--format", "jsonl", "--of", "persons").stdout
    assert [json.loads(line)["faces"] for line in persons.splitlines()] == [5, 4]
    refused = organizer("export", "--library", library, "--format", "csv", "--where", "gender=female", expect=1)
    assert "nothing is known of gender here" in refused.stderr
    organizer("export", "--library", library, expect=2)
    image = library / "person_0001" / "0.png"
    before = image.read_bytes()
    for path in (image, library.parent / "inbox" / "new.csv"):
        refused = organizer("export", "--library", library, "--format", "csv", "--out", path, expect=1)
        assert "lies in the " in refused.stderr
    assert image.read_bytes() == before


@pytest.mark.long
def test_a_reader_that_has_enough_is_no_error(library: Path) -> None:
    done = subprocess.run(
        f"{' '.join(NUMBERED)} export --library '{library}' --format csv | head -1",
        shell=True,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.startswith("face_id,")
    assert done.stderr == ""


@needs_exiftool
def test_names_go_round_by_sidecars_that_exiftool_reads(library: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    shutil.copytree(library, fresh, symlinks=True)
    organizer("name", "person_0001", "Zoë & Co", "--library", library)
    organizer("name", "person_0002", "Bob", "--library", library)

    assert as_json("export", "--xmp", "--library", library)["written"] == 9  # one picture lies in two folders
    assert as_json("check", "--library", library)["clean"]
    both = next(path for path in (library / "Bob").iterdir() if path.name == "7.png")
    assert regions(both.with_name("7.png.xmp")).keys() == {"Zoë & Co", "Bob"}

    found = as_json("import-names", library, "--library", fresh)
    assert (found["matched"], found["unmatched"], found["unknown"]) == (11, 0, 0)
    assert {row["name"]: row["faces"] for row in as_json("people", "--library", fresh)} == {"Zoë & Co": 5, "Bob": 4}
    assert as_json("import-names", library, "--library", fresh)["decisions"] == []
    assert as_json("import-names", library, "--library", library)["decisions"] == []  # we said so ourselves


@pytest.mark.long
@needs_exiftool
def test_names_that_exiftool_wrote_into_sidecars_or_the_images_are_taken_over(library: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for person, name in (("person_0001", "Ann"), ("person_0002", "Ben")):
        image = next(path for path in (library / person).iterdir() if path.name != "7.png")
        shutil.copy(image, elsewhere / image.name)
        area = "{X=0.02,Y=0.02,W=0.05,H=0.05,Unit=normalized}"
        told = f"-RegionInfo={{RegionList=[{{Area={area},Name={name},Type=Face}}]}}"
        subprocess.run(["exiftool", "-q", told, "-o", elsewhere / f"{image.name}.xmp"], check=True)

    organizer("import-names", elsewhere, "--library", library)

    assert {row["name"] for row in as_json("people", "--library", library)} == {"Ann", "Ben"}


@needs_exiftool
def test_copies_carry_the_names_and_what_was_there_before_keeps_every_byte(
    library: Path, sorted_once: Path, tmp_path: Path
) -> None:
    organizer("name", "person_0001", "Zoë", "--library", library)
    before = {path: (library / path).read_bytes() for path in files_below(library)}

    theirs = tmp_path / "out" / "Zoë" / "0.png"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"somebody's own")

    exporting = ("export", "--write-metadata", tmp_path / "out", "--library", library)
    assert as_json(*exporting) == {"written": 5, "as_they_are": 0, "left_alone": 1, "gone": 0}
    assert as_json(*exporting) == {"written": 0, "as_they_are": 5, "left_alone": 1, "gone": 0}
    for place, told in (
        (library, "is the library"),
        (library / "new", "lies in"),
        (sorted_once.with_name("inbox"), "is the inbox"),
    ):
        assert told in organizer(*exporting[:2], place, *exporting[3:], expect=1).stderr

    assert {path: (library / path).read_bytes() for path in files_below(library)} == before
    assert theirs.read_bytes() == b"somebody's own"
    copies = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path != theirs]
    assert len(copies) == 5
    assert all(set(regions(path)) == {"Zoë"} for path in copies)


@pytest.mark.long
def test_a_sidecar_of_another_program_is_left_alone_and_ours_go_with_their_image(library: Path) -> None:
    organizer("name", "person_0001", "Ann", "--library", library)
    theirs = library / "Ann" / "0.png.xmp"
    theirs.write_text("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")

    assert as_json("export", "--xmp", "--library", library) == {"written": 5, "left_alone": 1, "removed": 0, "gone": 0}
    assert theirs.read_text() == "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    organizer("name", "Ann", "Anna", "--library", library)
    again = as_json("export", "--xmp", "--library", library)

    assert again["removed"] == 4
    assert again["written"] == 6
    assert sorted(path.name for path in (library / "Ann").iterdir()) == ["0.png.xmp"]
    organizer("undo", "--library", library)
    organizer("undo", "--library", library)
    assert as_json("export", "--xmp", "--library", library)["removed"] == 6
    assert not (library / "Anna").exists()
