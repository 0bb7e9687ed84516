"""The reason beside a file in quarantine: NAME.reason.txt, with the sentence that a person will read.

Room:    adapters (touches the quarantine folder)
Imports: types, adapters.files, stdlib
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from face_organizer.adapters.files import Spot, numbered, status, text_of, unlink, write_new
from face_organizer.types import FileToPlace

ENDING = ".reason.txt"
ORIGINAL = "original path: "
BYTES_MAX = 1 << 16


def write_reason(beside: Spot, file: FileToPlace, staged: str) -> None:
    """Explain the file at `beside`. Doing it twice is the same as once. staged: see files.copy_new. Raises OSError."""
    text = os.fsencode(f"{file.reason}\n") + _trailer(file)
    for spot in _spots(beside):
        found = text_of(spot, BYTES_MAX)
        if found == text:
            return
        if found is not None and found.endswith(_trailer(file)):
            unlink(spot)  # ours, with an older reason
        if status(spot) is None:
            write_new(text, spot, staged)
            return


def remove_reason(beside: Spot, file: FileToPlace) -> None:
    """Take away what was explained of a file that was at `beside`. Raises OSError."""
    for spot in _spots(beside):
        if status(spot) is None:
            return
        if (text_of(spot, BYTES_MAX) or b"").endswith(_trailer(file)):
            unlink(spot)
            return


def reason_told(path: Path) -> str:
    """Why a file lies in quarantine, as the file beside it tells; "" where there is none."""
    for number in itertools.count(1):
        try:
            with path.with_name(numbered(path.name, number, ENDING)).open("rb") as file:
                told = file.read(BYTES_MAX).decode("utf-8", "replace")
        except OSError:
            return ""
        reason, trailer, _ = told.rpartition(f"\n{ORIGINAL}")
        if trailer:
            return reason
    raise AssertionError("there are no more numbers")


def _trailer(file: FileToPlace) -> bytes:
    """How our reason files end: it tells them from a text file that somebody dropped."""
    return os.fsencode(f"{ORIGINAL}{file.source}\n")


def _spots(beside: Spot) -> Iterator[Spot]:
    """The names that the reason can have: NAME.reason.txt, NAME~2.reason.txt, ..."""
    for number in itertools.count(1):
        yield beside.beside(numbered(beside.name, number, ENDING))
