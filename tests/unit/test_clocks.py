"""Every wait and every duration is measured by the monotonic clock: a jump of the time of day moves nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import face_organizer

ROOT = Path(face_organizer.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

MAY_KNOW_THE_TIME_OF_DAY = {
    "app/house.py": "hands it to those who write down when something was done",
    "cli/report.py": "dates the page",
    "cli/words.py": "writes dates for people",
}
WALL_CLOCK = {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime"}
"""Of the module time; so is everything of the module datetime."""

READ_AS = {"time", "now"}
"""Names under which a function that tells the time of day is passed on: clock and monotonic are the other one."""


def asks_the_time_of_day(source: str) -> bool:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module="datetime") | ast.Import(names=[ast.alias(name="datetime")]):
                return True
            case ast.ImportFrom(module="time", names=names) if {name.name for name in names} & WALL_CLOCK:
                return True
            case ast.Attribute(value=ast.Name(id="time"), attr=attribute) if attribute in WALL_CLOCK:
                return True
    return False


def reckonings(source: str) -> list[int]:
    """Lines that add to, subtract from or compare a time of day."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.BinOp | ast.Compare)
        for part in ast.walk(node)
        if isinstance(part, ast.Call)
        and (part.func.id if isinstance(part.func, ast.Name) else getattr(part.func, "attr", "")).lstrip("_") in READ_AS
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_no_wait_and_no_duration_depends_on_the_time_of_day(file: Path) -> None:
    place, source = file.relative_to(ROOT).as_posix(), file.read_text()

    assert not asks_the_time_of_day(source) or place in MAY_KNOW_THE_TIME_OF_DAY
    assert reckonings(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\nend = time.time() + 5",
        "from time import monotonic, time",
        "from datetime import datetime",
        "import datetime",
        "import time\ndef f():\n    return time.time_ns()",
    ],
)
def test_the_time_of_day_is_recognised(source: str) -> None:
    assert asks_the_time_of_day(source)


@pytest.mark.parametrize("source", ["if self._now() > end: pass", "took = time() - began", "x = 1 + now()"])
def test_reckoning_with_it_is_recognised(source: str) -> None:
    assert reckonings(source) == [1]


@pytest.mark.parametrize("source", ["import time\nclock = time.monotonic", "record(at_s=self._now())"])
def test_the_monotonic_clock_and_a_date_that_is_written_down_are_allowed(source: str) -> None:
    assert not asks_the_time_of_day(source)
    assert reckonings(source) == []
