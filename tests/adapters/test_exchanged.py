"""Folders that are exchanged for links to elsewhere, at every moment of a placement: elsewhere stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from elsewhere import make_elsewhere, state_of
from test_library import MODES, MTIME_NS, OTHER, PHOTO, WORLDS, A, B, Box, C, folders_of, wanted

from face_organizer.adapters import files, placing
from face_organizer.types import QUARANTINE, FileToPlace, PlacementMode

CHANGING = ("link", "symlink", "unlink", "mkdir", "rmdir", "rename", "open")
"""Before any of these an attacker may have been quicker, and before renameat2, which rename_new stands for."""

QUICK = [("move", "one file system"), ("move", "two file systems"), ("symlink", "one file system")]
CASES = [
    pytest.param(mode, world, marks=() if (mode, world) in QUICK else pytest.mark.long)
    for mode in MODES
    for world in WORLDS
]

EXCHANGES = {
    "first placement": ((A,), f"library/{A}"),
    "two people": ((A, B), f"library/{B}"),
    "re-clustered, from": ((A, C), f"library/{A}"),
    "re-clustered, to": ((B,), f"library/{B}"),
    "quarantine": ((QUARANTINE,), f"library/{QUARANTINE}"),
    "the inbox": ((A, B), "inbox/photos"),
}


def tempting(folder: Path) -> Path:
    """Elsewhere holds just what we look for: the same names, sizes, times and contents."""
    return make_elsewhere(folder, {"a.jpg": PHOTO, "a~2.jpg": OTHER}, MTIME_NS)


def exchanging_at(step: int, folder: Path, elsewhere: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """Before the step-th call a link takes the folder's place. Returns the calls that were made."""
    calls: list[str] = []

    def exchange() -> None:
        if os.path.lexists(folder):
            folder.rename(folder.with_name("aside"))
        folder.symlink_to(elsewhere)

    def late(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def exchange_and_call(*args: Any, **options: Any) -> Any:
            calls.append(name)
            if len(calls) == step + 1:
                with pytest.MonkeyPatch.context() as undone:
                    for other, original in originals.items():
                        undone.setattr(os, other, original)
                    exchange()
            return call(*args, **options)

        return exchange_and_call

    originals = {name: getattr(os, name) for name in CHANGING}
    for name, original in originals.items():
        patch.setattr(os, name, late(name, original))
    for module in (files, placing):
        patch.setattr(module, "rename_new", late("rename_new", module.rename_new))
    return calls


def contents_of(box: Box) -> list[bytes]:
    return [
        path.read_bytes()
        for root in (box.library, box.inbox)
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    ]


def prepared(box: Box, folders: tuple[str, ...], mode: PlacementMode) -> FileToPlace:
    """A file that stands in person_A, if that is not where it goes first; person_B holds somebody else's a.jpg."""
    box.put(f"{B}/a.jpg", OTHER)
    source = box.drop("photos/a.jpg")
    file = wanted(source, A, reason="why")
    if A not in folders or C in folders:
        placed = folders_of(box, mode).reconcile(file)
        assert not placed.problem
        file = replace(file, places=placed.places)
    return replace(file, folders=tuple(folder for folder in folders if folder != A or C not in folders))


@pytest.mark.parametrize(("folders", "exchanged"), EXCHANGES.values(), ids=EXCHANGES)
@pytest.mark.parametrize(("mode", "world"), CASES)
def test_a_folder_exchanged_for_a_link_at_any_moment_leads_nowhere(
    tmp_path: Path, world: str, mode: PlacementMode, folders: tuple[str, ...], exchanged: str
) -> None:
    for step in range(200):
        (tmp_path / f"{step}").mkdir()
        box = Box(tmp_path / f"{step}")
        elsewhere = tempting(tmp_path / f"{step}" / "elsewhere")
        before = state_of(elsewhere)
        with pytest.MonkeyPatch.context() as patch:
            WORLDS[world](box, patch)
            file = prepared(box, folders, mode)
            calls = exchanging_at(step, tmp_path / f"{step}" / exchanged, elsewhere, patch)
            first = folders_of(box, mode).reconcile(file)
            over = len(calls) <= step
        again = folders_of(box, mode).reconcile(replace(file, places=first.places))

        assert state_of(elsewhere) == before, (step, calls[step - 1 : step + 2])
        assert PHOTO in contents_of(box), (step, first, again)
        if over:
            assert step > 3
            return
    pytest.fail("it never ended")


def test_what_stands_behind_a_linked_folder_is_not_there(box_with_link: tuple[Box, Path]) -> None:
    box, elsewhere = box_with_link
    folders = folders_of(box)

    assert not folders.holds(f"{A}/a.jpg")
    assert list(folders.walk()) == [f"{B}/b.jpg"]
    assert (elsewhere / "a.jpg").exists()


@pytest.fixture
def box_with_link(tmp_path: Path) -> tuple[Box, Path]:
    box, elsewhere = Box(tmp_path), tempting(tmp_path / "elsewhere")
    box.put(f"{B}/b.jpg", PHOTO)
    (box.library / A).symlink_to(elsewhere)
    return box, elsewhere


def test_a_source_below_a_folder_that_became_a_link_is_not_taken(tmp_path: Path) -> None:
    box, elsewhere = Box(tmp_path), tempting(tmp_path / "elsewhere")
    file = wanted(box.drop("photos/a.jpg"), A)
    (box.inbox / "photos").rename(tmp_path / "aside")
    (box.inbox / "photos").symlink_to(elsewhere)
    before = state_of(elsewhere)

    placed = folders_of(box).reconcile(file)

    assert placed.missing
    assert state_of(elsewhere) == before
    assert not (box.library / A).exists()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("world", WORLDS)
def test_a_hard_link_to_somebody_elses_file_leaves_that_file_as_it_is(
    tmp_path: Path, world: str, mode: PlacementMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other name keeps content, mode and times; only the number of names may change, as the inbox's own goes."""
    box = Box(tmp_path)
    theirs = tmp_path / "theirs.jpg"
    theirs.write_bytes(PHOTO)
    theirs.chmod(0o4604)
    os.utime(theirs, ns=(MTIME_NS, MTIME_NS))
    os.link(theirs, box.inbox / "a.jpg")
    before = theirs.lstat()
    WORLDS[world](box, monkeypatch)

    file = wanted(box.inbox / "a.jpg", A, B)
    placed = folders_of(box, mode).reconcile(file)
    folders_of(box, mode).reconcile(replace(file, places=placed.places, folders=(C,)))

    after = theirs.lstat()
    assert theirs.read_bytes() == PHOTO
    assert (after.st_ino, after.st_mode, after.st_uid, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_uid,
        before.st_mtime_ns,
    )
    assert placed.problem == ""
    copies = [
        path for path in box.library.rglob("a.jpg") if not path.is_symlink() and path.stat().st_ino != after.st_ino
    ]
    assert all(path.stat().st_mode & 0o7000 == 0 for path in copies), "a copy must not be set-user-id"
