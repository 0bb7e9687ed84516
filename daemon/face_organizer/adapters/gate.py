"""Lets many pass, and one be alone: readers and a writer.

Room:    adapters
Imports: stdlib
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Many pass, side by side; now and then somebody wants to be alone. New ones wait for him, or he would never be.

    Whoever is inside already may enter again: that never waits, so that nobody waits for himself. Whoever is inside and
    wants to be alone would wait for himself.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._one_at_a_time = threading.Lock()
        self._inside = 0
        self._is_shut = False
        self._mine = threading.local()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Be inside; waits while somebody is alone, or is about to be."""
        depth = getattr(self._mine, "depth", 0)
        with self._changed:
            if depth == 0:
                self._changed.wait_for(lambda: not self._is_shut)
            self._inside += 1
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self, within_s: float | None = None) -> Iterator[bool]:
        """Shut the gate and wait, so long at most, for those inside to leave. Gives whether all have."""
        with self._one_at_a_time:
            with self._changed:
                self._is_shut = True
                is_alone = self._changed.wait_for(lambda: self._inside == 0, within_s)
            try:
                yield is_alone
            finally:
                with self._changed:
                    self._is_shut = False
                    self._changed.notify_all()
