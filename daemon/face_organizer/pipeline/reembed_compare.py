"""What would change if a library went by the model beside: the re-clustering that it would lead to, thought through.

Room:    pipeline (moves)
Imports: types, records, ports, identity, keep_graph, positives, pulse, reembed_fill, recluster, think
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from face_organizer.identity.diff import Margin, agreement
from face_organizer.pipeline.keep_graph import remake_graph
from face_organizer.pipeline.positives import positives_of
from face_organizer.pipeline.pulse import beat
from face_organizer.pipeline.recluster import run_of
from face_organizer.pipeline.reembed_fill import Target, lacking_images
from face_organizer.pipeline.think import (
    clusters_of_everything,
    load_faces,
    moves_bounds,
    reconciled,
    touched_by_humans,
)
from face_organizer.ports import NeighbourFinder, Store, Transaction
from face_organizer.records import RunRecord
from face_organizer.types import NOBODY


@dataclass(frozen=True, slots=True)
class Compared:
    """run: what a re-clustering by the other model would do. found: how it compares, plain values. unread: images that
    show a face which could not be seen again, and whose files the truth has not given up."""

    run: RunRecord
    found: dict[str, Any]
    unread: int


def compare(
    store: Store,
    target: Target,
    find: NeighbourFinder,
    in_gallery: Callable[[Callable[[], Any]], Any],
    margin: Margin,
) -> Compared:
    """Make the other model's graph, cluster by it and its bounds, and tell what would move. Any thread but the
    gallery's. Raises NoRoomError."""
    rules = target.rules
    remake_graph(store, find, rules.neighbours, in_gallery, lambda txn: txn.beside())
    with store.read() as txn:
        beside = txn.beside()
        persons, (unread, gone) = dict(txn.persons.items()), _unread(txn)
        faces = load_faces(beside)
        if moves_bounds(rules):
            faces = replace(faces, positives=positives_of(beside, faces.face_ids, rules.seed))
        edges = beside.neighbours(rules.neighbours)
    beat()
    clusters = clusters_of_everything(faces, edges, rules)
    beat()
    touched = touched_by_humans(faces, persons)
    found = reconciled(faces, clusters, rules, touched, int(faces.face_ids.max(initial=0)))
    run = run_of(faces, found, touched, rules, margin)
    precision, recall, f = agreement(faces.person_of, found.person_of)
    return Compared(
        run,
        {
            "faces": len(faces.face_ids),
            "persons": len(np.unique(faces.person_of[faces.person_of != NOBODY])),
            "persons_then": run.persons,
            "agreement": {"precision": round(precision, 4), "recall": round(recall, 4), "f": round(f, 4)},
            "unread_images": unread,
            "missing_images": gone,
        },
        unread,
    )


def _unread(txn: Transaction) -> tuple[int, int]:
    """How many images with a face could not be seen again: whose files should be there, and whose are known to be
    gone."""
    unread = gone = 0
    for image_id in lacking_images(txn):
        image = txn.images.get(image_id)
        files = [txn.files.get(file_id) for file_id in image.file_ids] if image is not None else []
        is_gone = all(file is None or file.missing for file in files)
        unread, gone = unread + (not is_gone), gone + is_gone
    return unread, gone
