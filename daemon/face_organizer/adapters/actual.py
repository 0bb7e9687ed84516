"""What there is of one file on disk: its source in the inbox, and the places in the library that are it.

Room:    adapters (touches the inbox and the library, and changes neither)
Imports: types, config, adapters.file_systems, adapters.files, adapters.reading, stdlib

Names prove nothing: a thing on disk is the file by its inode and time, or by its content.

Each folder is opened once for each file, not through a link, and everything happens in what was opened: a folder that
is exchanged for a link meanwhile leads nobody out of the library or the inbox.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from face_organizer.adapters.file_systems import is_mounted
from face_organizer.adapters.files import (
    NO_FOLDER,
    OPEN_FOLDER,
    Spot,
    digest_of,
    open_folder,
    same_content,
    status,
    target_of,
)
from face_organizer.adapters.reading import open_below
from face_organizer.config import STATE_FOLDER
from face_organizer.types import FileToPlace

NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.EINVAL, errno.ELOOP, errno.ENOENT, errno.ENXIO})
"""Errors of reading what stands in the way that only mean that it is something else."""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something on disk that is the file. place: relative to the library, "" for the source in the inbox.

    pointer: only a symbolic link of ours to the source; it holds no content.
    """

    place: str
    spot: Spot
    stat: os.stat_result
    pointer: bool = False

    @property
    def identity(self) -> tuple[int, ...]:
        return self.stat.st_dev, self.stat.st_ino, self.stat.st_size, self.stat.st_mtime_ns


class Actual:
    """The disk as one file finds it. Whoever changes the disk keeps `source` and `standing` up to date.

    source: the thing in the inbox, None where it is no longer what truth means. standing: the places that are the file.
    opened: what has to be closed in the end. mounted: the library is a file system of its own.
    """

    def __init__(self, file: FileToPlace, root: Path, inbox: Path, *, mounted: bool = False) -> None:
        self.file, self.root, self.inbox, self._mounted = file, root, inbox, mounted
        self.root_folder = -1
        self.source: Thing | None = None
        self.standing: dict[str, Thing] = {}
        self.opened = contextlib.ExitStack()
        self._folders: dict[str, int] = {}

    def open(self) -> None:
        """Raises FileNotFoundError, NotADirectoryError where the library is away; OSError. Below a file system that has
        been taken out lies only an empty folder."""
        self.root_folder = open_root(self.root, self.opened)
        if self._mounted and not is_mounted(self.root_folder):
            raise FileNotFoundError(errno.ENOENT, "its file system is not mounted", os.fspath(self.root))

    def look(self) -> None:
        """Find the source, and what stands of the file where it was recorded. Raises OSError."""
        self.source = self._source_thing()
        for place in self.file.places:
            if thing := self.thing(place, recorded=True):
                self.standing[place] = thing

    def at(self, place: str) -> Spot | None:
        """A place in its open folder; None where there is no such folder, or a link in its stead."""
        folder, _, name = place.partition("/")
        assert is_plain(folder), place
        assert is_plain(name), place
        if folder not in self._folders:
            found = open_in(self.root_folder, folder, self.opened)
            if found is None:
                return None
            self._folders[folder] = found
        return Spot(self._folders[folder], self.root / folder / name)

    def inodes(self, folders: Iterable[str]) -> tuple[tuple[str, int], ...]:
        """Which folders those are that were opened by these names, whatever they are called by now."""
        opened = [(folder, self._folders[folder]) for folder in folders if folder in self._folders]
        return tuple((folder, os.fstat(found).st_ino) for folder, found in opened)

    def status(self, place: str) -> os.stat_result | None:
        """lstat of what stands at a place; None where nothing does."""
        spot = self.at(place)
        return status(spot) if spot else None

    def thing(self, place: str, *, recorded: bool) -> Thing | None:
        """What stands at a place, if it is the file; never through a folder that has become a link."""
        spot = self.at(place)
        found = status(spot) if spot else None
        if spot is None or found is None:
            return None
        if stat.S_ISLNK(found.st_mode) and target_of(spot) == self.file.source:
            return Thing(place, spot, found, pointer=True)
        return Thing(place, spot, found) if self._is_it(spot, found, expected=recorded) else None

    def outdated(self, place: str) -> Thing | None:
        """What stands at a place, if it is what the file was before it was edited. Raises OSError."""
        spot = self.at(place) if self.file.former else None
        found = status(spot) if spot else None
        if spot is None or found is None or not stat.S_ISREG(found.st_mode):
            return None
        return Thing(place, spot, found) if self._digest(spot) in self.file.former else None

    def instead(self) -> tuple[bytes, ...]:
        """The digests of what stands at the recorded places of a file that stands nowhere. Raises OSError."""
        spots = [spot for place in self.file.places if (spot := self.at(place))] if self.file.digest else []
        regular = [spot for spot in spots if (found := status(spot)) and stat.S_ISREG(found.st_mode)]
        return tuple(filter(None, map(self._digest, regular)))

    def _digest(self, spot: Spot) -> bytes:
        """b"" of what we may not read."""
        try:
            return digest_of(spot)
        except OSError as error:
            if error.errno in NOT_OURS:
                return b""
            raise

    def _source_thing(self) -> Thing | None:
        """The source, if it is still the file that truth means."""
        source = self.file.source
        root = self.inbox if source.is_relative_to(self.inbox) else source.parent
        try:
            folder = open_below(root, source.parent)
        except OSError as error:
            if error.errno in NO_FOLDER:
                return None
            raise
        self.opened.callback(os.close, folder)
        spot = Spot(folder, source)
        found = status(spot)
        return Thing("", spot, found) if found and self._is_it(spot, found, expected=True) else None

    def _is_it(self, spot: Spot, found: os.stat_result, *, expected: bool) -> bool:
        """Is the thing at a spot the file? expected: we knew it to be there, so that size and time are proof enough.

        The content is read only where they leave a doubt; what we may not read is not ours.
        """
        told = self.file.signature
        if found.st_size != told.size_bytes:
            return False
        same_time = found.st_mtime_ns == told.mtime_ns
        if same_time and (expected or found.st_ino == told.inode):
            return True
        if not stat.S_ISREG(found.st_mode):
            return False
        try:
            if self.file.digest:
                return digest_of(spot) == self.file.digest
            # Never read: what a crash left unrecorded has the time, and the source's bytes while there is one.
            return same_time and (self.source is None or same_content(spot, self.source.spot))
        except OSError as error:
            if error.errno in NOT_OURS:
                return False
            raise


def is_plain(part: str) -> bool:
    """Is this one name, not a path?"""
    return part not in ("", ".", "..", STATE_FOLDER) and "/" not in part and "\0" not in part


def folder_of(place: str) -> str:
    return place.partition("/")[0]


def open_root(root: Path, opened: contextlib.ExitStack) -> int:
    """A descriptor of the library itself, whose own path may lead through links. Raises OSError."""
    folder = os.open(root, OPEN_FOLDER & ~os.O_NOFOLLOW)
    opened.callback(os.close, folder)
    return folder


def open_in(root_folder: int, folder: str, opened: contextlib.ExitStack) -> int | None:
    """A descriptor of a folder of the library; None where there is none, or a link in its stead. Raises OSError."""
    found = open_folder(Spot(root_folder, Path(folder)))
    if found is not None:
        opened.callback(os.close, found)
    return found
