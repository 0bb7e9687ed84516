"""Attention to one folder: is it there, is it still the same one, and does anybody tell of changes below it?

Room:    adapters (touches)
Imports: types, ports, file_systems, reading, watching, stdlib

Events are hints that may be lost at any time (the kernel's queue overflows, threads die, network file systems send
none); whoever pays attention walks the folder as well. So a watcher that cannot be had is no failure: the walks find
everything, only later.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from face_organizer.adapters.file_systems import is_mounted, is_shared, kind_at
from face_organizer.adapters.reading import cause_of
from face_organizer.adapters.watching import LIMIT_REACHED, LIMITS, Events, Hints, Watcher
from face_organizer.ports import Clock, Log
from face_organizer.types import InboxState

RESTART_S = 5.0
"""A watcher that dies again and again is started anew no more often than this."""

REWATCH_S = 60.0
"""How often to try whether there are watches now for the folders that got none."""


class Identity(NamedTuple):
    """Which folder the inbox is. mounted: a file system of its own lies there."""

    device: int
    inode: int
    mounted: bool


class Attention:
    """To the folder at a path. noun: what it is called in the log ("inbox"). One thread uses it; state is for any.

    walk_due: hints were lost, or the folder is newly watched.
    """

    def __init__(self, root: Path, noun: str, events: Events, log: Log, clock: Clock) -> None:
        self._root, self.noun, self._log, self._clock = root, noun, log, clock
        self.named = {noun: str(root)}
        self._hints = Hints(root)
        self._watcher = Watcher(self._hints, events)
        self._identity: Identity | None = None
        self._mounted = False
        self._state = InboxState("polling", "it has not been looked at yet")
        self._walk_due = self._try_watching = True
        self._watch_anew = self._polling_told = False
        self._restart_at = self._rewatch_at = 0.0

    @property
    def walk_due(self) -> bool:
        return self._walk_due or bool(self._hints.lost)

    @property
    def state(self) -> InboxState:
        """As check() found it."""
        return self._state

    def hints(self, within_s: float) -> list[Path]:
        """Wait up to within_s for paths below the folder that something happened to. [] when nothing did."""
        return self._hints.take(within_s)

    def stop(self) -> None:
        """Stop watching and join the threads. hints() returns at once from now on."""
        self._hints.close()
        self._watcher.stop()

    def walk_begins(self) -> None:
        """Somebody walks the folder now: nothing is due any more, and a watcher is tried for again."""
        if lost := self._hints.lost:
            self._log.warning(f"{self.noun}_overflow", **self.named, cause=lost)
        self._hints.lost = ""
        self._walk_due, self._try_watching = False, True

    def watch_anew(self) -> None:
        """Something below may be watched now that could not be."""
        self._watch_anew = True

    def check(self) -> bool:
        """Is the folder there? Watches it (again) where the watcher is dead, or the folder was away or replaced."""
        identity = self._identity_now()
        if cause := self._why_lost(identity):
            if self._state.kind != "lost":
                self._log.warning(f"{self.noun}_lost", **self.named, cause=cause)
            self._state, self._identity = InboxState("lost", cause), None
            self._watcher.stop()
            return False
        assert isinstance(identity, Identity)
        if self._identity is None:
            self._identity, self._mounted = identity, identity.mounted
            self._walk_due = self._try_watching = True
            if self._state.kind == "lost":
                self._log.info(f"{self.noun}_back", **self.named)
                self._state, self._polling_told = InboxState("polling", "it has just come back"), False
        self._supervise()
        return True

    def _why_lost(self, identity: Identity | str) -> str:
        """Why the folder is not the one that was watched; "" if it is. Being lost ends the search for the old one, but
        below a file system that has been taken out lies only an empty folder: the file system is waited for."""
        if isinstance(identity, str):
            return identity
        if self._mounted and not identity.mounted:
            return "its file system is not mounted"
        if self._identity not in (None, identity):
            return "another folder has taken its place"
        return ""

    def _supervise(self) -> None:
        """Start the watcher that is lacking or dead, or that may now watch more; set the state."""
        now = self._clock()
        if self._watcher.alive:
            if (self._watcher.refused or self._watch_anew) and now >= self._rewatch_at:
                self._watch()
            elif self._watcher.refused:
                self._poll(self._refusal())  # a folder that appeared since
        elif self._watcher.died:
            if now >= self._restart_at:
                self._restart_at = now + RESTART_S
                self._log.warning(f"{self.noun}_watcher_restarted", **self.named)
                self._watch()
            else:
                self._poll("its watcher died again")
        elif self._try_watching:
            self._watch()

    def _watch(self) -> None:
        """Start the watcher. Where it cannot be had, say so once and leave it to the walks; each walk tries again."""
        self._try_watching = self._watch_anew = False
        self._rewatch_at = self._clock() + REWATCH_S
        self._watcher.stop()
        if reason := self._eventless() or self._start_watcher():
            self._poll(reason)
            return
        self._walk_due = True  # whatever came before the watch
        if self._polling_told:
            self._log.info(f"{self.noun}_watched", **self.named)
        self._state, self._polling_told = InboxState("watched"), False

    def _start_watcher(self) -> str:
        """ "" if everything is watched, else why not."""
        try:
            self._watcher.start(self._root)
        except OSError as error:
            self._watcher.stop()
            return f"{error.strerror} ({LIMITS})" if error.errno in LIMIT_REACHED else cause_of(error, self._root)
        except RecursionError:  # watchdog's own walk, before Python 3.12
            self._watcher.stop()
            return "its folders are nested too deeply to be watched"
        return self._refusal()

    def _refusal(self) -> str:
        refused = self._watcher.refused
        return f"{refused}: not all of its folders are watched ({LIMITS})" if refused else ""

    def _poll(self, reason: str) -> None:
        if not self._polling_told or reason != self._state.reason:
            self._log.warning(f"{self.noun}_polling", **self.named, reason=reason)
        self._state, self._polling_told = InboxState("polling", reason), True

    def _eventless(self) -> str:
        """Why nobody would tell us of changes on this file system; "" if somebody does."""
        kind = kind_at(self._root)
        return f"{kind} does not tell of changes" if is_shared(kind) else ""

    def _identity_now(self) -> Identity | str:
        """Which folder lies there now, or why none does."""
        try:
            found, mounted = self._root.stat(), is_mounted(self._root)
        except (FileNotFoundError, NotADirectoryError):
            return "it is gone"
        except OSError as error:
            return cause_of(error, self._root)
        return Identity(found.st_dev, found.st_ino, mounted)
