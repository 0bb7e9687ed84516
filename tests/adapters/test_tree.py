"""The library's folders as people leave them, on a real file system."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Notes, wait_until

from face_organizer.adapters.tree import FolderTree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("Ann", "Bob", ".face-organizer"):
        (tmp_path / "library" / folder).mkdir(parents=True)
    return tmp_path / "library"


@pytest.fixture
def tree(root: Path) -> Iterator[FolderTree]:
    made = FolderTree(root, Notes(), lambda: 0.0)
    yield made
    made.stop()


def test_everything_is_seen_nothing_is_entered_that_is_no_folder_of_the_library(tree: FolderTree, root: Path) -> None:
    (root / "Ann" / "a.jpg").write_text("a")
    (root / "Ann" / "Thumbs.db").write_text("t")
    (root / "Ann" / os.fsdecode(b"caf\xe9\n.jpg")).write_text("b")
    (root / "Ann" / "link").symlink_to("/etc")
    os.mkfifo(root / "Ann" / "fifo")
    (root / "Ann" / "inner").mkdir()
    (root / "Ann" / "inner" / "c.jpg").write_text("c")
    (root / ".face-organizer" / "d.jpg").write_text("d")
    (root / "README.txt").write_text("e")
    (root / "linked").symlink_to(root / "Ann")

    seen = {lying.place: lying.kind for lying in tree.walk()}

    assert seen == {
        "Ann/a.jpg": "file",
        "Ann/Thumbs.db": "note",
        os.fsdecode(b"Ann/caf\xe9\n.jpg"): "file",
        "Ann/link": "link",
        "Ann/fifo": "other",
    }
    assert tree.nested == ("Ann/inner",)
    assert tree.closed == {"linked", "README.txt"}
    assert tree.folders().keys() == {"Ann", "Bob"}


def test_a_folder_that_may_not_be_looked_into_is_closed_and_says_nothing(
    tree: FolderTree, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "Bob" / "b.jpg").write_text("b")
    real = os.open

    def refusing(path: object, *arguments: object, **options: object) -> int:
        if path == "Ann":
            raise PermissionError(13, "permission denied", "Ann")
        return real(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refusing)

    assert [lying.place for lying in tree.walk()] == ["Bob/b.jpg"]
    assert tree.closed == {"Ann"}


def test_hints_tell_of_what_people_do_and_not_of_our_state(tree: FolderTree, root: Path) -> None:
    assert tree.check() and tree.state.kind == "watched"
    (root / ".face-organizer" / "data.mdb").write_text("x")
    (root / "Ann" / "a.jpg").write_text("a")
    (root / "Ann" / "a.jpg").rename(root / "Bob" / "a.jpg")
    (root / "Bob" / "a.jpg").unlink()
    (root / "Ann").rename(root / "Anna")

    told: set[str] = set()
    wait_until(lambda: bool(told.update(tree.hints(0.05))) or {"Ann/a.jpg", "Bob/a.jpg", "Ann", "Anna"} <= told)
    assert not any("face-organizer" in path for path in told)


def test_a_folder_within_a_folder_is_lifted_and_nothing_is_overwritten(tree: FolderTree, root: Path) -> None:
    (root / "Bob" / "Ann").mkdir()
    for name, text in (("a.jpg", "inner"), ("b.jpg", "b"), (".hidden", "h")):
        (root / "Bob" / "Ann" / name).write_text(text)
    (root / "Bob" / "a.jpg").write_text("outer")

    assert tree.lift("Bob/Ann") == ["Bob/a~2.jpg", "Bob/b.jpg"]

    assert (root / "Bob" / "a.jpg").read_text() == "outer"
    assert (root / "Bob" / "a~2.jpg").read_text() == "inner"
    assert (root / "Bob" / "Ann" / ".hidden").exists()
    assert tree.lift("Bob/Ann") == [] == tree.lift("Bob/none")
    assert stat.S_ISDIR((root / "Bob" / "Ann").stat().st_mode)
