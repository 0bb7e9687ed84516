"""Does what a crash, a stop or a full disk cut short; what a stop cuts short now, the next start does.

Room:    pipeline (moves)
Imports: errors, applying, forget, gallery, messages, pulse, runs, space
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from face_organizer.errors import NoRoomError
from face_organizer.pipeline.applying import Applier
from face_organizer.pipeline.forget import Forget
from face_organizer.pipeline.gallery import Gallery
from face_organizer.pipeline.messages import Call
from face_organizer.pipeline.pulse import wait
from face_organizer.pipeline.runs import Runs
from face_organizer.pipeline.space import RETRY_S, Space

LOOK_S = 1.0


class CatchUp:
    """Whoever may be `behind`, and what waits for room. takes_in(): does anybody take images in, so that the disks have
    to be looked at? post(message): to the gallery. look_at_store(): raises where the truth has been taken away."""

    def __init__(
        self,
        gallery: Gallery,
        applier: Applier,
        runs: Runs,
        forget: Forget,
        space: Space,
        takes_in: Callable[[], bool],
        post: Callable[[Call], None],
        look_at_store: Callable[[], None],
    ) -> None:
        self._gallery, self._applier, self._runs, self._forget = gallery, applier, runs, forget
        self._space, self._takes_in, self._post = space, takes_in, post
        self._look_at_store = look_at_store

    def run(self, stop: Event) -> None:
        """The service: look until stop."""
        self._runs.behind = True
        while True:
            self._look_at_store()
            if self._takes_in():
                self._space.look()
            if self._gallery.held:
                self._post(Call(self._gallery.enrol_held))
            if wait(stop, LOOK_S if self._caught_up(stop) else RETRY_S):
                return

    def _caught_up(self, stop: Event) -> bool:
        """In this order. False where a disk is too full for it."""
        try:
            if self._applier.behind:
                self._applier.catch_up()
            if self._runs.behind:
                self._runs.resume()
            if self._forget.behind:
                self._forget.resume(stop)
        except NoRoomError:
            return False
        return True
