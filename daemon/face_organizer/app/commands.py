"""What a command does: ask the daemon that owns the library, or open the library for this one call.

Room:    app (wires)
Imports: opening, shown, calls, pipeline, adapters.log (only where they are needed), organizer (its type), adapters,
         names

Asking a running daemon should take no longer than the answer: what takes time to import is imported where it is needed,
here and in cli. What is about this machine, and no library, is in machine.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from face_organizer.adapters.control import StrangerError, ask
from face_organizer.adapters.files import digest_at
from face_organizer.adapters.results import Mark as Mark
from face_organizer.adapters.results import link_images as link_images
from face_organizer.adapters.results import write_result as write_result
from face_organizer.config import STATE_FOLDER, library_around
from face_organizer.errors import NotAnsweringError, RequestError

if TYPE_CHECKING:
    from face_organizer.app.organizer import Organizer

ANSWERS_WITHIN_S, TOLD_AFTER_S, LOOK_S = 10.0, 1.0, 0.1
FINISH_WITHIN_S = 86_400.0
"""Nobody waits for a command as systemd waits for a daemon: what it set in motion, it ends."""


def answer(library: Path, call: str, **arguments: Any) -> Any:
    """The answer to a call, see app.Organizer.calls. Raises FaceOrganizerError."""
    with answers_of(library) as asked:
        return asked(call, **arguments)


@contextmanager
def answers_of(library: Path) -> Iterator[Callable[..., Any]]:
    """Asks one call after the other: of the daemon, or, where none runs, of the library, opened until the end.

    A daemon that is about to answer (it opens the library, or opens it anew) is waited for. Raises FaceOrganizerError.
    """
    with ExitStack() as stack:
        own: list[Alone] = []

        def asked(call: str, **arguments: Any) -> Any:
            patience = _Patience(library)
            while not own:
                try:
                    return ask(library / STATE_FOLDER, call, **arguments)
                except ConnectionError as error:
                    is_strangers = isinstance(error, StrangerError)
                try:
                    own.append(Alone(stack.enter_context(opened(library))))
                except NotAnsweringError as error:
                    if is_strangers:
                        raise
                    patience.wait(error)
            return own[0].answer(call, **arguments)

        yield asked


class _Patience:
    """With a process that has the library and does not answer yet."""

    def __init__(self, library: Path) -> None:
        self._library, self._since, self._told = library, monotonic(), False

    def wait(self, error: NotAnsweringError) -> None:
        """A moment; raises the error when that was long enough. Whoever looks on hears why it takes so long."""
        from face_organizer.adapters.log import open_log
        from face_organizer.pipeline.pulse import pause

        waited_s = monotonic() - self._since
        if waited_s > ANSWERS_WITHIN_S:
            raise error
        if waited_s > TOLD_AFTER_S and not self._told:
            self._told = True
            open_log("auto", "warning").warning(
                "library_busy", library=str(self._library), waits_s=ANSWERS_WITHIN_S, problem=str(error)
            )
        pause(LOOK_S)


class Alone:
    """Answers where nobody follows the library's folders. The first call that decides anything has what people did in
    them decided before; until then, one that only reads tells in the log that it is not."""

    def __init__(self, organizer: Organizer) -> None:
        self._organizer, self._calls = organizer, organizer.calls()
        self._looked = ""

    def answer(self, call: str, **arguments: Any) -> Any:
        from face_organizer.calls import decides

        if decides(call, arguments):
            if self._looked != "deciding":
                self._organizer.take_in_folders()
            self._looked = "deciding"
        elif not self._looked:
            self._organizer.tell_of_folders()
            self._looked = "reading"
        return self._calls[call](**arguments)


@contextmanager
def opened(library: Path) -> Iterator[Organizer]:
    """A library that no daemon serves, for as long as a command needs it. What can only be read is not written to."""
    from face_organizer.adapters.log import open_log
    from face_organizer.app.opening import open_existing

    organizer = open_existing(library, open_log("auto", "warning"))
    try:
        organizer.start()
        yield organizer
    finally:
        organizer.stop(within_s=FINISH_WITHIN_S)


def daemon_answer(library: Path, call: str, **arguments: Any) -> Any:
    """A running daemon's answer to a call. Raises RequestError where none runs, FaceOrganizerError."""
    try:
        return ask(library / STATE_FOLDER, call, **arguments)
    except StrangerError as error:
        raise RequestError(f"whatever runs on {library} answers its own user only: sudo -u USER ...") from error
    except ConnectionError as error:
        raise RequestError(
            f"no daemon runs on {library}: start one with `face-organizer run --inbox DIR --library {library}`;"
            " `status` without --watch tells how the library stands"
        ) from error


def picture(path: Path) -> dict[str, str]:
    """A picture as a command may send it: by its content. Raises RequestError."""
    try:
        digest = digest_at(path)
    except OSError as error:
        raise RequestError(f"cannot read {str(path)!a}: {error.strerror}") from error
    folder = os.fsencode(path.absolute().parent.name).decode("utf-8", "replace")
    return {"digest": digest.hex(), "folder": folder, "path": ascii(str(path))[1:-1]}


def refuse_quarantined(library: Path, path: Path) -> None:
    """Of a file that lies in the library's quarantine nothing is known but why: raises RequestError with that."""
    from face_organizer.adapters.reasons import reason_told
    from face_organizer.types import QUARANTINE

    lies_there = path.resolve().is_relative_to((library / QUARANTINE).resolve())
    if lies_there and (reason := reason_told(path)):
        raise RequestError(f"{ascii(str(path))[1:-1]} lies in {QUARANTINE}/, for it could not be taken in: {reason}")


def write_montage(path: Path, hits: list[dict[str, Any]]) -> None:
    """A PNG of what a search found. Raises RequestError."""
    from face_organizer.app.shown import MONTAGE, montage_of

    write_result(path, montage_of(hits), MONTAGE)


def refuse_in_the_way(library: Path, *results: Path | None) -> None:
    """What a command writes for its user goes elsewhere than what is sorted: raises RequestError for a file or folder
    that would be, lie in or hold the library, its state or its inbox, or lie in another library. None: none is asked
    for."""
    if not any(results):
        return
    from face_organizer.app.opening import settings_noted

    noted = settings_noted(library)
    places = {"library": library, "state folder": library / STATE_FOLDER} | (
        {"inbox": Path(noted.inbox)} if noted else {}
    )
    for result in filter(None, results):
        real = result.resolve()
        above = (real, *real.parents)
        for role, place in [(role, place.resolve()) for role, place in places.items()]:
            if place in above or real in place.parents:
                lies = "is" if real == place else "lies in" if place in above else "holds"
                raise RequestError(
                    f"{result} {lies} the {role} {place}: name one outside of it for what is to be written"
                )
        if (other := library_around(real)) is not None:
            raise RequestError(
                f"{result} lies in the library {other}: name one outside of it for what is to be written"
            )


def pictures_of(rows: list[dict[str, Any]]) -> dict[int, bytes]:
    """A JPEG of each face that can be read: face id -> picture."""
    from face_organizer.app.shown import faces_shown

    return faces_shown(rows)
