"""What else writes on a full disk, a real one of 2 MB: the folders, the index, the elbow's chart. Nothing is torn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from disks import Disks
from process import environment

CHILD = """
import os, sys
from pathlib import Path
import numpy as np
from face_organizer.adapters import chart, index as module
from face_organizer.adapters.files import digest_of
from face_organizer.adapters.library import Folders
from face_organizer.types import FileToPlace, Signature

disk, image = Path(sys.argv[1]), Path(sys.argv[2])
def left():
    return sorted(str(path.relative_to(disk)) for path in disk.rglob("*") if path.is_file())
def faces(first, count):
    vectors = np.random.default_rng(first).standard_normal((count, 128)).astype(np.float32)
    return np.arange(first, first + count), vectors
def save():
    try:
        index.save(disk / "index" / "faces.faiss", fingerprint="m", generation=0)
    except (OSError, RuntimeError) as error:
        return "No space left" in str(error)
def draw(people):
    try:
        chart.write_elbow(disk / "elbow", {"chosen": 2, "people": list(people), "cost": [1.0] * len(people)})
    except OSError:
        return True

(disk / "elbow").mkdir()
os.environ["MPLCONFIGDIR"] = sys.argv[3]
index = module.FaceIndex(128, flat_max_faces=100_000, retrain_factor=4, nprobe=8)
index.add(*faces(1, 300))
assert save() is None and draw([1, 2, 3]) is None
before = {path: (disk / path).read_bytes() for path in left()}
index.add(*faces(301, 4000))

assert save() is True  # refused before anything is written
module._check_room = lambda folder, live: None
assert save() is True  # written until the disk was full
ballast = disk / "ballast"
told = os.statvfs(disk)
with ballast.open("wb") as file:
    os.posix_fallocate(file.fileno(), 0, told.f_bavail * told.f_frsize - 8192)
assert draw(range(1, 3000)) is True
status = image.stat()
file = FileToPlace(1, image.name, image, Signature(status.st_size, status.st_mtime_ns, status.st_ino),
                   digest_of(image), (), ("person_0001",), "")
folders = Folders(disk, image.parent, "move")
placed = folders.reconcile(file)
assert placed.no_room and "No space left" in placed.problem and placed.places == (), placed
ballast.unlink()
assert {path: (disk / path).read_bytes() for path in left()} == before, left()

again = module.FaceIndex(128, flat_max_faces=100_000, retrain_factor=4, nprobe=8)
assert again.load(disk / "index" / "faces.faiss", fingerprint="m", generation=0) == "" and again.count == 300
placed = folders.reconcile(file)
assert (placed.places, placed.problem, placed.no_room) == (("person_0001/" + image.name,), "", False)
assert not image.exists()
print("good")
"""


def test_folders_index_and_chart_leave_nothing_half_written_on_a_full_disk(tmp_path: Path) -> None:
    image = tmp_path / "inbox" / "image.jpg"
    image.parent.mkdir()
    image.write_bytes(bytes(200_000))
    disks = Disks(tmp_path / "disk")
    command = [*disks.within, sys.executable, "-c", CHILD, str(tmp_path / "disk"), str(image), str(tmp_path / "mpl")]

    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)

    disks.end()
    assert done.stdout == "good\n", done.stderr
