"""What several tests share."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import monotonic
from typing import Any


def wait_until(
    condition: Callable[[], bool], within_s: float = 5.0, explain: Callable[[], object] = lambda: ""
) -> None:
    """Return as soon as condition() holds; fail when it does not within so many seconds, saying explain()."""
    deadline, pause = monotonic() + within_s, Event()
    while not condition():
        assert monotonic() < deadline, f"not within {within_s} s {explain()}"
        pause.wait(0.02)


class Notes:
    """A log that is kept. levels: of each line, in their order."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.levels: list[str] = []

    def info(self, event: str, **fields: Any) -> None:
        self._note("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._note("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._note("error", event, fields)

    def _note(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.lines.append((event, fields))
        self.levels.append(level)

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.lines]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.lines if name == event]
