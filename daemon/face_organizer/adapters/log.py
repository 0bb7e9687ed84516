"""Log lines on stderr: for people on a terminal, JSON for everybody else.

Room:    adapters (touches stderr)
Imports: ports, structlog, stdlib

Names that are not UTF-8 reach us with surrogates, which no encoder takes: they are written as \\udcXX.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, cast

import structlog

from face_organizer.ports import Log


def open_log(style: str, level: str) -> Log:
    """The process's log. style: "auto" (pretty on a terminal, else JSON), "json" or "pretty"; level: least shown."""
    pretty = style == "pretty" or (style == "auto" and sys.stderr.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if pretty
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _printable,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    return cast("Log", structlog.get_logger())


def _printable(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {key: _plain(value) for key, value in event.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
