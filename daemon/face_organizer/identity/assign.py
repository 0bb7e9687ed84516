"""Which person a new face belongs to, and when a new person is born.

Room:    identity (thinks)
Imports: types, pairing, numpy
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from face_organizer.identity.pairing import paired
from face_organizer.types import NOBODY, Assignment, Float32, Int64, PersonId

JOINED = "joined"
BELOW_BOUND = "below_bound"
TAKEN = "taken_by_another_face"
NO_PERSON_YET = "no_person_yet"

_PROBES_AT_ONCE = 4096


def nearest(probes: Float32, centroids: Float32) -> tuple[Int64, Float32, Float32]:
    """The nearest centroid of each probe, by cosine similarity.

    probes:    float32 (n, d), unit rows
    centroids: float32 (p, d), unit rows, p >= 1
    returns:   row int64 (n,) in [0, p); similarity float32 (n,); margin float32 (n,): similarity minus the second
               best, or minus 0 (what strangers have) where there is only one person
    """
    assert probes.shape[1:] == centroids.shape[1:], (probes.shape, centroids.shape)
    assert len(centroids) >= 1, centroids.shape
    row = np.empty(len(probes), np.int64)
    similarity = np.empty(len(probes), np.float32)
    second = np.zeros(len(probes), np.float32)
    for start in range(0, len(probes), _PROBES_AT_ONCE):
        part = slice(start, start + _PROBES_AT_ONCE)
        similarities = probes[part] @ centroids.T
        every = np.arange(len(similarities))
        row[part] = similarities.argmax(axis=1)
        similarity[part] = similarities[every, row[part]]
        if len(centroids) > 1:
            similarities[every, row[part]] = -np.inf
            second[part] = similarities.max(axis=1)
    return row, similarity, similarity - second


def assign_image(embeddings: Float32, person_ids: Int64, centroids: Float32, similarity_min: float) -> list[Assignment]:
    """A person for each face of one image, never the same person for two of them.

    Among all one-to-one choices at or above the bound, the one with the largest total excess over the bound: a sure
    face is not given away to let two doubtful ones in.

    embeddings: float32 (f, d), unit rows; person_ids: int64 (p,); centroids: float32 (p, d), unit rows, p >= 0
    returns:    f assignments; a face that joins nobody tells its similarity to the nearest person all the same
    """
    assert len(person_ids) == len(centroids), (person_ids.shape, centroids.shape)
    if len(person_ids) == 0:
        return [Assignment(NOBODY, 0.0, 0.0, NO_PERSON_YET)] * len(embeddings)
    similarities = embeddings @ centroids.T
    column = _one_to_one(similarities, similarity_min)
    return [
        _explained(row, int(chosen), person_ids, similarity_min)
        for row, chosen in zip(similarities, column, strict=True)
    ]


def founders(
    neighbour_ids: Int64,
    similarities: Float32,
    unassigned: NDArray[np.bool_],
    image_of: Int64,
    *,
    image_id: int,
    similarity_min: float,
    faces_min: int,
) -> tuple[int, ...]:
    """The faces that found a new person together with the probe, or () while too few agree.

    Two faces of one image are two people, so each image gives at most its best face, and the probe's own image none.

    neighbour_ids: int64 (k,), -1 for none; similarities: float32 (k,) to the probe; unassigned: bool (k,), belongs to
    nobody and may found; image_of: int64 (k,), the neighbours' images; image_id: the probe's own image
    """
    near = (neighbour_ids >= 0) & unassigned & (similarities >= similarity_min) & (image_of != image_id)
    order = np.flatnonzero(near)
    order = order[np.argsort(-similarities[order], kind="stable")]
    _, first = np.unique(image_of[order], return_index=True)
    chosen = order[np.sort(first)]
    return tuple(neighbour_ids[chosen].tolist()) if len(chosen) + 1 >= faces_min else ()


def _one_to_one(similarities: Float32, similarity_min: float) -> Int64:
    """Each face's column, -1 for none. similarities: float32 (f, p)."""
    excess = np.where(similarities >= similarity_min, similarities - similarity_min + 1e-6, 0.0)
    column = np.full(len(similarities), -1, np.int64)
    near = excess > 0
    faces, candidates = (np.flatnonzero(near.any(axis=axis)) for axis in (1, 0))  # of thousands of persons, a few
    rows, columns = paired(excess[np.ix_(faces, candidates)])
    face, chosen = faces[rows], candidates[columns]
    taken = near[face, chosen]
    column[face[taken]] = chosen[taken]
    return column


def _explained(row: Float32, column: int, person_ids: Int64, similarity_min: float) -> Assignment:
    best = int(row.argmax()) if column < 0 else column
    similarity = float(row[best])
    others = np.delete(row, best)
    margin = similarity - (float(others.max()) if len(others) else 0.0)
    if column >= 0:
        return Assignment(PersonId(int(person_ids[column])), similarity, margin, JOINED)
    return Assignment(NOBODY, similarity, margin, TAKEN if similarity >= similarity_min else BELOW_BOUND)
