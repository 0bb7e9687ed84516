"""Which files could not be used, without looking at every file each time.

Room:    pipeline (moves)
Imports: ports
"""

from __future__ import annotations

from threading import Lock

from face_organizer.ports import Transaction


class RejectedFiles:
    """A file once rejected stays so, and ids only grow: what was looked at is not looked at again. Any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ids: list[int] = []
        self._looked_at = 0

    def ids(self, txn: Transaction) -> list[int]:
        """The files that never became images, in the order in which they came."""
        with self._lock:
            for file_id, file in txn.files.items(self._looked_at + 1):
                self._looked_at = file_id
                if not file.image_id:
                    self._ids.append(file_id)
            last = txn.last_id("files")
            return [file_id for file_id in self._ids if file_id <= last]
