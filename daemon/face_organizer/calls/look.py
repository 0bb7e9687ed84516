"""What somebody sees who looks around: persons, faces, images, a page at a time.

Room:    app (wires)
Imports: errors, types, ports, pipeline, calls
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from face_organizer.calls.ask import proposal
from face_organizer.calls.desk import Answer, Desk
from face_organizer.errors import RequestError
from face_organizer.pipeline import answers
from face_organizer.pipeline.book import living_person, person_with
from face_organizer.pipeline.explain import explain_face
from face_organizer.ports import Transaction
from face_organizer.types import NOBODY

PAGE = 100


class Look:
    """Each public method is a call by its name. Raises RequestError with a sentence for the asker.

    offset, limit: which rows; `total` says how many there are.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def crowd(self, query: str = "", everybody: bool = False, offset: int = 0, limit: int = PAGE) -> Answer:
        """Everybody who has a face, most faces first. query: only whose name holds it. everybody: hidden ones too.

        hidden: how many were left out for being so.
        """
        seen = self._desk.crowd.look()
        rows = seen.called(query, everybody=everybody)
        all_rows = rows if everybody else seen.called(query, everybody=True)
        return {"total": len(rows), "hidden": len(all_rows) - len(rows), "people": rows[offset : offset + limit]}

    def person(self, person_id: int) -> Answer:
        """One person; of one who was merged, the one who took over. redirect: who that is, else None."""
        with self._desk.store.read() as txn:
            living = living_person(txn, person_id)
        found = [row for row in self._desk.crowd.look().rows if row["person_id"] == living]
        if not found:
            raise RequestError(f"there is no person {person_id}: `face-organizer people --all` lists them")
        confirmed = self._desk.book.constraints.confirmed
        return found[0] | {
            "confirmed": sum(person == living for person in confirmed.values()),
            "redirect": living if living != person_id else None,
        }

    def outliers(self, offset: int = 0, limit: int = PAGE) -> Answer:
        """The faces that belong to nobody, the newest first."""
        picture = self._desk.crowd.look().picture
        faces = picture.face_ids[picture.person_of == NOBODY][::-1]
        with self._desk.store.read() as txn:
            rows = [self._face_row(txn, face_id) for face_id in faces[offset : offset + limit].tolist()]
        return {"total": len(faces), "faces": [row for row in rows if row is not None]}

    def no_face(self, offset: int = 0, limit: int = PAGE) -> Answer:
        """The images without a usable face, the newest first."""
        image_of = self._desk.crowd.look().picture.image_of
        with self._desk.store.read() as txn:
            faces_in = np.bincount(image_of, minlength=txn.last_id("images") + 1)
            others = np.flatnonzero(faces_in[1:] == 0)[::-1] + 1
            there = (id_ for id_ in others.tolist() if txn.images.get(id_) is not None)
            rows = [self._image_row(txn, image_id) for image_id in islice(there, offset, offset + limit)]
            total = txn.images.count() - int(np.count_nonzero(faces_in))
        return {"total": max(total, offset + len(rows) if rows else 0), "images": rows}

    def quarantine(self, offset: int = 0, limit: int = PAGE) -> Answer:
        """The files that could not be used and why, the newest first."""
        with self._desk.store.read() as txn:
            rejected = self._desk.rejected.ids(txn)[::-1]
            rows = []
            for file_id in rejected[offset : offset + limit]:
                if (file := txn.files.get(file_id)) is not None:
                    where = answers.file_path(self._desk.library, file)
                    rows.append({"file_id": file_id, "path": where, "reason": answers.printable(file.reason)})
        return {"total": len(rejected), "files": rows}

    def face(self, face_id: int) -> Answer:
        """One face, whose it is and why."""
        desk = self._desk
        with desk.store.read() as txn:
            row = self._face_row(txn, face_id)
            if row is None:
                raise RequestError(f"there is no face {face_id}")
            return row | {"explain": explain_face(txn, desk.index, desk.library, desk.similarities, face_id)}

    def image(self, image_id: int) -> Answer:
        """One image and its faces."""
        with self._desk.store.read() as txn:
            image = txn.images.get(image_id)
            if image is None:
                raise RequestError(f"there is no image {image_id}")
            rows = [self._face_row(txn, face_id) for face_id in image.face_ids]
            return self._image_row(txn, image_id) | {
                "width_px": image.width_px,
                "height_px": image.height_px,
                "faces": [row for row in rows if row is not None],
                "files": [
                    answers.file_path(self._desk.library, file)
                    for file_id in image.file_ids
                    if (file := txn.files.get(file_id)) is not None and not file.missing
                ],
            }

    def photo(self, name: str, content: str) -> Answer:
        """The faces in a photo that is not kept, from the left, to choose one to search with. content: in base64.

        Raises ItemError.
        """
        (seen,) = self._desk.see([(name, content)])
        faces = [{"box": seen_face.detection.box.tolist(), "quality": seen_face.quality} for seen_face in seen.faces]
        return {"width_px": seen.width_px, "height_px": seen.height_px, "faces": faces}

    def proposal(self) -> Answer | None:
        """The run that waits to be applied: its number and why it waits. None if none does."""
        with self._desk.store.read() as txn:
            return proposal(txn)

    # rows

    def _face_row(self, txn: Transaction, face_id: int) -> Answer | None:
        face, assignment = txn.faces.get(face_id), txn.assignments.get(face_id)
        if face is None or assignment is None:
            return None
        person = person_with(txn, face_id)
        return {
            "face_id": face_id,
            "image_id": face.image_id,
            "person_id": assignment.person_id or None,
            "person": person.name if person else None,
            "similarity": assignment.similarity,
            "margin": assignment.margin,
            "reason": assignment.reason,
            "quality": face.quality,
            "confirmed": face_id in self._desk.book.constraints.confirmed,
            "box": list(face.box),
            "path": answers.image_path(txn, self._desk.library, face.image_id, person.folder if person else ""),
        }

    def _image_row(self, txn: Transaction, image_id: int) -> Answer:
        return {"image_id": image_id, "path": answers.image_path(txn, self._desk.library, image_id, "")}
