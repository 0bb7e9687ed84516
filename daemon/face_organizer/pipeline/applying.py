"""Drives a change to its end, chunk by chunk through the gallery's thread, with enrolment going on in between.

Room:    pipeline (moves)
Imports: book
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar, cast

from face_organizer.pipeline.book import Book

T = TypeVar("T")


class Applier:
    """One change at a time, whoever wants it. in_gallery(work) runs work in the gallery's thread and gives its answer.

    Any thread but the gallery's.
    """

    def __init__(self, book: Book, in_gallery: Callable[[Callable[[], Any]], Any]) -> None:
        self._book, self._in_gallery = book, in_gallery
        self._one_at_a_time = Lock()

    def run(self, begin: Callable[[], T]) -> T:
        """Call begin() in the gallery's thread, where it may begin a change in the book; then do that to its end.

        Returns what begin() returned; raises what it raised, and then nothing was changed.
        """
        with self._one_at_a_time:
            answer = cast("T", self._in_gallery(begin))
            while self._in_gallery(self._book.step):
                pass
            return answer
