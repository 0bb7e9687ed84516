"""Takes in one image that somebody sends, and says what became of it while they wait.

Room:    app (wires)
Imports: intake, pipeline, errors, ports, records
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from face_organizer.app.intake import Intake
from face_organizer.errors import ItemError, NoRoomError, RequestError
from face_organizer.pipeline import answers
from face_organizer.pipeline.book import person_with
from face_organizer.pipeline.channel import Cancelled
from face_organizer.pipeline.place import Placer
from face_organizer.ports import Store, Transaction
from face_organizer.records import ImageRecord

SEEN_WITHIN_S, PLACED_WITHIN_S = 60.0, 5.0
"""Behind an inbox full of images it may take longer; then the image is in, and whoever sent it hears no more of it."""


class Enrol:
    """Any thread. giving_up(): nobody need wait any longer."""

    def __init__(
        self, intake: Intake, store: Store, placer: Placer, library: Path, giving_up: Callable[[], bool]
    ) -> None:
        self._intake, self._store, self._placer = intake, store, placer
        self._library, self._giving_up = library, giving_up

    def enrol(self, name: str, content: bytes) -> dict[str, Any]:
        """Whose faces the image shows, and where it lies now. Raises ItemError where it is no image that can be used,
        RequestError where it cannot be taken in, NoRoomError."""
        try:
            file_id = self._intake.take_in(name, content).wait(unless=self._giving_up, within_s=SEEN_WITHIN_S)
        except Cancelled as error:
            raise RequestError("it was taken in, but is still on its way: look for it later") from error
        self._wait_placed(file_id)
        with self._store.read() as txn:
            file = txn.files.get(file_id)
            if file is None:
                raise RequestError("somebody took it away before it was seen")
            image = txn.images.get(file.image_id) if file.image_id else None
            if image is None:
                where = f" (it lies in {answers.printable(file.places[0])})" if file.places else ""
                raise ItemError(f"{file.reason}{where}")
            return {
                "image_id": file.image_id,
                "faces": _faces(txn, image),
                "placed": answers.file_path(self._library, file) if file.places else None,
                "duplicate": image.file_ids[0] != file_id,
            }

    def _wait_placed(self, file_id: int) -> None:
        until = monotonic() + PLACED_WITHIN_S
        try:
            self._placer.wait_placed([file_id], lambda: self._giving_up() or monotonic() > until)
        except (Cancelled, NoRoomError):
            return  # it is known; its place will come


def _faces(txn: Transaction, image: ImageRecord) -> list[dict[str, Any]]:
    rows = []
    for face_id in image.face_ids:
        face, assignment, person = txn.faces.get(face_id), txn.assignments.get(face_id), person_with(txn, face_id)
        if face is not None and assignment is not None:
            rows.append(
                {
                    "face_id": face_id,
                    "person_id": assignment.person_id or None,
                    "person": person.name if person else None,
                    "similarity": assignment.similarity,
                    "margin": assignment.margin,
                    "reason": assignment.reason,
                    "box": list(face.box),
                }
            )
    return rows
