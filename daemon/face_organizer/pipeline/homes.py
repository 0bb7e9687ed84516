"""Which folder is which, whatever it is called by now: by the inodes of the folders that we laid something into.

Room:    pipeline (moves)
Imports: types

Thread-safe: the placer tells, through stir.py, what it laid where; whoever follows the folders asks. A folder that we
made a moment ago is known like one that has stood for years.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from threading import Lock

from face_organizer.types import Signature


class Homes:
    """See the module's text. Of each folder, by its inode, the name that truth knows it by. look(folder): what stands
    by that name; None where nothing does."""

    def __init__(self, look: Callable[[str], Signature | None]) -> None:
        self._look, self._lock = look, Lock()
        self._name_of: dict[int, str] = {}

    def laid_into(self, folder: str, inode: int) -> None:
        """We laid something into what is called `folder`. Where that is somebody else's folder, which was given this
        name a moment ago, it stays known as what it was."""
        with self._lock:
            known = self._name_of.get(inode, folder)
            if known == folder or self._look(known) is None:
                self._name_of[inode] = folder

    def removed(self, folder: str) -> None:
        """We emptied the folder, and it is gone: its number may be given to another one."""
        with self._lock:
            self._name_of = {inode: name for inode, name in self._name_of.items() if name != folder}

    def walked(self, folders: Mapping[str, Signature], held: AbstractSet[str]) -> None:
        """What a walk found was answered. held: the folders that hold something as truth has it."""
        with self._lock:
            self._name_of = {
                told.inode: folder if folder in held else self._name_of.get(told.inode, folder)
                for folder, told in folders.items()
            }

    def named(self, folders: Mapping[str, Signature]) -> None:
        """These are the folders of those whom they were named after."""
        with self._lock:
            self._name_of |= {told.inode: folder for folder, told in folders.items()}

    def renamed(self, now: Mapping[str, Signature]) -> dict[str, str]:
        """folder -> what the same folder is called now, of those that stand under another name."""
        with self._lock:
            known = {folder: self._name_of.get(told.inode, folder) for folder, told in now.items()}
        return {name: folder for folder, name in known.items() if name != folder}
