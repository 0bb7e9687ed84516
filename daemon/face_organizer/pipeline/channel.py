"""A bounded hand-off between two threads.

Room:    pipeline (moves)
Imports: pulse, stdlib
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition
from typing import Generic, TypeVar

from face_organizer.pipeline.pulse import waiting

T = TypeVar("T")


class Cancelled(Exception):  # noqa: N818 - not an error: somebody decided to stop
    """The pipeline was aborted while this thread was waiting."""


class Channel(Generic[T]):
    """Items on their way from some threads to others, in order.

    close():  no more items will come; takers finish what is left, then get [].
    cancel(): stop now; everyone waiting sees Cancelled.
    """

    def __init__(self, capacity: int) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._closed = False
        self._cancelled = False
        self._changed = Condition()

    def put(self, item: T) -> None:
        """Wait for room, then append. Raises Cancelled."""
        with waiting(), self._changed:
            self._changed.wait_for(lambda: self._cancelled or len(self._items) < self._capacity)
            if self._cancelled:
                raise Cancelled
            assert not self._closed, "put after close is a bug"
            self._items.append(item)
            self._changed.notify_all()

    def push(self, item: T) -> None:
        """Append without waiting for room: for what something else bounds already. Raises Cancelled."""
        with self._changed:
            if self._cancelled:
                raise Cancelled
            assert not self._closed, "push after close is a bug"
            self._items.append(item)
            self._changed.notify_all()

    def take(self, limit: int = 1, linger_s: float = 0.0, coming: Callable[[], bool] = lambda: True) -> list[T]:
        """Wait for a first item, then up to linger_s for more, as long as any is coming. [] means closed and empty.
        Raises Cancelled."""
        limit = min(limit, self._capacity)
        with waiting(), self._changed:
            while True:
                self._changed.wait_for(lambda: self._cancelled or self._closed or self._items)
                self._changed.wait_for(
                    lambda: self._cancelled or self._closed or len(self._items) >= limit or not coming(), linger_s
                )
                if self._cancelled:
                    raise Cancelled
                if self._items or self._closed:
                    break  # else another taker emptied the channel while we lingered
            batch = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
            self._changed.notify_all()
            return batch

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def cancel(self) -> None:
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._items)
