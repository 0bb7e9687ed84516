"""Sidecars beside images: written where none of another program is in the way, read from wherever programs put names.

Room:    adapters (touches a folder that the user names)
Imports: errors, types, files, results, xmp, stdlib
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Set
from contextlib import suppress
from pathlib import Path

from face_organizer.adapters.files import Spot, rename_new
from face_organizer.adapters.results import Mark, image_shown, write_result
from face_organizer.adapters.xmp import MARK, Region, is_ours, regions_in
from face_organizer.errors import RequestError
from face_organizer.types import SIDECAR_ENDING

HEAD_BYTES = 1 << 22
"""Of an image, where a packet is looked for: JPEG, PNG, TIFF and HEIC have it near their beginning."""

SIZE_MAX_BYTES = 1 << 23
STAGED = ".face-organizer-export-"
EXIFTOOL_WITHIN_S = 120.0


def sidecar_of(image: Path) -> Path:
    """NAME.jpg.xmp, as digiKam and darktable call it."""
    return image.with_name(image.name + SIDECAR_ENDING)


def write_sidecar(image: Path, packet: str) -> bool:
    """Write a sidecar beside an image; False where one of another program is there, which is left alone.

    Doing it twice changes nothing. Raises RequestError.
    """
    path = sidecar_of(image)
    before = _content(path)
    if before and not is_ours(before):
        return False
    if before != packet.encode():
        write_result(path, packet.encode(), Mark(b"", MARK))
    return True


def stale_sidecars(root: Path, kept: Set[Path]) -> Iterator[Path]:
    """The sidecars that we wrote below a folder, but those of the images in `kept`."""
    for folder, folders, names in os.walk(root):
        folders[:] = [each for each in folders if not each.startswith(".")]
        for path in (Path(folder) / name for name in names if name.endswith(SIDECAR_ENDING)):
            if path.with_name(path.name.removesuffix(SIDECAR_ENDING)) not in kept and is_ours(_content(path) or b""):
                yield path


def images_below(paths: list[Path]) -> Iterator[Path]:
    """Every file among these paths and below these folders that is no sidecar, hidden ones left out."""
    for path in paths:
        if path.is_file():
            yield path
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(each for each in folders if not each.startswith("."))
            yield from (
                Path(folder) / name for name in sorted(names) if not name.startswith(".") and SIDECAR_ENDING not in name
            )


def named_regions(image: Path) -> tuple[list[Region], bool]:
    """The names that were given to faces in an image: in NAME.jpg.xmp, in NAME.xmp, or in the file itself; the first
    that has any. And: is that a sidecar that we wrote?"""
    for path in (sidecar_of(image), image.with_suffix(SIDECAR_ENDING)):
        content = _content(path) or b""
        if found := regions_in(content):
            return found, is_ours(content)
    return regions_within(image), False


def regions_within(image: Path) -> list[Region]:
    """The names that are in the file itself."""
    try:
        with image.open("rb") as file:
            return regions_in(file.read(HEAD_BYTES))
    except OSError:
        return []


def head_of(image: Path) -> bytes:
    """The beginning of a file, b"" where it cannot be read."""
    try:
        with image.open("rb") as file:
            return file.read(1 << 19)
    except OSError:
        return b""


def exiftool() -> str:
    """The program's path. Raises RequestError."""
    program = shutil.which("exiftool")
    if program is None:
        raise RequestError(
            "--write-metadata needs exiftool, which is not installed: apt install libimage-exiftool-perl (or --xmp,"
            " which writes sidecars and needs nothing)"
        )
    return program


def clear_staged(folder: Path) -> None:
    """Remove what processes that were killed have begun in it: see copy_with."""
    for path in folder.glob(f"{STAGED}*"):
        if not Path("/proc", path.stem.removeprefix(STAGED)).exists():
            path.unlink(missing_ok=True)


def copy_with(image: Path, target: Path, packet: str, staged_in: Path | None = None) -> None:
    """A copy of the image that has the regions in itself, by exiftool. What else it says of itself stays. The target
    may be the image: it is the old file or the new one, whole, whatever happens. Any other must be free.

    staged_in: a folder on the same file system where it is begun; beside the target if None. Raises RequestError.
    """
    program = exiftool()
    begun = (staged_in or target.parent) / f"{STAGED}{os.getpid()}"
    staged, source = begun.with_name(f"{begun.name}.part"), begun.with_name(f"{begun.name}.xmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        before = image.stat()
        shutil.copy2(image, staged)
        source.write_text(packet, encoding="utf-8")
        done = subprocess.run(
            [program, "-config", "", "-q", "-overwrite_original", "-tagsfromfile", source, "-xmp:all", "--", staged],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=EXIFTOOL_WITHIN_S,
            check=False,
        )
        if done.returncode:
            raise RequestError(f"exiftool cannot write to {target.name}: {done.stderr.strip()}")
        with staged.open("rb") as file:
            os.fsync(file.fileno())
        source.unlink()
        now = image.stat()
        if (before.st_ino, before.st_size, before.st_mtime_ns) != (now.st_ino, now.st_size, now.st_mtime_ns):
            raise RequestError(f"{image} was changed meanwhile: say it again")
        if target == image:
            os.replace(staged, target)
        else:
            _rename_new(staged, target)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RequestError(f"cannot write {target}: {error}") from error
    finally:
        for path in (staged, source):
            with suppress(OSError):
                path.unlink()


def _rename_new(staged: Path, target: Path) -> None:
    """See files.rename_new. Both are in one folder."""
    folder = os.open(target.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        rename_new(Spot(folder, staged), Spot(folder, target))
    finally:
        os.close(folder)


def _content(path: Path) -> bytes | None:
    try:
        return image_shown(path, SIZE_MAX_BYTES)
    except OSError:
        return None
