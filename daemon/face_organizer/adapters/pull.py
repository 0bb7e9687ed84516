"""Fetch a pack of InsightFace's model zoo: over the network, or from a file that somebody fetched.

Room:    adapters (touches the network)
Imports: errors, models, unpack, msgspec, stdlib

A download that breaks is gone on with, now and at the next try; what came is believed only by its sha256.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from io import BufferedRandom
from pathlib import Path

import msgspec
from msgspec import Struct

from face_organizer.adapters.models import PULLED, SHIPPED, default_models_dir
from face_organizer.adapters.unpack import unpack
from face_organizer.errors import DISK_FULL, ModelError

WITHIN_S = 30.0
"""So long may the server keep silent."""

TRIES = 5
"""In a row without a byte; one that brought something does not count."""

_CHUNK_BYTES = 1 << 20

Tick = Callable[[int, int], None]
"""Told of (bytes that are here, bytes in all) as they come."""


class Archive(Struct, frozen=True, forbid_unknown_fields=True):
    """A pack in the zoo."""

    sha256: str
    size_bytes: int


class Zoo(Struct, frozen=True, forbid_unknown_fields=True):
    """What can be pulled, from where, and what it may be used for. licence: in a line; terms: what is to be
    accepted."""

    address: str
    licence: str
    terms: str
    packs: Mapping[str, Archive]


@cache
def zoo() -> Zoo:
    """The list that comes with the program."""
    return msgspec.json.decode((Path(__file__).parent / "zoo.json").read_bytes(), type=Zoo)


def archive_of(name: str) -> Archive:
    """Raises ModelError: there is no such pack to pull."""
    if name in SHIPPED:
        raise ModelError(f"the model pack {name} comes with the program: there is nothing to pull")
    if name not in zoo().packs:
        raise ModelError(f"there is no model pack {name!r} to pull; there are: {', '.join(sorted(zoo().packs))}")
    return zoo().packs[name]


def part_of(name: str, models_dir: Path) -> Path:
    """What came of a pack that is not whole yet."""
    return models_dir / PULLED / f".{name}.zip.part"


def pull(name: str, models_dir: Path | None, source: str, tick: Tick, *, anew: bool = False) -> Path:
    """Have a pack lie in the models folder; returns its folder. Whoever calls this has accepted the terms.

    source: "" for the zoo's own address, else that of a mirror (http:// or https://), or the path of the zip file.
    Doing it again costs nothing where the pack is here; anew: what is here is damaged. Raises ModelError: no network,
    not what it should be, no room.
    """
    archive = archive_of(name)
    part = part_of(name, models_dir or default_models_dir())
    folder = part.parent
    target = folder / name
    if target.is_dir() and not anew:
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with held(part) as file:
            if anew or not target.is_dir():  # somebody else may have been quicker
                _fetch(file, source, name, archive, tick)
                _believe(file, part, name, archive)
                unpack(part, target, {"licence": zoo().licence}, zoo().terms)
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"the model pack {name} cannot be put into {folder}: {error.strerror or error}") from error
    return target


@contextmanager
def held(part: Path) -> Iterator[BufferedRandom]:
    """The file that a download grows in, for one process at a time. Raises ModelError: another one has it."""
    with open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelError(f"another process is pulling this model pack (it holds {part}): wait for it") from error
        yield file


def _fetch(file: BufferedRandom, source: str, name: str, archive: Archive, tick: Tick) -> None:
    if source and not source.startswith(("http://", "https://")):
        _copy(file, Path(source), name, archive, tick)
        return
    address = source if source.endswith(".zip") else f"{(source or zoo().address).rstrip('/')}/{name}.zip"
    failures = 0
    while (here := file.seek(0, os.SEEK_END)) < archive.size_bytes:
        try:
            _go_on(file, address, here, archive, tick)
            problem: Exception | None = None
        except urllib.error.HTTPError as error:
            raise ModelError(_refused(address, f"it answered {error.code} {error.reason}", name)) from error
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError, and so is a timeout
            if _is_local(error):
                raise
            problem = error
        failures = 0 if file.seek(0, os.SEEK_END) > here else failures + 1
        if failures >= TRIES:
            why = getattr(problem, "reason", problem) or "the connection ends before the file does"
            raise ModelError(_refused(address, str(why), name)) from problem


def _go_on(file: BufferedRandom, address: str, here: int, archive: Archive, tick: Tick) -> None:
    """Ask for the rest, and write what comes. A server that cannot go on begins anew."""
    request = urllib.request.Request(address, headers={"User-Agent": "face-organizer"})
    if here:
        request.add_header("Range", f"bytes={here}-")
    with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
        goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {here}-")
        if not goes_on:
            here = 0
            file.seek(0)
            file.truncate()
        while data := answer.read(_CHUNK_BYTES):
            here += len(data)
            if here > archive.size_bytes:
                file.truncate(0)
                raise ModelError(
                    f"{address} is larger than the pack ({archive.size_bytes:,} bytes): it is another file"
                )
            file.write(data)
            tick(here, archive.size_bytes)
        file.flush()


def _copy(file: BufferedRandom, source: Path, name: str, archive: Archive, tick: Tick) -> None:
    """From a file that somebody fetched. What came so far over the network goes only where the size is right."""
    path = source.expanduser()
    try:
        given = path.open("rb")
    except FileNotFoundError as error:
        raise ModelError(f"there is no file {path}") from error
    except IsADirectoryError as error:
        raise ModelError(f"{path} is a folder: say the zip file; a folder of networks is a pack by its path") from error
    with given:
        size = os.fstat(given.fileno()).st_size
        if size != archive.size_bytes:
            raise ModelError(f"{path} has {size:,} bytes, and {name}.zip has {archive.size_bytes:,}: fetch it again")
        file.seek(0)
        file.truncate()
        here = 0
        while data := given.read(_CHUNK_BYTES):
            here += file.write(data)
            tick(here, archive.size_bytes)
    file.flush()


def _believe(file: BufferedRandom, part: Path, name: str, archive: Archive) -> None:
    """Raises ModelError: it is not the file we know; what came is thrown away."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != archive.sha256:
        file.truncate(0)
        part.unlink(missing_ok=True)
        raise ModelError(
            f"what came is not {name}.zip as we know it: its sha256 is {digest}, it should be {archive.sha256}. "
            "It was thrown away; try again, or from another source"
        )
    os.fsync(file.fileno())


def _refused(address: str, why: str, name: str) -> str:
    return (
        f"cannot fetch {address}: {why}. What came so far is kept, and the same command goes on with it. "
        f"Without network: fetch that file elsewhere, then `face-organizer models pull {name} --from {name}.zip`"
    )


def _is_local(error: Exception) -> bool:
    """Is it our own disk, not the network? A URLError has its cause as reason; the system's errors of files a
    number."""
    return isinstance(error, OSError) and error.errno in DISK_FULL | {errno.EROFS, errno.EIO, errno.EACCES}
