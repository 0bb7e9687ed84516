"""What is held of a model pack can be given back; what a library needs, or somebody brought, stays."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import structlog
import tiny

from face_organizer.adapters.examine import _packs
from face_organizer.adapters.lock import LibraryLock
from face_organizer.adapters.models import PULLED, known_addresses, load_pack
from face_organizer.adapters.noted import libraries_noted, note_library
from face_organizer.adapters.pull import held, part_of
from face_organizer.adapters.remove import remove_pack
from face_organizer.app import machine
from face_organizer.app.opening import open_organizer
from face_organizer.config import STATE_FOLDER, Config, FacesConfig
from face_organizer.errors import AlreadyRunningError, ModelError, RequestError
from face_organizer.records import ModelRecord


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pack that somebody brought, made fit to run."""
    folder = tiny.buffalo(tmp_path / "mine")
    load_pack(str(folder), tmp_path / "models")
    return folder


def below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_was_made_of_a_folder_goes_and_the_folder_stays(folder: Path, tmp_path: Path) -> None:
    brought = below(folder)

    (gone,) = remove_pack(str(folder), tmp_path / "models")

    assert gone.name.startswith("mine-")
    assert below(tmp_path / "models") == []
    assert below(folder) == brought
    assert known_addresses(tmp_path / "models") == ["opencv-zoo"]
    assert remove_pack(str(folder), tmp_path / "models") == []


def test_a_folder_that_is_gone_can_be_removed_by_the_name_that_is_listed(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder)
    (*_, address) = known_addresses(tmp_path / "models")

    assert len(remove_pack(address, tmp_path / "models")) == 1

    assert known_addresses(tmp_path / "models") == ["opencv-zoo"]


def test_a_pulled_pack_goes_whole_and_no_other(folder: Path, tmp_path: Path) -> None:
    models_dir = tmp_path / "models"
    for name in ("buffalo_l", "buffalo_s"):
        tiny.buffalo(models_dir / PULLED / name)
        load_pack(name, models_dir)
    part_of("buffalo_l", models_dir).write_bytes(b"half of it")

    gone = remove_pack("buffalo_l", models_dir)

    assert gone == [models_dir / PULLED / "buffalo_l", models_dir / "buffalo_l"]
    assert [path for path in models_dir.rglob("*") if "buffalo_l" in path.name] == []
    assert known_addresses(models_dir) == ["opencv-zoo", "buffalo_s", str(folder)]
    assert remove_pack("buffalo_l", models_dir) == []


def test_what_a_kill_left_of_a_removal_goes_with_the_next(tmp_path: Path) -> None:
    models_dir = tmp_path / "models"
    tiny.buffalo(models_dir / PULLED / ".buffalo_l.gone")

    assert known_addresses(models_dir) == ["opencv-zoo"]
    assert remove_pack("buffalo_l", models_dir) == []
    assert below(models_dir) == []


def test_neither_what_comes_along_nor_what_is_being_pulled_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="comes with the program"):
        remove_pack("opencv-zoo", tmp_path)
    (tmp_path / PULLED).mkdir()
    with held(part_of("buffalo_l", tmp_path)), pytest.raises(ModelError, match="another process is pulling"):
        remove_pack("buffalo_l", tmp_path)


@pytest.mark.parametrize("name", ["..", ".", "/", "../models", "pulled", "libraries"])
def test_no_name_leads_anywhere_else(folder: Path, tmp_path: Path, name: str) -> None:
    before = below(tmp_path)

    assert remove_pack(name, tmp_path / "models") == []

    assert below(tmp_path) == before


def test_libraries_are_noted_once_each_whatever_their_name(tmp_path: Path) -> None:
    libraries = [tmp_path / "b", tmp_path / "a", Path("/srv/caf\udce9\n")]

    for library in libraries * 2:
        note_library(tmp_path, library, "buffalo_l")
    note_library(tmp_path, libraries[1], "/mnt/caf\udce9")
    note_library(tmp_path, tmp_path / "usual", "opencv-zoo")  # which nobody can remove

    noted = libraries_noted(tmp_path)
    assert list(noted) == sorted(libraries)
    assert noted[libraries[0]] == {"buffalo_l"}
    assert noted[libraries[1]] == {"buffalo_l", "/mnt/caf\udce9"}
    note_library(tmp_path / "file", libraries[0], "buffalo_l")
    (tmp_path / "other").write_bytes(b"")
    note_library(tmp_path / "other", libraries[0], "buffalo_l")  # cannot be written: nobody remembers


# with libraries


@pytest.fixture
def config(folder: Path, tmp_path: Path) -> Config:
    """Of a library that goes by it."""
    faces = FacesConfig(pack=str(folder), models_dir=str(tmp_path / "models"))
    config = Config(inbox=str(tmp_path / "in"), library=str(tmp_path / "out"), faces=faces)
    open_organizer(config, structlog.get_logger()).stop()
    return config


def test_a_pack_that_a_library_goes_by_is_kept_until_there_is_no_such_library(
    config: Config, folder: Path, tmp_path: Path
) -> None:
    models_dir = tmp_path / "models"
    before = below(models_dir)
    with pytest.raises(RequestError, match=f"the library {config.library} goes by .*reembed --pack NAME"):
        machine.remove_pack(str(folder), models_dir)
    lock = LibraryLock(Path(config.library) / STATE_FOLDER)
    with pytest.raises(AlreadyRunningError):  # a command works on it: nobody can ask
        machine.remove_pack(str(folder), models_dir)
    lock.release()
    assert below(models_dir) == before

    Path(config.library).rename(tmp_path / "taken")

    with pytest.raises(RequestError, match=f"is not where it was: {config.library}.* --yes"):
        machine.remove_pack(str(folder), models_dir)
    assert below(models_dir) == before
    assert len(machine.remove_pack(str(folder), models_dir, unasked=True)["removed"]) == 1
    assert machine.remove_pack(str(folder), models_dir)["removed"] == []


def test_a_library_that_is_away_is_asked_about_for_the_packs_that_it_went_by(folder: Path, tmp_path: Path) -> None:
    models_dir = tmp_path / "models"
    note_library(models_dir, tmp_path / "away", "buffalo_l")

    assert len(machine.remove_pack(str(folder), models_dir)["removed"]) == 1

    load_pack(str(folder), models_dir)
    (note,) = (models_dir / "libraries").iterdir()
    note.write_bytes(bytes(tmp_path / "away"))  # by a version that did not note which
    with pytest.raises(RequestError, match="--yes"):
        machine.remove_pack(str(folder), models_dir)


@pytest.mark.parametrize("name", ["zz", "bufalo_l", "/mnt/nowhere"])
def test_a_name_that_is_no_pack_is_refused_with_those_there_are(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match=f"nothing is held of {name}, .*there are opencv-zoo, {folder}"):
        machine.remove_pack(name, tmp_path / "models")


def test_the_inbox_of_a_library_is_told_whoever_owns_it_and_nothing_is_changed(config: Config, tmp_path: Path) -> None:
    assert machine.inbox_of(Path(config.library)) == config.inbox
    lock = LibraryLock(Path(config.library) / STATE_FOLDER)
    assert machine.inbox_of(Path(config.library)) == config.inbox
    lock.release()

    assert machine.inbox_of(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_a_pack_that_is_the_way_back_is_kept_until_that_is_given_up(
    config: Config, folder: Path, tmp_path: Path
) -> None:
    organizer = open_organizer(config, structlog.get_logger())
    with organizer._house.store.write() as txn:
        txn.models.put(txn.slot, ModelRecord("other", "f", 16, "live"))
        txn.models.put(1 - txn.slot, ModelRecord(str(folder), "g", 16, "kept"))
    organizer.stop()

    with pytest.raises(RequestError, match=f"reembed --discard --library {config.library}"):
        machine.remove_pack(str(folder), tmp_path / "models")


def test_the_doctor_tells_a_folder_that_is_away_from_one_that_is_damaged(folder: Path, tmp_path: Path) -> None:
    folder.rename(tmp_path / "unplugged")
    _, problems, away = _packs(tmp_path / "models")
    assert problems[str(folder)]
    assert away == (str(folder),)

    (made,) = (tmp_path / "models").glob("mine-*")
    (made / "detector.onnx").write_bytes(b"")
    assert _packs(tmp_path / "models")[2] == ()
    (made / "detector.onnx").unlink()
    folder.mkdir()
    tiny.recogniser(folder / "w600k_r50.onnx")
    _, problems, away = _packs(tmp_path / "models")
    assert "no detector in it" in problems[str(folder)][0]
    assert away == ()
