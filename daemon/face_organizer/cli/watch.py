"""How the daemon stands, in the terminal, all the time: rates, queues, persons, events, problems.

Room:    cli (talks)
Imports: errors, shared, words

Rates are of images and faces between two looks. Looking costs the daemon some milliseconds each time.
"""

from __future__ import annotations

import contextlib
import select
import sys
import termios
import tty
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from face_organizer.cli.shared import printable
from face_organizer.cli.words import time_in_words
from face_organizer.errors import FaceOrganizerError, RequestError

Ask = Callable[..., Any]

KEPT = 60
BLOCKS = " ▁▂▃▄▅▆▇█"
PEOPLE_SHOWN, EVENTS_MIN = 8, 3
FIELDS_SHOWN = ("image", "person", "persons", "says", "reason", "problem", "faces", "places")
BAD = ("warning", "error", "lost", "quarantined", "retired", "full", "paused", "waits")


@dataclass
class Rates:
    """What came between looks. seen: (monotonic seconds, images, faces); newest last."""

    seen: deque[tuple[float, int, int]] = field(default_factory=lambda: deque(maxlen=KEPT + 1))

    def note(self, now: float, images: int, faces: int) -> None:
        self.seen.append((now, images, faces))

    def per_second(self, column: int, looks: int = 1) -> float | None:
        """Over so many looks; None before the second one. column: 1 images, 2 faces"""
        if len(self.seen) < 2:
            return None
        last, first = self.seen[-1], self.seen[max(0, len(self.seen) - 1 - looks)]
        return max(0.0, (last[column] - first[column]) / max(1e-9, last[0] - first[0]))

    def line(self) -> str:
        """Images a second of each look, as little bars."""
        seen = list(self.seen)
        rates = [(b[1] - a[1]) / max(1e-9, b[0] - a[0]) for a, b in pairwise(seen)]
        most = max(rates, default=0.0)
        return "".join(BLOCKS[round(8 * max(0.0, rate) / most)] if most > 0 else BLOCKS[0] for rate in rates)


def watch_in_terminal(ask: Ask, every_s: float) -> None:
    """Until q, Ctrl-C or the end of the daemon. Raises FaceOrganizerError where no daemon answers."""
    console, rates = Console(), Rates()
    looked = _look(ask, rates)  # before the screen is taken: what is wrong stays readable
    with (
        contextlib.suppress(KeyboardInterrupt),
        _keys(),
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            live.update(drawn(*looked, rates, console.size.height), refresh=True)
            if _pressed(every_s) in ("q", "Q", "\x03", "\x04"):
                return
            looked = _look(ask, rates)


def drawn(
    status: dict[str, Any], people: dict[str, Any], events: list[dict[str, Any]], rates: Rates, height: int
) -> RenderableType:
    """The whole screen."""
    upper = Table.grid(expand=True, padding=(0, 1))
    for _ in range(3):
        upper.add_column(ratio=1)
    upper.add_row(_counts(status), _flow(status, rates), _people(people))
    lines = [(notice, "yellow") for notice in status["notices"]] + [(problem, "red") for problem in status["problems"]]
    problems = [Text(printable(line), style=style, overflow="ellipsis") for line, style in lines[:5]]
    rows: list[RenderableType] = [_head(status), upper]
    if problems:
        rows.append(Panel(Group(*problems), title="problems", border_style="red", title_align="left"))
    left = height - 17 - (len(problems) + 2 if problems else 0)
    last = [_event(event) for event in events[-max(EVENTS_MIN, left) :]]
    rows.append(Panel(Group(*last), title="last events", title_align="left", border_style="dim"))
    rows.append(Text(" q or Ctrl-C ends; the daemon goes on", style="dim"))
    return Group(*rows)


def _look(ask: Ask, rates: Rates) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    try:
        status = ask("status")
        people, events = ask("crowd", limit=PEOPLE_SHOWN), ask("events", limit=KEPT)
    except FaceOrganizerError as error:
        if not rates.seen:
            raise
        raise RequestError(f"{error} (it was running until now)") from error
    rates.note(monotonic(), status["images"], status["faces"])
    return status, people, events


def _head(status: dict[str, Any]) -> RenderableType:
    state = (status["inbox_state"] or {}).get("state", "not watched")
    doing = Text("re-clustering", style="yellow") if status["reclustering"] else Text(state, style="green")
    if status["paused"]:
        doing = Text(f"paused: no room in {printable(status['paused']['folder'])}", style="bold red")
    head = Table.grid(expand=True, padding=(0, 2))
    for justify in ("left", "center", "right"):
        head.add_column(justify=justify, ratio=1, no_wrap=True, overflow="ellipsis")
    up = f"pid {status['pid']}, up {time_in_words(status['up_s'])}, {status['device']}"
    head.add_row(Text(printable(status["library"]), style="bold"), doing, up)
    return head


def _counts(status: dict[str, Any]) -> RenderableType:
    index = status["index"]
    rows = [(key.replace("_", " "), f"{status[key]:,}") for key in COUNTED]
    rows.append(("trash", "?" if status["trash"] is None else f"{status['trash']:,}"))
    rows.append(("decisions", f"{status['decisions']:,}"))
    rows.append(("index recall", "?" if index.get("recall") is None else f"{index['recall']:.2%}"))
    if status["proposal"]:
        rows.append(("proposal waits", f"run {status['proposal']['run_id']}"))
    return _panel("library", rows)


COUNTED = ("images", "faces", "persons", "outliers", "no_face", "quarantined", "duplicates")


def _flow(status: dict[str, Any], rates: Rates) -> RenderableType:
    def told(column: int, looks: int) -> str:
        rate = rates.per_second(column, looks)
        return "..." if rate is None else f"{rate:,.1f}"

    rows = [
        ("images/s now", told(1, 1)),
        ("images/s lately", told(1, KEPT)),
        ("faces/s lately", told(2, KEPT)),
        ("in flight", f"{status['in_flight']:,}"),
        *((f"before {stage}", f"{waiting:,}") for stage, waiting in status["queues"].items()),
        ("to be placed", f"{status['pending']:,}"),
    ]
    return _panel("flow", rows, Text(rates.line()[-28:], style="cyan"))


def _people(people: dict[str, Any]) -> RenderableType:
    rows = [(printable(row["name"]), f"{row['faces']:,}") for row in people["people"]]
    return _panel(f"persons, most faces first ({people['total']:,})", rows)


def _panel(title: str, rows: list[tuple[str, str]], below: RenderableType | None = None) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(no_wrap=True, overflow="ellipsis", style="dim")
    table.add_column(no_wrap=True, justify="right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return Panel(Group(table, below) if below else table, title=title, title_align="left", border_style="dim")


def _event(event: dict[str, Any]) -> RenderableType:
    fields = event["fields"]
    told = "  ".join(f"{key}={fields[key]}" for key in FIELDS_SHOWN if fields.get(key))
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{event['event']:<22}", style="red" if any(word in event["event"] for word in BAD) else "bold")
    line.append(" " + printable(told).replace("\n", " "))
    return line


@contextlib.contextmanager
def _keys() -> Iterator[None]:
    """Keys come as they are pressed, and are not shown; as it was, in the end."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _pressed(within_s: float) -> str:
    """The key that is pressed within so many seconds, "" if none is."""
    ready, _, _ = select.select([sys.stdin], [], [], within_s)
    return sys.stdin.read(1) if ready else ""
