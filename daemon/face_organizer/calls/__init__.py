"""What a command may call, by name: the classes' public methods.

Room:    app (wires)
Imports: errors, pipeline, calls
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from face_organizer.calls.ask import Ask
from face_organizer.calls.decide import Decide
from face_organizer.calls.desk import Desk
from face_organizer.calls.exchange import Exchange
from face_organizer.calls.look import Look
from face_organizer.calls.reembed import Reembed
from face_organizer.calls.review import Review
from face_organizer.errors import RequestError
from face_organizer.pipeline.channel import Cancelled

READING = frozenset({"run", "follow_edits", "export_faces", "export_regions", "reembed_told"})
"""Of the classes that decide: what only looks, or ends what somebody began in the folders."""


def decides(call: str, arguments: Mapping[str, Any]) -> bool:
    """Does this call decide or re-cluster, so that what people did in the folders should come first?"""
    if call == "check":
        return bool(arguments.get("repair"))
    if arguments.get("dry_run"):
        return False
    return call not in READING and any(hasattr(owner, call) for owner in (Decide, Exchange, Reembed))


def calls_by_name(desk: Desk) -> dict[str, Callable[..., Any]]:
    """Every call. One that the end of the process cuts short says so."""
    owners = (Ask(desk), Look(desk), Decide(desk), Review(desk), Exchange(desk), Reembed(desk))
    names = ((owner, name) for owner in owners for name in dir(owner) if not name.startswith("_"))
    return {name: _told_of_the_end(getattr(owner, name)) for owner, name in names}


def _told_of_the_end(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def answer(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except Cancelled as error:
            raise RequestError("the daemon is stopping; what was decided is kept and done at the next start") from error

    return answer
