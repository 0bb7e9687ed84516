"""Where case does not count (FAT, exFAT, APFS, casefolded ext4), a folder answers to two names: what goes by one must
not take away what has come by the other. A bind mount stands for such a file system: one folder, two names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from disks import Disks
from process import environment

from face_organizer.adapters.files import OPEN_FOLDER, Spot, is_one_entry

RENAMED = """
import os, sys
from pathlib import Path
from face_organizer.adapters.library import Folders
from face_organizer.types import FileId, FileToPlace, Signature
from face_organizer.vision.decode import content_digest

library, inbox = Path(sys.argv[1]), Path(sys.argv[2])
told = os.lstat(library / "alice/a.jpg")
signature = Signature(told.st_size, told.st_mtime_ns, told.st_ino)
source = inbox / "a.jpg"
file = FileToPlace(FileId(7), "a.jpg", source, signature, content_digest(b"a photo"), ("alice/a.jpg",), ("Alice",), "")
print(Folders(library, inbox, "move").reconcile(file))
"""


def test_a_folder_whose_name_changes_in_case_alone_keeps_its_only_copies(tmp_path: Path) -> None:
    library, inbox = tmp_path / "library", tmp_path / "inbox"
    disks = Disks(library, inbox)
    try:
        for name in ("alice", "Alice"):
            disks.seen(library / name).mkdir()
        disks.run("mount", "--bind", str(library / "alice"), str(library / "Alice"))
        disks.seen(library / "alice" / "a.jpg").write_bytes(b"a photo")

        command = [*disks.within, sys.executable, "-c", RENAMED, str(library), str(inbox)]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)

        assert "places=('Alice/a.jpg',), problem=''" in done.stdout, done
        assert disks.seen(library / "Alice" / "a.jpg").read_bytes() == b"a photo"
    finally:
        disks.end()


@pytest.mark.parametrize("other", ["A.jpg", "b.jpg"])
def test_two_hard_links_in_a_folder_are_two_entries(tmp_path: Path, other: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a photo")
    (tmp_path / other).hardlink_to(tmp_path / "a.jpg")
    folder = os.open(tmp_path, OPEN_FOLDER)
    one, two = Spot(folder, tmp_path / "a.jpg"), Spot(folder, tmp_path / other)

    assert is_one_entry(one, one)
    assert not is_one_entry(one, two)
    os.close(folder)
