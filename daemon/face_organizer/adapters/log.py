"""Log lines on stderr: for people on a terminal, JSON for everybody else; fields where stderr is systemd's journal.

Room:    adapters (touches stderr)
Imports: ports, hints, adapters.journal, structlog, stdlib

Names that are not UTF-8 reach us with surrogates, which no encoder takes: they are written as \\udcXX, and in the
journal's fields as the bytes they are.
"""

from __future__ import annotations

import logging
import re
import sys
from contextlib import suppress
from functools import cache
from typing import Any, TextIO, cast

import structlog

from face_organizer.adapters.journal import Journal, is_journal
from face_organizer.hints import as_called
from face_organizer.ports import Log


def open_log(style: str, level: str) -> Log:
    """The process's log. style: "auto" (pretty on a terminal, fields in the journal, else JSON), "json" or "pretty";
    level: least shown."""
    journal = style == "auto" and is_journal(2)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            *([] if journal else [structlog.processors.TimeStamper(fmt="iso", utc=True)]),
            structlog.processors.format_exc_info,
            _as_typed,
            *([_as_entry] if journal else [_printable, _renderer(style)]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=(lambda *_: _journal())
        if journal
        else structlog.WriteLoggerFactory(cast("TextIO", _Unfailing(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    return cast("Log", structlog.get_logger())


def log_of(library: str) -> Log:
    """The process's log, as it is opened at the time, for one of several libraries: each line says which."""
    return cast("Log", structlog.get_logger(library=library))


def flush_log() -> None:
    """Send what the journal did not take at once. Call it now and then."""
    if _journal.cache_info().currsize:
        _journal().journal.flush()


class _Unfailing:
    """A stream whose troubles (a full disk, a reader that left) are its own: telling is not the work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


class _ToJournal:
    """What structlog calls a logger, over the journal."""

    def __init__(self) -> None:
        self.journal = Journal()

    def info(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.journal.write(level, event, fields)

    debug = warning = error = critical = info


_journal = cache(_ToJournal)


def _as_typed(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {key: as_called(value) if isinstance(value, str) else value for key, value in event.items()}


def _as_entry(_logger: Any, _method: str, event: structlog.typing.EventDict) -> tuple[tuple[Any, ...], dict[str, Any]]:
    level, name = event.pop("level"), event.pop("event")
    return (level, name, dict(event)), {}


def _renderer(style: str) -> Any:
    if style == "pretty" or (style == "auto" and sys.stderr.isatty()):
        console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        return lambda logger, method, event: console(logger, method, {k: _harmless(v) for k, v in event.items()})
    return structlog.processors.JSONRenderer(ensure_ascii=False)


_COMMANDING = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What commands a terminal, or turns the direction of writing."""


def _harmless(value: Any) -> Any:
    """For a terminal: a file's name may hold what moves its cursor. JSON and the journal escape by themselves."""
    if isinstance(value, str):
        return _COMMANDING.sub(lambda found: ascii(found[0])[1:-1], value)
    return [_harmless(item) for item in value] if isinstance(value, list | tuple) else value


def _printable(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {key: _plain(value) for key, value in event.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
