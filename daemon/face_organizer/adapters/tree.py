"""The library's folders as people leave them: what lies where now, whoever put it there.

Room:    adapters (touches the library; changes it only in lift())
Imports: types, ports, adapters.actual, adapters.attention, adapters.files, adapters.inbox, adapters.reasons,
         adapters.watching, stdlib

The truth knows what we put where; this knows what is there. Links are looked at, never followed, and folders are opened
as everywhere in the library: once, not through a link.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from face_organizer.adapters.actual import is_plain, open_in, open_root
from face_organizer.adapters.attention import Attention
from face_organizer.adapters.files import Spot, digest_of, numbered, rename_new, status, target_of
from face_organizer.adapters.inbox import is_candidate_name
from face_organizer.adapters.reasons import ENDING as REASON_ENDING
from face_organizer.adapters.watching import REARRANGEMENTS
from face_organizer.ports import Clock, Log
from face_organizer.types import QUARANTINE, InboxState, Lying, Signature


class FolderTree:
    """The port Tree over a library. One thread uses it; state is for any."""

    def __init__(self, root: Path, log: Log, clock: Clock) -> None:
        self._root = root.absolute()
        self._attention = Attention(self._root, "library", REARRANGEMENTS, log, clock)
        self.closed: frozenset[str] = frozenset()
        self.nested: tuple[str, ...] = ()

    @property
    def state(self) -> InboxState:
        return self._attention.state

    @property
    def walk_due(self) -> bool:
        return self._attention.walk_due

    def check(self) -> bool:
        """Is the library there, and the same one? Watches it (again) where nobody does."""
        return self._attention.check()

    def stop(self) -> None:
        """Stop watching. hints() returns at once from now on."""
        self._attention.stop()

    def hints(self, within_s: float) -> list[str]:
        """Wait up to within_s for places and folders that something happened to; our own state is none."""
        found = []
        for path in self._attention.hints(within_s):
            parts = path.relative_to(self._root).parts if path.is_relative_to(self._root) else ()
            if parts and not any(part.startswith(".") for part in parts):
                found.append("/".join(parts))
        return found

    def folders(self) -> dict[str, Signature]:
        """What lstat says of each folder: one that is as before holds the same names as before. Raises OSError."""
        found = {}
        with contextlib.ExitStack() as opened, os.scandir(open_root(self._root, opened)) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    told = entry.stat(follow_symlinks=False)
                    found[entry.name] = Signature(0, told.st_mtime_ns, told.st_ino)
        return found

    def walk(self) -> Iterator[Lying]:
        """Whatever lies in the folders, but folders; afterwards `closed` tells which of them could not be looked into,
        and `nested` the folders within them. Raises OSError where the library is away."""
        self._attention.walk_begins()
        closed, nested = set(), []
        with contextlib.ExitStack() as opened:
            root = open_root(self._root, opened)
            for folder in sorted(name for name in os.listdir(root) if not name.startswith(".")):
                try:
                    for place, lying in _entries(root, folder):
                        if lying is not None:
                            yield lying
                        elif not place.startswith(f"{folder}/."):
                            nested.append(place)
                except OSError:
                    closed.add(folder)
        self.closed, self.nested = frozenset(closed), tuple(nested)

    def look(self, place: str) -> Lying | None:
        """What lies at one place; None where nothing does, or a folder. Raises OSError."""
        with self._spot(place) as spot:
            found = status(spot) if spot else None
        if found is None or stat.S_ISDIR(found.st_mode):
            return None
        return _told(place, found)

    def digest(self, place: str) -> bytes:
        """The name of a regular file's content. Raises OSError."""
        with self._spot(place) as spot:
            if spot is None:
                raise FileNotFoundError(place)
            return digest_of(spot)

    def target(self, place: str) -> Path | None:
        """Where a symbolic link leads; None where there is none."""
        with self._spot(place) as spot, contextlib.suppress(OSError):
            return target_of(spot) if spot else None
        return None

    def lift(self, nested: str) -> list[str]:
        """Bring what lies in a folder within a folder up into the outer one, under a free name, and remove the inner
        one if that empties it; returns the new places. Raises OSError."""
        outer, _, inner = nested.partition("/")
        places = []
        with contextlib.ExitStack() as opened:
            above = open_in(open_root(self._root, opened), outer, opened)
            below = open_in(above, inner, opened) if above is not None else None
            if above is None or below is None:
                return []
            for name in sorted(os.listdir(below)):
                source = Spot(below, self._root / outer / inner / name)
                found = status(source)
                if found is not None and not stat.S_ISDIR(found.st_mode) and not name.startswith("."):
                    places.append(f"{outer}/{_lifted(source, Spot(above, self._root / outer / name))}")
            with contextlib.suppress(OSError):  # folders within it, or hidden files
                os.rmdir(inner, dir_fd=above)
        return places

    @contextlib.contextmanager
    def _spot(self, place: str) -> Iterator[Spot | None]:
        """A place in its open folder; None where there is no such folder."""
        folder, _, name = place.partition("/")
        assert is_plain(folder), place
        assert is_plain(name), place
        with contextlib.ExitStack() as opened:
            found = open_in(open_root(self._root, opened), folder, opened)
            yield Spot(found, self._root / folder / name) if found is not None else None


def trace(root: Path, path: str) -> Signature | None:
    """What tells what lies at a place, or a folder, from anything else; None where nothing does. Any thread."""
    try:
        found = os.lstat(root / path)
    except OSError:
        return None
    return Signature(0, 0, found.st_ino) if stat.S_ISDIR(found.st_mode) else _told(path, found).signature


def _lifted(source: Spot, target: Spot) -> str:
    """Give a file the first free name in the target's folder; returns it."""
    for number in itertools.count(1):
        name = numbered(target.name, number)
        try:
            rename_new(source, target.beside(name))
        except FileExistsError:
            continue
        return name
    raise AssertionError


def _entries(root: int, folder: str) -> Iterator[tuple[str, Lying | None]]:
    """The place of everything in a folder of the library, and what lies there: None for a folder, and for what is gone
    since. Raises OSError, of a file, a link to a folder, or what is gone, too: it says nothing of anybody."""
    with contextlib.ExitStack() as opened:
        found = open_in(root, folder, opened)
        if found is None:
            raise NotADirectoryError(folder)
        with os.scandir(found) as entries:
            for entry in entries:
                place = f"{folder}/{entry.name}"
                yield place, _lying(place, entry)


def _lying(place: str, entry: os.DirEntry[str]) -> Lying | None:
    """An entry of a folder; None for a folder, and for what is gone since."""
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        return None
    return _told(place, found)


def _told(place: str, found: os.stat_result) -> Lying:
    signature = Signature(found.st_size, found.st_mtime_ns, found.st_ino)
    return Lying(place, signature, _kind(place, found), found.st_ctime_ns)


def _kind(place: str, found: os.stat_result) -> str:
    """Notes of file managers, downloads under way, sidecars and our own reasons are nothing that people want sorted."""
    folder, _, name = place.partition("/")
    if not is_candidate_name(name) or (folder == QUARANTINE and name.endswith(REASON_ENDING)):
        return "note"
    if stat.S_ISREG(found.st_mode):
        return "file"
    return "link" if stat.S_ISLNK(found.st_mode) else "other"
