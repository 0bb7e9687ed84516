"""What happened lately, for whoever wants to hear of it while it happens: the log's lines, the newest few, by number.

Room:    pipeline (moves)
Imports: ports

There is one way to tell of something, and that is the log (`Telling` stands in its place): whoever listens hears what
the log says. Nobody waits for a listener: one that is too slow finds that lines are gone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Lock
from typing import Any

from face_organizer.ports import Log

KEPT = 2000


@dataclass(frozen=True, slots=True)
class Line:
    """number: one more than the line before."""

    number: int
    event: str
    fields: dict[str, Any]


class Telling:
    """A Log that also remembers the newest lines. Thread-safe. begin_at: the number before the first line; by lot,
    so that a number that another process gave is known to be one."""

    def __init__(self, log: Log, begin_at: int = 0, kept: int = KEPT) -> None:
        self._log = log
        self._lines: deque[Line] = deque(maxlen=kept)
        self._lock = Lock()
        self._last = begin_at

    def info(self, event: str, **fields: Any) -> Any:
        self._keep(event, fields)
        return self._log.info(event, **fields)

    def warning(self, event: str, **fields: Any) -> Any:
        self._keep(event, fields)
        return self._log.warning(event, **fields)

    def error(self, event: str, **fields: Any) -> Any:
        self._keep(event, {key: value for key, value in fields.items() if key not in ("exc_info", "stack")})
        return self._log.error(event, **fields)

    def _keep(self, event: str, fields: dict[str, Any]) -> None:
        with self._lock:
            self._last += 1
            self._lines.append(Line(self._last, event, fields))

    @property
    def last(self) -> int:
        """The newest line's number."""
        return self._last

    def since(self, number: int, limit: int) -> tuple[list[Line], bool]:
        """The lines after this one, the oldest first, at most limit; and whether some in between are gone."""
        with self._lock:
            lines = list(self._lines)
            last = self._last
        if number > last:  # another process gave it
            return [], True
        oldest = last - len(lines) + 1
        later = lines[max(0, number + 1 - oldest) :]
        return later[:limit], number + 1 < oldest
