"""What people ask: how it stands, who is there, who looks like this. Reads truth, changes nothing.

Room:    pipeline (moves)
Imports: types, records, ports, identity, rejected, roster

Answers are plain dicts and lists, ready for JSON; names that are not UTF-8 are written with \\xNN.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from face_organizer.identity.centroids import Centroids
from face_organizer.pipeline.rejected import RejectedFiles
from face_organizer.pipeline.roster import Roster
from face_organizer.ports import Index, Transaction
from face_organizer.records import FileRecord, ImageRecord, RunRecord
from face_organizer.types import NO_FACE, NOBODY, Float32, Int64

Answer = dict[str, Any]
Fits = Callable[[int, ImageRecord], bool]


def counts(txn: Transaction, roster: Roster, rejected_files: RejectedFiles | None = None) -> Answer:
    """How many of everything. In the gallery's thread: the roster is its own."""
    n = txn.last_id("faces") + 1
    images, persons = roster.image_of[:n], roster.person_of[:n]
    # Half a million are counted so in 2 ms; np.unique takes 400, in which nothing is enrolled.
    with_faces = int(np.count_nonzero(np.bincount(images)[1:]))
    with_persons = int(np.count_nonzero(np.bincount(images[persons != NOBODY])[1:]))
    rejected = len((rejected_files or RejectedFiles()).ids(txn))
    return {
        "images": txn.images.count(),
        "faces": txn.faces.count(),
        "persons": len(roster.faces_of),
        "outliers": with_faces - with_persons,
        NO_FACE: txn.images.count() - with_faces,
        "quarantined": rejected,
        "duplicates": txn.files.count() - rejected - txn.images.count(),
        "pending": txn.pending_count(),
    }


RUN_FIGURES = (
    "state",
    "reason",
    "people",
    "faces",
    "persons",
    "born",
    "merged",
    "split",
    "vanished",
    "moved",
    "joined",
    "seconds",
)


def run_summary(run_id: int, run: RunRecord) -> Answer:
    """A run in figures."""
    answer = {"run_id": run_id} | {key: getattr(run, key) for key in RUN_FIGURES}
    return answer | {
        "waits": run.waits or None,
        "at_s": run.at_s,
        "parameters": run.parameters,
        "found": run.found,
    }


def run_events(txn: Transaction, run: RunRecord) -> list[Answer]:
    """What became of persons in a run: born, merged (into whom), split, vanished."""
    change = txn.changes.get(run.change_id) if run.change_id else None
    events: list[Answer] = [{"kind": "split", "person_id": person_id} for person_id in run.splits]
    for person in change.persons if change else ():
        told = {"person_id": person.person_id, "name": person.after.name}
        if person.before is None:
            events.append({"kind": "born", **told})
        elif person.after.merged_into:
            events.append({"kind": "merged", **told, "into": person.after.merged_into})
        elif person.after.retired and not person.before.retired:
            events.append({"kind": "vanished", **told})
    return events


def people(txn: Transaction, library: Path, *, everybody: bool = False) -> list[Answer]:
    """Everybody who has a face, most faces first. cover: the file of the face nearest to the person's centroid.

    everybody: hidden persons too.
    """
    covers = _covers(txn)
    images: dict[int, list[int]] = {}
    for face_id, assignment in txn.assignments.items():
        face = txn.faces.get(face_id)
        if assignment.person_id and face is not None:
            images.setdefault(assignment.person_id, []).append(face.image_id)
    answer = []
    for person_id, person in txn.persons.items():
        if person_id in images and (everybody or not person.hidden):
            cover = covers.get(person_id)
            answer.append(
                {
                    "person_id": person_id,
                    "name": person.name,
                    "folder": person.folder,
                    "faces": len(images[person_id]),
                    "images": len(set(images[person_id])),
                    "cover": image_path(txn, library, cover, person.folder) if cover else None,
                }
            )
    return sorted(answer, key=lambda row: (-row["faces"], row["person_id"]))


def search(
    txn: Transaction,
    index: Index,
    library: Path,
    probes: Float32,
    top: int,
    similarity_min: float,
    fits: Fits = lambda _person_id, _image: True,
) -> list[Answer]:
    """The images whose faces are nearest to any of the probes, best first, one line per image and person.

    probes: float32 (n, d), unit rows. fits(person_id, image): does a face of this person (or NOBODY) there count?
    """
    if len(probes) == 0 or index.count == 0:
        return []
    wanted = min(index.count, 4 * top + 16)
    while True:  # faces that do not fit must not take the place of those that do
        face_ids, similarities = index.search(probes, wanted, thorough=True)
        found = _best(txn, library, face_ids, similarities, top, similarity_min, fits)
        if len(found) == top or wanted == index.count or similarities[:, -1].max() < similarity_min:
            return found
        wanted = min(index.count, 8 * wanted)


def _best(
    txn: Transaction,
    library: Path,
    face_ids: Int64,
    similarities: Float32,
    top: int,
    similarity_min: float,
    fits: Fits,
) -> list[Answer]:
    best: dict[tuple[str | None, int], Answer] = {}
    order = np.argsort(-similarities, axis=None, kind="stable")
    for face_id, similarity in zip(face_ids.ravel()[order].tolist(), similarities.ravel()[order].tolist(), strict=True):
        if face_id < 0 or similarity < similarity_min or len(best) == top:
            continue
        face, assignment = txn.faces.get(face_id), txn.assignments.get(face_id)
        image = txn.images.get(face.image_id) if face else None
        person_id = assignment.person_id if assignment else NOBODY
        if face is None or image is None or not fits(person_id, image):
            continue
        person = txn.persons.get(person_id) if person_id else None
        path = image_path(txn, library, face.image_id, person.folder if person else "")
        if path is None:
            continue
        best.setdefault(
            (path, person_id),
            {
                "image": path,
                "image_id": face.image_id,
                "face_id": face_id,
                "person_id": person_id or None,
                "person": person.name if person else None,
                "similarity": round(similarity, 4),
                "box": [round(x, 1) for x in face.box],
                "size_px": [image.width_px, image.height_px],
            },
        )
    return list(best.values())


def images_of(txn: Transaction, library: Path, persons: Sequence[int], top: int) -> list[Answer]:
    """Images that show all of these persons (one at least), one line each, in the order in which they came."""
    known = [person for id_ in persons if (person := txn.persons.get(id_)) is not None]
    found = (
        (image_id, image_path(txn, library, image_id, known[0].folder))
        for image_id, image in txn.images.items()
        if shows(txn, image, persons)
    )
    there = ((image_id, path) for image_id, path in found if path is not None)
    names = [person.name for person in known]
    return [{"image": path, "image_id": image_id, "persons": names} for image_id, path in islice(there, top)]


def shows(txn: Transaction, image: ImageRecord, persons: Iterable[int]) -> bool:
    """Are all of these persons in the image?"""
    records = (txn.assignments.get(face_id) for face_id in image.face_ids)
    return set(persons) <= {record.person_id for record in records if record is not None}


def image_path(txn: Transaction, library: Path, image_id: int, folder: str) -> str | None:
    """Where one file of an image lies, rather in `folder`; its inbox path while it is not placed yet.

    None: somebody took all of its files away.
    """
    image = txn.images.get(image_id)
    found = [txn.files.get(file_id) for file_id in image.file_ids] if image else []
    files = [file for file in found if file is not None and not file.missing]
    places = [place for file in files for place in file.places]
    for place in sorted(places, key=lambda place: not place.startswith(os.fsencode(folder) + b"/")):
        return printable(os.fsencode(library) + b"/" + place)
    return printable(files[0].source) if files else None


def file_path(library: Path, file: FileRecord) -> str:
    """Where a file lies: in the library, or in the inbox while it is not placed yet."""
    return printable(os.fsencode(library) + b"/" + file.places[0] if file.places else file.source)


def printable(path: bytes | str) -> str:
    """A path as text that every encoder takes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _covers(txn: Transaction) -> dict[int, int]:
    """For each person, the image of the face nearest to its centroid."""
    person_of = {face_id: a.person_id for face_id, a in txn.assignments.items() if a.person_id}
    centroids: Centroids | None = None
    for face_ids, vectors in txn.vector_chunks():
        centroids = centroids or Centroids(vectors.shape[1])
        persons = np.array([person_of.get(face_id, NOBODY) for face_id in face_ids.tolist()], np.int64)
        centroids.add_all(persons[persons != NOBODY], vectors[persons != NOBODY])
    if centroids is None:
        return {}
    row_of = {person: row for row, person in enumerate(centroids.ids.tolist())}
    best: dict[int, tuple[float, int]] = {}
    for face_ids, vectors in txn.vector_chunks():
        for face_id, vector in zip(face_ids.tolist(), vectors, strict=True):
            person = person_of.get(face_id, NOBODY)
            if person != NOBODY:
                similarity = float(vector @ centroids.matrix[row_of[person]])
                best[person] = max(best.get(person, (-2.0, 0)), (similarity, -face_id))
    covers = {}
    for person, (_, negative) in best.items():
        face = txn.faces.get(-negative)
        if face is not None:
            covers[person] = face.image_id
    return covers
