"""Runs the real command with one function in it that, once, does not return: python hang.py MODULE:NAME FILE ARGS...

As soon as FILE exists, the next call of the function removes it and sits for so many seconds as the file says, or for
ever if it is empty. So no test needs a fault built into the program.
"""

from __future__ import annotations

import sys
from functools import wraps
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Any


def hang_once(name: str, trigger: Path) -> None:
    module, _, path = name.partition(":")
    *owners, function = path.split(".")
    owner: Any = import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    original = getattr(owner, function)

    @wraps(original)
    def hanging(*arguments: Any, **named: Any) -> Any:
        try:
            seconds = trigger.read_text()
            trigger.unlink()
        except FileNotFoundError:
            return original(*arguments, **named)
        Event().wait(float(seconds) if seconds.strip() else None)
        return original(*arguments, **named)

    setattr(owner, function, hanging)


if __name__ == "__main__":
    hang_once(sys.argv[1], Path(sys.argv[2]))
    sys.argv[1:3] = []
    import_module("face_organizer.__main__").main()
