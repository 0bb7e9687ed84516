"""What several tests share."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import monotonic


def wait_until(
    condition: Callable[[], bool], within_s: float = 5.0, explain: Callable[[], object] = lambda: ""
) -> None:
    """Return as soon as condition() holds; fail when it does not within so many seconds, saying explain()."""
    deadline, pause = monotonic() + within_s, Event()
    while not condition():
        assert monotonic() < deadline, f"not within {within_s} s {explain()}"
        pause.wait(0.02)
