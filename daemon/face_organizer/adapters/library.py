"""The folders people look at: disk follows truth by comparing what is there with what should be there.

Room:    adapters (touches)
Imports: types, errors, adapters.files, adapters.reading, stdlib

One rule keeps the only copy safe whenever the process dies: first everything new appears, and only then does anything
old go. Names prove nothing: a thing on disk is the file by its inode and time, or by its content. What else stands in
the way keeps its name, and ours becomes name~2.jpg. What was done but not recorded is found again and adopted.

Each folder is opened once for each file, not through a link, and everything happens in what was opened: a folder that
is exchanged for a link meanwhile leads nobody out of the library or the inbox.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from face_organizer.adapters.files import (
    NO_FOLDER,
    OPEN_FOLDER,
    Spot,
    copy_new,
    digest_of,
    link,
    make_folder,
    numbered,
    open_folder,
    point,
    rename_new,
    same_content,
    status,
    target_of,
    text_of,
    unlink,
    write_new,
)
from face_organizer.adapters.reading import open_below
from face_organizer.errors import DISK_FULL
from face_organizer.types import NO_FACE, OUTLIERS, QUARANTINE, STATE_FOLDER, FileToPlace, Placed, PlacementMode

LINK_REFUSED = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})
"""Answers of link(2) that mean "not this way": no links here, not of this file, not across file systems."""

NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.EINVAL, errno.ELOOP, errno.ENOENT, errno.ENXIO})
"""Errors of reading what stands in the way that only mean that it is something else."""

STAYING_FOLDERS = frozenset({OUTLIERS, NO_FACE, QUARANTINE})
REASON_ENDING = ".reason.txt"
REASON_BYTES_MAX = 1 << 16
SPARE_NUMBER = 1000


class CannotPlaceError(Exception):
    """Disk does not allow what truth wants; the message is for a person. It never leaves this file."""


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


class Folders:
    """The library's folders. Not thread-safe: one thread places.

    mode: "move" empties the inbox (a hard link into each folder, then the source goes); "hardlink", "symlink" and
    "copy" leave the source alone. Where a hard link cannot be made, a copy is. inbox_away(): what lies at the inbox's
    path now is not the inbox (its file system is not mounted), so that a source that is not there is not missing.
    """

    def __init__(
        self,
        library_root: Path,
        inbox_root: Path,
        mode: PlacementMode,
        inbox_away: Callable[[], bool] = lambda: False,
    ) -> None:
        self.root, self.inbox, self.mode = library_root.absolute(), inbox_root.absolute(), mode
        self.inbox_away = inbox_away

    def reconcile(self, file: FileToPlace) -> Placed:
        """Make disk show the file in exactly its folders. Doing it twice is the same as once.

        A problem of the disk (full, forbidden, away) is told in the result; a later call takes up where this one ended.
        """
        assert file.folders, file
        assert file.source.is_absolute(), file
        for part in (file.name, *file.folders):
            assert _is_plain(part), part
        placing, no_room = Placing(self, file), False
        try:
            with placing.opened:
                return placing.run()
        except CannotPlaceError as problem:
            sentence = f"cannot place {file.name}: {problem}"
        except OSError as error:
            no_room = error.errno in DISK_FULL
            where = error.filename2 or error.filename
            sentence = f"cannot place {file.name}: {error.strerror}" + (f": {os.fsdecode(where)}" if where else "")
        return Placed(file.file_id, tuple(placing.standing), problem=sentence, no_room=no_room)

    def erase(self, file: FileToPlace) -> str:
        """Take the file away from every recorded place in the library, and folders that this leaves empty; an original
        in the inbox stays. Returns what kept it from that, "" if nothing did. Doing it twice changes nothing.
        """
        placing = Placing(self, file)
        try:
            with placing.opened:
                placing.erase()
        except OSError as error:
            return f"cannot delete {file.name}: {error.strerror}"
        return ""

    def holds(self, place: str) -> bool:
        """Is there a file (or a link) at this relative path? Without a name in it: is the folder's own name taken?"""
        folder, _, name = place.partition("/")
        with contextlib.ExitStack() as opened:
            root = _opened_root(self.root, opened)
            if not name:
                return status(Spot(root, self.root / folder)) is not None
            found = _folder_in(root, folder, opened)
            return found is not None and status(Spot(found, self.root / folder / name)) is not None

    def walk(self) -> Iterator[str]:
        """The relative path of every file in the library's folders but the state folder and the reasons."""
        for folder in sorted(os.listdir(self.root)):
            if folder.startswith("."):
                continue
            with contextlib.ExitStack() as opened:
                found = _folder_in(_opened_root(self.root, opened), folder, opened)
                for name in os.listdir(found) if found is not None else ():
                    if folder != QUARANTINE or not name.endswith(REASON_ENDING):
                        yield f"{folder}/{name}"


class Placing:
    """One file being brought in line. standing: the places that are the file, kept up to date as disk changes."""

    def __init__(self, folders: Folders, file: FileToPlace) -> None:
        self._root, self._inbox, self._mode = folders.root, folders.inbox, folders.mode
        self._inbox_away = folders.inbox_away
        self._file = file
        self._wanted = tuple(dict.fromkeys(file.folders))
        self._staged = f".face-organizer-{file.file_id}.part"
        self._source: Thing | None = None
        self._made: set[str] = set()
        self._folders: dict[str, int] = {}
        self._root_folder = -1
        self.standing: dict[str, Thing] = {}
        self.opened = contextlib.ExitStack()

    def run(self) -> Placed:
        """Look, make what is lacking, then remove what is left over. Raises OSError, CannotPlaceError."""
        try:
            self._root_folder = _opened_root(self._root, self.opened)
        except (FileNotFoundError, NotADirectoryError):
            raise CannotPlaceError(f"the library {self._root} is away") from None
        self._source = self._source_thing()
        for place in self._file.places:
            if thing := self._thing(place, recorded=True):
                self.standing[place] = thing
        shown = self._shown()
        if self._source is None and all(thing.pointer for thing in self.standing.values()):
            return self._missing()
        leaving = [place for place in self.standing if place not in shown.values()]
        lacking = [folder for folder in self._wanted if folder not in shown]
        for folder in lacking:
            shown[folder] = self._show(folder, leaving, last=folder == lacking[-1])
        if self._wanted == (QUARANTINE,):
            self._explain(shown[QUARANTINE])
        self._clear(leaving, shown)
        return Placed(self._file.file_id, tuple(shown[folder] for folder in self._wanted))

    def erase(self) -> None:
        """Unlink what stands at the recorded places, if it is the file. Raises OSError."""
        self._root_folder = _opened_root(self._root, self.opened)
        for place in self._file.places:
            if thing := self._thing(place, recorded=True):
                unlink(thing.spot)
        self._remove_emptied({_folder_of(place) for place in self._file.places})

    def _missing(self) -> Placed:
        if self._inbox_away() or not self._inbox.is_dir():
            raise CannotPlaceError(f"the inbox {self._inbox} is away")
        return Placed(self._file.file_id, tuple(self.standing), missing=True)

    # what is there

    def _source_thing(self) -> Thing | None:
        """The source, if it is still the file that truth means."""
        source = self._file.source
        root = self._inbox if source.is_relative_to(self._inbox) else source.parent
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

    def _at(self, place: str) -> Spot | None:
        """A place in its open folder; None where there is no such folder, or a link in its stead."""
        folder, _, name = place.partition("/")
        assert _is_plain(folder), place
        assert _is_plain(name), place
        if folder not in self._folders:
            found = _folder_in(self._root_folder, folder, self.opened)
            if found is None:
                return None
            self._folders[folder] = found
        return Spot(self._folders[folder], self._root / folder / name)

    def _status(self, place: str) -> os.stat_result | None:
        spot = self._at(place)
        return status(spot) if spot else None

    def _thing(self, place: str, *, recorded: bool) -> Thing | None:
        """What stands at a place, if it is the file; never through a folder that has become a link."""
        spot = self._at(place)
        found = status(spot) if spot else None
        if spot is None or found is None:
            return None
        if stat.S_ISLNK(found.st_mode) and target_of(spot) == self._file.source:
            return Thing(place, spot, found, pointer=True)
        return Thing(place, spot, found) if self._is_it(spot, found, expected=recorded) else None

    def _is_it(self, spot: Spot, found: os.stat_result, *, expected: bool) -> bool:
        """Is the thing at a spot the file? expected: we knew it to be there, so that size and time are proof enough.

        The content is read only where they leave a doubt; what we may not read is not ours.
        """
        told = self._file.signature
        if found.st_size != told.size_bytes:
            return False
        same_time = found.st_mtime_ns == told.mtime_ns
        if same_time and (expected or found.st_ino == told.inode):
            return True
        if not stat.S_ISREG(found.st_mode):
            return False
        try:
            if self._file.digest:
                return digest_of(spot) == self._file.digest
            # Never read: what a crash left unrecorded has the time, and the source's bytes while there is one.
            return same_time and (self._source is None or same_content(spot, self._source.spot))
        except OSError as error:
            if error.errno in NOT_OURS:
                return False
            raise

    def _shown(self) -> dict[str, str]:
        """The wanted folders that show the file already: {folder: place}. Adopts what was never recorded."""
        shown: dict[str, str] = {}
        for place, thing in self.standing.items():
            folder = _folder_of(place)
            if folder in self._wanted and self._serves(thing) and self._wish(folder) in (None, place):
                shown.setdefault(folder, place)
        for folder in self._wanted:
            if folder in shown or self._wish(folder):
                continue
            for place in (*self._wished_in(folder), self._spare(folder), *self._taken(folder)):
                found = self.standing.get(place) or self._thing(place, recorded=False)
                if found and self._serves(found):
                    self.standing[place], shown[folder] = found, place
                    break
        return shown

    def _serves(self, thing: Thing) -> bool:
        return not thing.pointer or self._mode == "symlink"

    def _wished_in(self, folder: str) -> tuple[str, ...]:
        return tuple(place for place in self._file.wished if _folder_of(place) == folder)

    def _wish(self, folder: str) -> str | None:
        """The place that the file would rather have in a folder, if it has it or can have it."""
        return next(
            (place for place in self._wished_in(folder) if place in self.standing or self._status(place) is None),
            None,
        )

    def _free(self, folder: str) -> str:
        """A free place. One that waits for the place that it wishes stays out of the way of those others wish."""
        if self._wished_in(folder) and self._status(self._spare(folder)) is None:
            return self._spare(folder)
        return f"{folder}/{numbered(self._file.name, 1 + sum(1 for _ in self._taken(folder)))}"

    def _spare(self, folder: str) -> str:
        return f"{folder}/{numbered(self._file.name, SPARE_NUMBER + self._file.file_id)}"

    def _taken(self, folder: str) -> Iterator[str]:
        """The names the file could have in a folder, as far as they are taken: name, name~2, ..."""
        for number in itertools.count(1):
            place = f"{folder}/{numbered(self._file.name, number)}"
            if self._status(place) is None:
                return
            yield place

    # what is new appears

    def _show(self, folder: str, leaving: list[str], *, last: bool) -> str:
        """Make the file appear in a folder, where it wishes or under its first free name; returns the place.

        last: nothing else will be made of the origin, so that it may be renamed if it has to go anyway.
        """
        self._make_folder(folder)
        while True:
            place = self._wish(folder) or self._free(folder)
            spot = self._at(place)
            if spot is None:
                raise CannotPlaceError(f"{self._root / folder} is a symbolic link now, or gone")
            try:
                if pointer := self._mode == "symlink" and self._source is not None:
                    point(spot, self._file.source)
                else:
                    self._bring(spot, leaving, last=last)
            except FileExistsError:
                continue  # somebody took the name since we looked
            found = status(spot)
            if found is None:
                raise CannotPlaceError(f"{spot.path} was taken away at once")
            self.standing[place] = Thing(place, spot, found, pointer)
            self._made.add(place)
            return place

    def _bring(self, target: Spot, leaving: list[str], *, last: bool) -> None:
        """The content under a new name: a hard link if that is possible and wanted, else a rename, else a copy.

        A source that we may neither link nor rename (somebody else's, in a folder like /tmp) is copied.
        """
        solid = [thing for thing in self.standing.values() if not thing.pointer]
        origin = next((thing for thing in solid if thing.place in leaving), self._source or solid[0])
        refused = self._link(origin, target)
        if refused == 0:
            return
        goes = origin.place in leaving or (origin is self._source and self._mode == "move")
        if last and goes and refused != errno.EXDEV and self._rename(origin, target):
            return
        if stat.S_ISREG(origin.stat.st_mode):
            copy_new(origin.spot, target, self._staged, self._file.digest)
        else:
            raise CannotPlaceError(
                f"{origin.spot.path} is no regular file and no link of it can be made; move it by hand"
            )

    def _rename(self, origin: Thing, target: Spot) -> bool:
        """Give the origin itself the new name; False where it is a source that we may not take away."""
        try:
            rename_new(origin.spot, target)
        except PermissionError:
            if origin is not self._source:
                raise
            return False
        self.standing.pop(origin.place, None)
        if origin is self._source:
            self._source = None
        return True

    def _link(self, origin: Thing, target: Spot) -> int:
        """Hard-link origin; returns 0, or the errno that says that it cannot or should not be."""
        spot = origin.spot
        copyable = stat.S_ISREG(origin.stat.st_mode) and os.access(spot.name, os.R_OK, dir_fd=spot.folder)
        if self._mode == "copy" and origin is self._source and copyable:
            return errno.ENOTSUP
        try:
            link(spot, target)
        except OSError as error:
            if error.errno not in LINK_REFUSED:
                raise
            return error.errno
        return 0

    def _make_folder(self, folder: str) -> None:
        spot = Spot(self._root_folder, self._root / folder)
        found = status(spot)
        if found is None:
            make_folder(spot)
        elif stat.S_ISLNK(found.st_mode):
            raise CannotPlaceError(f"{spot.path} is a symbolic link, and files must not leave the library")
        elif not stat.S_ISDIR(found.st_mode):
            raise CannotPlaceError(f"{spot.path} is in the way: it is not a folder")

    def _explain(self, place: str) -> None:
        """Write the reason beside a quarantined file."""
        text = os.fsencode(f"{self._file.reason}\n") + self._reason_trailer()
        for spot in self._reason_spots(place):
            found = text_of(spot, REASON_BYTES_MAX)
            if found == text:
                return
            if found is not None and found.endswith(self._reason_trailer()):
                unlink(spot)  # ours, with an older reason
            if status(spot) is None:
                write_new(text, spot, self._staged)
                return

    def _reason_trailer(self) -> bytes:
        """How our reason files end: it tells them from a text file that somebody dropped."""
        return os.fsencode(f"original path: {self._file.source}\n")

    def _reason_spots(self, place: str) -> Iterator[Spot]:
        """The names that the reason beside a place can have: NAME.reason.txt, NAME~2.reason.txt, ..."""
        if beside := self._at(place):
            for number in itertools.count(1):
                yield beside.beside(numbered(beside.name, number, REASON_ENDING))

    # what is old goes

    def _clear(self, leaving: list[str], shown: dict[str, str]) -> None:
        """Remove the places that truth no longer wants, in mode "move" the source, and what these leave behind."""
        for place in leaving:
            if thing := self.standing.get(place):
                self._remove(thing, shown)
                del self.standing[place]
        if self._mode == "move" and self._source is not None:
            self._empty_inbox(self._source, shown)
        # By the record, not by what stood there: a crash may have come between a place and what it leaves behind.
        former = [place for place in self._file.places if place not in shown.values()]
        for place in former:
            if _folder_of(place) == QUARANTINE:
                self._forget_reason(place)
        self._remove_emptied({_folder_of(place) for place in former} - set(self._wanted))

    def _remove_emptied(self, folders: set[str]) -> None:
        for folder in folders - STAYING_FOLDERS:
            with contextlib.suppress(OSError):  # not empty, most of the time
                os.rmdir(folder, dir_fd=self._root_folder)

    def _empty_inbox(self, source: Thing, shown: dict[str, str]) -> None:
        try:
            self._remove(source, shown)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            shown_in, cause = ", ".join(shown.values()), (error.strerror or "").lower()
            raise CannotPlaceError(
                f"it is in {shown_in}, but {source.spot.path} cannot be removed from the inbox: {cause}"
            ) from error

    def _remove(self, thing: Thing, shown: dict[str, str]) -> None:
        """Unlink a thing, once more making sure that it has not been replaced and that its content stays elsewhere."""
        found = status(thing.spot)
        if found is None or Thing(thing.place, thing.spot, found).identity != thing.identity:
            return
        if not thing.pointer and not any(self._holds(self.standing[place], thing) for place in shown.values()):
            raise CannotPlaceError(f"{thing.spot.path} stays: nothing else in the library has its content")
        unlink(thing.spot)

    def _holds(self, shown: Thing, thing: Thing) -> bool:
        """Does a shown place have the content of a thing that is to go?"""
        if shown.place in self._made or shown.identity == thing.identity:
            return True
        both_regular = stat.S_ISREG(shown.stat.st_mode) and stat.S_ISREG(thing.stat.st_mode)
        return both_regular and same_content(shown.spot, thing.spot)

    def _forget_reason(self, place: str) -> None:
        for spot in self._reason_spots(place):
            if status(spot) is None:
                return
            if (text_of(spot, REASON_BYTES_MAX) or b"").endswith(self._reason_trailer()):
                unlink(spot)
                return


def _is_plain(part: str) -> bool:
    """Is this one name, not a path?"""
    return part not in ("", ".", "..", STATE_FOLDER) and "/" not in part and "\0" not in part


def _folder_of(place: str) -> str:
    return place.partition("/")[0]


def _opened_root(root: Path, opened: contextlib.ExitStack) -> int:
    """The library itself, whose own path may lead through links."""
    folder = os.open(root, OPEN_FOLDER & ~os.O_NOFOLLOW)
    opened.callback(os.close, folder)
    return folder


def _folder_in(root: int, folder: str, opened: contextlib.ExitStack) -> int | None:
    found = open_folder(Spot(root, Path(folder)))
    if found is not None:
        opened.callback(os.close, found)
    return found
