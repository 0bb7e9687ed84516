"""What a command may call, by name: the two classes' public methods.

Room:    app (wires)
Imports: calls
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from face_organizer.calls.ask import Ask
from face_organizer.calls.decide import Decide
from face_organizer.calls.desk import Desk


def calls_by_name(desk: Desk) -> dict[str, Callable[..., Any]]:
    """Every call."""
    return {
        name: getattr(owner, name)
        for owner in (Ask(desk), Decide(desk))
        for name in dir(owner)
        if not name.startswith("_")
    }
