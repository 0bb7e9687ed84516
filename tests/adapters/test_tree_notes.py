"""What in a person's folder is nobody's to sort."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import Notes

from face_organizer.adapters.tree import FolderTree


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.jpg", "file"), ("a.jpg.xmp", "note"), (".hidden.jpg", "note"), ("a.jpg.reason.txt", "file")],
)
def test_a_sidecar_is_a_note_and_no_image(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "Alice").mkdir()
    (tmp_path / "Alice" / name).write_bytes(b"x")

    found = FolderTree(tmp_path, Notes(), lambda: 0.0).look(f"Alice/{name}")

    assert found is not None
    assert found.kind == kind
