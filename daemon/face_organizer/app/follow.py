"""Moves a library to another model for one who waits: begins it and follows it, with a daemon or without.

Room:    app (wires)
Imports: organizer (its type), commands, adapters, pipeline, names
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from face_organizer.adapters.control import ask
from face_organizer.app.commands import opened
from face_organizer.config import STATE_FOLDER
from face_organizer.errors import FaceOrganizerError
from face_organizer.pipeline.pulse import pause

if TYPE_CHECKING:
    from face_organizer.app.organizer import Organizer

LOOK_S, REOPENED_WITHIN_S = 0.3, 120.0
Answer = dict[str, Any]
Call = Callable[..., Any]
"""call(name, **arguments): see app.Organizer.calls."""


def reembed(library: Path, begin: Callable[[Call], Any], tick: Callable[[Answer], None]) -> Answer:
    """Begin, or decide, and follow until it waits for a human or another model is in use; returns how it stands then
    (the call reembed_told). tick(that) is called now and then.

    Whoever stops following stops nothing that a daemon does; without a daemon, all that was done is kept. Raises
    FaceOrganizerError.
    """
    state = library / STATE_FOLDER
    try:
        begin(partial(ask, state))
    except ConnectionError:
        return _without_daemon(library, begin, tick)
    return _follow(partial(_patiently, state), tick, ("filling", "comparing", "due"))


def _without_daemon(library: Path, begin: Callable[[Call], Any], tick: Callable[[Answer], None]) -> Answer:
    with opened(library) as organizer:
        organizer.take_in_folders()
        calls = organizer.calls()
        begin(lambda call, **arguments: calls[call](**arguments))
        told = _follow(partial(_unless_failed, organizer), tick, ("filling", "comparing"))
    if told["beside"] is None or told["beside"]["state"] != "due":
        return told
    with opened(library) as organizer:  # which switches
        organizer.recluster_unasked("reembed")
        now: Answer = organizer.calls()["reembed_told"]()
    return now


def _follow(look: Callable[[], Answer], tick: Callable[[Answer], None], moving: tuple[str, ...]) -> Answer:
    """Until the model beside is in none of the states `moving`. Raises FaceOrganizerError where it cannot go on."""
    while True:
        told = look()
        beside = told["beside"]
        if beside is None or beside["state"] not in moving:
            return told
        if beside["problem"]:
            raise FaceOrganizerError(f"{beside['problem']}; what was done is kept")
        tick(told)
        pause(LOOK_S)


def _unless_failed(organizer: Organizer) -> Answer:
    failure = organizer.failure()
    if failure is not None:
        raise failure
    told: Answer = organizer.calls()["reembed_told"]()
    return told


def _patiently(state: Path) -> Answer:
    """While a daemon opens its library anew, nobody answers for a moment."""
    give_up_at = monotonic() + REOPENED_WITHIN_S
    while True:
        try:
            told: Answer = ask(state, "reembed_told")
        except ConnectionError as error:
            if monotonic() > give_up_at:
                raise FaceOrganizerError("the daemon went away; its log says why") from error
        else:
            return told
        pause(LOOK_S)
