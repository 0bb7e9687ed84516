"""How our messages name a command, and how this user has to type it.

Room:    names
Imports: stdlib

A message writes it as `face-organizer VERB ...` in backticks, or on a line of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

COMMAND = re.compile(r"(?m)(^(?: *\$)? *|`)face-organizer ([a-z-]+)([^`\n]*)")


def program() -> str:
    """How the user calls us: by this name, or by that of the script that runs us from a checkout."""
    return os.environ.get("FACE_ORGANIZER_CALLED") or "face-organizer"


def as_called(text: str, options_of: Callable[[str], str] = lambda verb: "") -> str:
    """A text with the commands in it as this user has to type them. options_of(verb): what belongs at the end,
    where the text says nothing of it: " --library library"."""

    def typed(found: re.Match[str]) -> str:
        before, verb, rest = found.groups()
        options = options_of(verb)
        missing = "" if options and options.split()[0] in rest.split() else options
        return f"{before}{program()} {verb}{rest}{missing}"

    return COMMAND.sub(typed, text)
