"""Which faces are wanted: conditions in a few words, all of which must hold.

Room:    pipeline (moves)
Imports: errors, stdlib
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from face_organizer.errors import RequestError

Row = Mapping[str, Any]
Holds = Callable[[Row], bool]

NUMBERS = ("quality", "similarity", "margin", "detection_score", "age", "face_id", "image_id", "person_id")
WORDS: Mapping[str, Holds] = {
    "named": lambda row: bool(row["named"]),
    "unnamed": lambda row: row["person_id"] is not None and not row["named"],
    "nobody": lambda row: row["person_id"] is None,
    "confirmed": lambda row: bool(row["confirmed"]),
}
TEXTS = ("person", "gender")
GENDERS = ("female", "male")
ATTRIBUTES = frozenset({"gender", "age"})

_COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "!=": operator.ne,
}
_CONDITION = re.compile(r"\s*(\w+)\s*(>=|<=|!=|>|<|=)\s*(.*?)\s*", re.DOTALL)


def condition(text: str) -> tuple[str, Holds]:
    """What a condition is about, and whether it holds for a row of an export. Raises RequestError.

    A word (named), a number (quality>=0.5), or a text (person=Alice); what is not known of a face holds nowhere.
    """
    if text.strip() in WORDS:
        return text.strip(), WORDS[text.strip()]
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise RequestError(_refusal(text))
    name, sign, value = found.groups()
    compare = _COMPARE[sign]
    if name in NUMBERS:
        try:
            bound = float(value)
        except ValueError as error:
            raise RequestError(f"--where {text!r}: {name} is a number, and {value!r} is none") from error
        return name, lambda row: row.get(name) is not None and bool(compare(row[name], bound))
    if name in TEXTS and sign in ("=", "!="):
        wanted = value.casefold()
        if name == "gender" and wanted not in GENDERS:
            raise RequestError(f"--where {text!r}: gender is {' or '.join(GENDERS)}")
        return name, lambda row: row.get(name) is not None and bool(compare(str(row[name]).casefold(), wanted))
    raise RequestError(_refusal(text))


def conditions(texts: Sequence[str], attributes_lack: str) -> Holds:
    """Do all of these hold? attributes_lack: why nothing is known of gender and age, "" where it is.

    Raises RequestError, also where attributes are asked for that nobody told.
    """
    parsed = [condition(text) for text in texts]
    if attributes_lack and (asked := sorted(ATTRIBUTES & {name for name, _ in parsed})):
        raise RequestError(f"nothing is known of {' and '.join(asked)} here: {attributes_lack}")
    return lambda row: all(holds(row) for _, holds in parsed)


def _refusal(text: str) -> str:
    return (
        f"--where {text!r} is not understood: say one of {', '.join(WORDS)}; or a number, one of {', '.join(NUMBERS)},"
        f" with >= <= > < = !=; or {' or '.join(TEXTS)} with = or !="
    )
