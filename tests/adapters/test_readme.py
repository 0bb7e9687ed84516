"""The library's README.txt: written once, renewed, and never over anybody's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from face_organizer.adapters import readme
from face_organizer.adapters.readme import NAME, renew_readme


def test_it_is_written_once_and_not_again_once_it_was_removed(tmp_path: Path) -> None:
    known = renew_readme(tmp_path, "")
    assert "drag an image" in (tmp_path / NAME).read_text()

    (tmp_path / NAME).unlink()

    assert renew_readme(tmp_path, known) == known
    assert not (tmp_path / NAME).exists()


def test_a_new_text_takes_the_place_of_ours_but_not_of_a_removed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = renew_readme(tmp_path, "")
    monkeypatch.setattr(readme, "TEXT", "Another text.\n")

    newer = renew_readme(tmp_path, known)

    assert (tmp_path / NAME).read_text().startswith("Another text.")
    (tmp_path / NAME).unlink()
    monkeypatch.setattr(readme, "TEXT", "A third text.\n")
    renew_readme(tmp_path, newer)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("known", ["", "an older one"])
def test_somebodys_own_text_a_changed_one_a_link_and_a_folder_are_left_alone(tmp_path: Path, known: str) -> None:
    (tmp_path / NAME).write_text("my notes")
    renew_readme(tmp_path, known)
    assert (tmp_path / NAME).read_text() == "my notes"

    (tmp_path / NAME).unlink()
    renew_readme(tmp_path, "")
    changed = (tmp_path / NAME).read_text().replace("Face Organizer", "mine")
    (tmp_path / NAME).write_text(changed)
    renew_readme(tmp_path, known)
    assert (tmp_path / NAME).read_text() == changed

    (tmp_path / NAME).unlink()
    (tmp_path / "target").write_text("elsewhere")
    (tmp_path / NAME).symlink_to(tmp_path / "target")
    renew_readme(tmp_path, known)
    assert (tmp_path / "target").read_text() == "elsewhere"

    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    renew_readme(tmp_path, known)
    assert (tmp_path / NAME).is_dir()
