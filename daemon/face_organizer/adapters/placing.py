"""Brings one file in line: what is lacking appears, and then what is left over goes.

Room:    adapters (touches the inbox and the library)
Imports: types, adapters.actual, adapters.files, adapters.reasons, stdlib

One rule keeps the only copy safe whenever the process dies: first everything new appears, and only then does anything
old go. What stands in the way keeps its name, and ours becomes name~2.jpg. What was done but not recorded is found
again and adopted.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterator

from face_organizer.adapters.actual import Actual, Thing, folder_of
from face_organizer.adapters.files import (
    Spot,
    copy_new,
    is_one_entry,
    link,
    make_folder,
    numbered,
    point,
    rename_new,
    same_content,
    status,
    unlink,
)
from face_organizer.adapters.reasons import remove_reason, write_reason
from face_organizer.types import NO_FACE, OUTLIERS, QUARANTINE, TRASH, Placed, PlacementMode

LINK_REFUSED = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})
"""Answers of link(2) that mean "not this way": no links here, not of this file, not across file systems."""

STAYING_FOLDERS = frozenset({OUTLIERS, NO_FACE, QUARANTINE, TRASH})
SPARE_NUMBER = 1000


class CannotPlaceError(Exception):
    """Disk does not allow what truth wants; the message is for a person. Folders makes an answer of it."""


class Placing:
    """One file, its disk as found, and the mode (see library.Folders)."""

    def __init__(self, actual: Actual, mode: PlacementMode, inbox_away: Callable[[], bool]) -> None:
        self._actual, self._mode, self._inbox_away = actual, mode, inbox_away
        self._file = actual.file
        self._wanted = tuple(dict.fromkeys(actual.file.folders))
        self._staged = f".face-organizer-{actual.file.file_id}.part"
        self._made: set[str] = set()

    def run(self) -> Placed:
        """Look, make what is lacking, then remove what is left over. Raises OSError, CannotPlaceError."""
        actual = self._actual
        try:
            actual.open()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise CannotPlaceError(f"the library {actual.root} is away: {error.strerror}") from None
        actual.look()
        self._renew()
        shown = self._shown()
        if actual.source is None and all(thing.pointer for thing in actual.standing.values()):
            return self._missing()
        leaving = [place for place in actual.standing if place not in shown.values()]
        lacking = [folder for folder in self._wanted if folder not in shown]
        for folder in lacking:
            shown[folder] = self._show(folder, leaving, last=folder == lacking[-1])
        if self._wanted == (QUARANTINE,) and (beside := actual.at(shown[QUARANTINE])):
            write_reason(beside, self._file, self._staged)
        self._clear(leaving, shown)
        places = tuple(shown[folder] for folder in self._wanted)
        return Placed(self._file.file_id, places, folders=actual.inodes(self._wanted))

    def erase(self) -> None:
        """Unlink what stands at the recorded places, if it is the file. Raises OSError."""
        self._actual.open()
        for place in self._file.places:
            if thing := self._actual.thing(place, recorded=True):
                unlink(thing.spot)
        self._remove_emptied({folder_of(place) for place in self._file.places})

    def _missing(self) -> Placed:
        if self._inbox_away() or not self._actual.inbox.is_dir():
            raise CannotPlaceError(f"the inbox {self._actual.inbox} is away")
        instead = self._actual.instead()
        return Placed(self._file.file_id, tuple(self._actual.standing), missing=True, instead=instead)

    def _renew(self) -> None:
        """Where a place still holds what the file was before it was edited, put what it is now."""
        actual = self._actual
        for place in dict.fromkeys(self._file.places) if self._file.former else ():
            solid = [thing for thing in (actual.source, *actual.standing.values()) if thing and not thing.pointer]
            if place in actual.standing or not solid or not (old := actual.outdated(place)):
                continue
            found = status(old.spot)
            if found is None or Thing(place, old.spot, found).identity != old.identity:
                continue
            unlink(old.spot)  # what it is now stands elsewhere, and after a crash here is shown anew
            self._bring(old.spot, [], last=False)
            if found := status(old.spot):
                actual.standing[place] = Thing(place, old.spot, found)
                self._made.add(place)

    # where it is shown already, and where it could be

    def _shown(self) -> dict[str, str]:
        """The wanted folders that show the file already: {folder: place}. Adopts what was never recorded."""
        shown: dict[str, str] = {}
        for place, thing in self._actual.standing.items():
            folder = folder_of(place)
            if folder in self._wanted and self._serves(thing) and self._wish(folder) in (None, place):
                shown.setdefault(folder, place)
        for folder in self._wanted:
            if folder in shown or self._wish(folder):
                continue
            for place in (*self._wished_in(folder), self._spare(folder), *self._taken(folder)):
                found = self._actual.standing.get(place) or self._actual.thing(place, recorded=False)
                if found and self._serves(found):
                    self._actual.standing[place], shown[folder] = found, place
                    break
        return shown

    def _serves(self, thing: Thing) -> bool:
        return not thing.pointer or self._mode == "symlink"

    def _wished_in(self, folder: str) -> tuple[str, ...]:
        return tuple(place for place in self._file.wished if folder_of(place) == folder)

    def _wish(self, folder: str) -> str | None:
        """The place that the file would rather have in a folder, if it has it or can have it."""
        standing, taken = self._actual.standing, self._actual.status
        return next((place for place in self._wished_in(folder) if place in standing or not taken(place)), None)

    def _free(self, folder: str) -> str:
        """A free place. One that waits for the place that it wishes stays out of the way of those others wish."""
        if self._wished_in(folder) and not self._actual.status(self._spare(folder)):
            return self._spare(folder)
        return f"{folder}/{numbered(self._file.name, 1 + sum(1 for _ in self._taken(folder)))}"

    def _spare(self, folder: str) -> str:
        return f"{folder}/{numbered(self._file.name, SPARE_NUMBER + self._file.file_id)}"

    def _taken(self, folder: str) -> Iterator[str]:
        """The names the file could have in a folder, as far as they are taken: name, name~2, ..."""
        for number in itertools.count(1):
            place = f"{folder}/{numbered(self._file.name, number)}"
            if not self._actual.status(place):
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
            spot = self._actual.at(place)
            if spot is None:
                raise CannotPlaceError(f"{self._actual.root / folder} is a symbolic link now, or gone")
            try:
                if pointer := self._mode == "symlink" and self._actual.source is not None:
                    point(spot, self._file.source)
                else:
                    self._bring(spot, leaving, last=last)
            except FileExistsError:
                continue  # somebody took the name since we looked
            found = status(spot)
            if found is None:
                raise CannotPlaceError(f"{spot.path} was taken away at once")
            self._actual.standing[place] = Thing(place, spot, found, pointer)
            self._made.add(place)
            return place

    def _bring(self, target: Spot, leaving: list[str], *, last: bool) -> None:
        """The content under a new name: a hard link if that is possible and wanted, else a rename, else a copy.

        A source that we may neither link nor rename (somebody else's, in a folder like /tmp) is copied.
        """
        solid = [thing for thing in self._actual.standing.values() if not thing.pointer]
        origin = next((thing for thing in solid if thing.place in leaving), self._actual.source or solid[0])
        refused = self._link(origin, target)
        if refused == 0:
            return
        goes = origin.place in leaving or (origin is self._actual.source and self._mode == "move")
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
            if origin is not self._actual.source:
                raise
            return False
        self._actual.standing.pop(origin.place, None)
        if origin is self._actual.source:
            self._actual.source = None
        return True

    def _link(self, origin: Thing, target: Spot) -> int:
        """Hard-link origin; returns 0, or the errno that says that it cannot or should not be."""
        spot = origin.spot
        copyable = stat.S_ISREG(origin.stat.st_mode) and os.access(spot.name, os.R_OK, dir_fd=spot.folder)
        if self._mode == "copy" and origin is self._actual.source and copyable:
            return errno.ENOTSUP
        try:
            link(spot, target)
        except OSError as error:
            if error.errno not in LINK_REFUSED:
                raise
            return error.errno
        return 0

    def _make_folder(self, folder: str) -> None:
        spot = Spot(self._actual.root_folder, self._actual.root / folder)
        found = status(spot)
        if found is None:
            make_folder(spot)
        elif stat.S_ISLNK(found.st_mode):
            raise CannotPlaceError(f"{spot.path} is a symbolic link, and files must not leave the library")
        elif not stat.S_ISDIR(found.st_mode):
            raise CannotPlaceError(f"{spot.path} is in the way: it is not a folder")

    # what is old goes

    def _clear(self, leaving: list[str], shown: dict[str, str]) -> None:
        """Remove the places that truth no longer wants, in mode "move" the source, and what these leave behind."""
        for place in leaving:
            if thing := self._actual.standing.get(place):
                if not any(is_one_entry(thing.spot, self._actual.standing[kept].spot) for kept in shown.values()):
                    self._remove(thing, shown)
                del self._actual.standing[place]
        if self._mode == "move" and self._actual.source is not None:
            self._empty_inbox(self._actual.source, shown)
        # By the record, not by what stood there: a crash may have come between a place and what it leaves behind.
        former = [place for place in self._file.places if place not in shown.values()]
        for place in former:
            if folder_of(place) == QUARANTINE and (beside := self._actual.at(place)):
                remove_reason(beside, self._file)
        self._remove_emptied({folder_of(place) for place in former} - set(self._wanted))

    def _remove_emptied(self, folders: set[str]) -> None:
        for folder in folders - STAYING_FOLDERS:
            with contextlib.suppress(OSError):  # not empty, most of the time
                os.rmdir(folder, dir_fd=self._actual.root_folder)

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
        if not thing.pointer and not any(self._holds(self._actual.standing[place], thing) for place in shown.values()):
            raise CannotPlaceError(f"{thing.spot.path} stays: nothing else in the library has its content")
        unlink(thing.spot)

    def _holds(self, shown: Thing, thing: Thing) -> bool:
        """Does a shown place have the content of a thing that is to go?"""
        if shown.place in self._made or shown.identity == thing.identity:
            return True
        both_regular = stat.S_ISREG(shown.stat.st_mode) and stat.S_ISREG(thing.stat.st_mode)
        return both_regular and same_content(shown.spot, thing.spot)
