"""Drives a change to its end, chunk by chunk through the gallery's thread, with enrolment going on in between.

Room:    pipeline (moves)
Imports: errors, changes, channel, pulse
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar, cast

from face_organizer.errors import NoRoomError
from face_organizer.pipeline.changes import Changes
from face_organizer.pipeline.channel import Cancelled
from face_organizer.pipeline.pulse import beat, waiting

T = TypeVar("T")


class Applier:
    """One change at a time, whoever wants it. in_gallery(work) runs work in the gallery's thread and gives its answer.

    Any thread but the gallery's.
    """

    def __init__(
        self,
        changes: Changes,
        in_gallery: Callable[[Callable[[], Any]], Any],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """stopping(): the process wants to end; what is left of a change is done at the next start. behind: a full disk
        cut one short, and catch_up is to be tried again."""
        self._changes, self._in_gallery, self._stopping = changes, in_gallery, stopping
        self._one_at_a_time = Lock()
        self.behind = False

    def run(self, begin: Callable[[], T]) -> T:
        """Call begin() in the gallery's thread, where it may begin a change; then do that to its end.

        Returns what begin() returned; raises what it raised, and then nothing was changed. Raises Cancelled when the
        process stops before the end, NoRoomError when a full disk does not let it be done to its end, or begun.
        """
        with self._alone():
            self._end()  # of one that was cut short
            answer = cast("T", self._in_gallery(begin))
            try:
                self._end()
            except NoRoomError as error:
                raise NoRoomError(f"{error}; what was asked for is kept, and done as soon as there is room") from error
            return answer

    def end_interrupted(self) -> None:
        """End a change that a crash cut short, before the gallery's thread starts; on a full disk, later."""
        try:
            while self._changes.step():
                beat()
        except NoRoomError:
            self.behind = True

    def catch_up(self) -> None:
        """End a change that was cut short, if there is one. Raises Cancelled, NoRoomError."""
        with self._alone():
            self._end()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with waiting():
            self._one_at_a_time.acquire()
        try:
            yield
        finally:
            self._one_at_a_time.release()

    def _end(self) -> None:
        try:
            while self._in_gallery(self._changes.step):
                if self._stopping():
                    raise Cancelled
        except NoRoomError:
            self.behind = True
            raise
        self.behind = False
