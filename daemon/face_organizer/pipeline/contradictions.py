"""Every contradiction within truth, and between truth, index and folders.

Room:    pipeline (moves)
Imports: ports, answers, book
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from face_organizer.pipeline.answers import Answer, printable
from face_organizer.pipeline.book import wanted_folders
from face_organizer.ports import Index, Transaction


def contradictions(
    txn: Transaction, index: Index, holds: Callable[[str], bool], on_disk: Iterable[str]
) -> list[Answer]:
    """All there are: [{"kind", "what", "problem"}]. holds(place): is there a file? on_disk: every place there is."""
    findings = [*_check_truth(txn), *_check_beside(txn), *_check_index(txn, index)]
    expected: set[str] = set()
    gone: dict[str, str] = {}
    for file_id, file in txn.files.items():
        if file.missing:
            continue
        places = [os.fsdecode(place) for place in file.places]
        expected.update(places)
        name = printable(file.name)
        folders = {str(Path(place).parent) for place in places}
        is_pending = txn.pending(1, file_id) == [file_id]
        if folders != set(wanted_folders(txn, file)):
            problem = "has yet to be placed" if is_pending else "is not in the folders it should be in"
            findings.append(_finding("not_placed", f"file {file_id}", f"{name} {problem}"))
        if is_pending:
            continue  # it may just be on its way
        lost = [place for place in places if not holds(place)]
        gone |= {Path(place).name: place for place in lost}
        findings += [
            _finding(
                "lost_place",
                f"file {file_id}",
                f"{printable(place)} is gone; --repair forgets it unless it is elsewhere",
            )
            for place in lost
        ]
    findings += [
        _finding("stray", printable(path), _stray(gone.get(Path(path).name, "")))
        for path in on_disk
        if path not in expected and not txn.is_forgotten(os.fsencode(path))
    ]
    return findings


def _stray(gone: str) -> str:
    """gone: where a file of that name lay, which does no more; "" where there is none."""
    if gone:
        return (
            f"lies where nothing was put: it may be {printable(gone)}, moved by hand, and `status` says under `folders`"
            " what was not understood of that; if it is not, move it to the inbox, to have it sorted"
        )
    return "is in the library but not known; it was left alone: move it to the inbox, to have it sorted"


def _check_truth(txn: Transaction) -> list[Answer]:
    findings = []
    for image_id, image in txn.images.items():
        if txn.image_of_content(image.digest) != image_id:
            findings.append(_finding("truth", f"image {image_id}", "its content is recorded under another image"))
        findings += [
            _finding("truth", f"image {image_id}", f"its file {file_id} is not recorded")
            for file_id in image.file_ids
            if txn.files.get(file_id) is None
        ]
        for face_id in image.face_ids:
            assignment = txn.assignments.get(face_id)
            if txn.faces.get(face_id) is None or assignment is None:
                findings.append(_finding("truth", f"face {face_id}", "it has no record or no assignment"))
            elif assignment.person_id and txn.persons.get(assignment.person_id) is None:
                findings.append(_finding("truth", f"face {face_id}", f"person {assignment.person_id} does not exist"))
    return findings


def _check_beside(txn: Transaction) -> list[Answer]:
    """What is held of another model must be of faces and images that are known."""
    model = txn.models.get(1 - txn.slot)
    beside = txn.beside()
    seen, findings = beside.face_ids(), list[Answer]()
    if model is None and len(seen):
        findings.append(_finding("truth", "beside", f"{len(seen)} embeddings of a model that nothing is known of"))
    table = beside.face_table()
    if not np.array_equal(table.face_ids, seen):
        problem = f"{len(table.face_ids)} faces but {len(seen)} embeddings of the model beside"
        findings.append(_finding("truth", "beside", problem))
    lost = [image_id for image_id in np.unique(table.image_of).tolist() if txn.images.get(image_id) is None]
    if lost:
        findings.append(_finding("truth", "beside", f"the model beside has faces of image {lost[0]}, which is unknown"))
    return findings


def _check_index(txn: Transaction, index: Index) -> list[Answer]:
    findings = []
    total = 0
    for face_ids, vectors in txn.vector_chunks():
        total += len(face_ids)
        sample = slice(None, None, max(1, len(face_ids) // 64))
        found, similarities = index.search(vectors[sample], 1, thorough=True)
        for face_id, hit, similarity in zip(
            face_ids[sample].tolist(), found[:, 0].tolist(), similarities[:, 0].tolist(), strict=True
        ):
            if hit != face_id and similarity < 0.999:
                findings.append(_finding("index", f"face {face_id}", "the index does not find it"))
    if total != txn.faces.count():
        findings.append(_finding("truth", "faces", f"{txn.faces.count()} faces but {total} embeddings"))
    if index.count != total:
        findings.append(_finding("index", "count", f"the index holds {index.count} faces, the truth {total}"))
    return findings


def _finding(kind: str, what: str, problem: str) -> Answer:
    return {"kind": kind, "what": what, "problem": problem}
