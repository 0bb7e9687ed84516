"""What a re-clustering thinks: a snapshot in, and who everybody is in it out. Changes nothing.

Room:    pipeline (moves)
Imports: types, records, ports, identity, book, messages, pulse, roster
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face_organizer.identity.assign import assign_image, nearest
from face_organizer.identity.calibrate import Calibration, calibrate
from face_organizer.identity.centroids import Centroids
from face_organizer.identity.cluster import cluster_graph
from face_organizer.identity.constraints import enforce
from face_organizer.identity.elbow import find_elbow
from face_organizer.identity.fixed import cluster_fixed
from face_organizer.identity.graph import symmetric_graph
from face_organizer.identity.kmeans import means
from face_organizer.identity.reconcile import Reconciled, reconcile, told
from face_organizer.identity.steady import Seen, steadied
from face_organizer.pipeline.book import constraints_of
from face_organizer.pipeline.messages import Rules
from face_organizer.pipeline.pulse import beat
from face_organizer.pipeline.roster import Picture
from face_organizer.ports import Transaction
from face_organizer.records import UNBORN, PersonRecord
from face_organizer.types import NOBODY, Float16, Float32, Int64, Neighbours


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The snapshot a run works on, one row a face in id order. vectors: float16 (n, d), as stored; none in a run after
    growth, which reads only those it needs.

    anchor_of: int64 (n,), who a human confirmed each face to be, 0 for nobody. rejections: int64 (r, 2), (row, a person
    that the face is not). positives: int64 (m, 2), rows known to be one person without anybody having said so.
    """

    face_ids: Int64
    image_of: Int64
    person_of: Int64
    founder: NDArray[np.bool_]
    vectors: Float16
    anchor_of: Int64
    rejections: Int64
    positives: Int64 = field(default_factory=lambda: np.empty((0, 2), np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """labels: int64 (n,), -1 for none. persons: int64 (k,), the person each cluster continues, 0 for a new one; None
    where that is still to be found out. found: what else the run found out, plain values. rules: by which it found
    them; None after a little growth, which takes nobody from anybody."""

    labels: Int64
    persons: Int64 | None = None
    found: Mapping[str, Any] = field(default_factory=dict)
    rules: Rules | None = None


def load_faces(txn: Transaction) -> Faces:
    """Every face of the snapshot, with its vector."""
    table = txn.face_table()
    face_ids, vectors = txn.vectors_from()
    assert np.array_equal(face_ids, table.face_ids), "a face without a vector, or a vector without a face"
    constraints = constraints_of(txn)
    anchor_of, rejections = constraints.anchors(face_ids), constraints.rejections(face_ids)
    return Faces(face_ids, table.image_of, table.person_of, table.founder, vectors, anchor_of, rejections)


def pictured(txn: Transaction, picture: Picture) -> Faces:
    """The same without vectors, from the roster: nothing that grows with the library is read."""
    constraints = constraints_of(txn)
    ids = picture.face_ids
    none = np.empty((0, 1), np.float16)
    anchor_of, rejections = constraints.anchors(ids), constraints.rejections(ids)
    return Faces(ids, picture.image_of, picture.person_of, picture.founder, none, anchor_of, rejections)


def founding_vectors(faces: Faces) -> Float16:
    """The founders' vectors: no copy where everybody is one, for they are half a gigabyte of a large library."""
    return faces.vectors if faces.founder.all() else faces.vectors[faces.founder]


def moves_bounds(rules: Rules) -> bool:
    """Are the bounds the library's to move?"""
    return rules.impostors is not None and rules.people == "auto"


def calibrated(faces: Faces, rules: Rules) -> Calibration | None:
    """What the library says of the bounds; None where they are not for it to move, or the number of people is fixed."""
    if not moves_bounds(rules) or len(faces.vectors) == 0:
        return None
    assert rules.impostors is not None, rules
    founders = np.flatnonzero(faces.founder)
    return calibrate(
        founding_vectors(faces),
        faces.person_of[founders],
        faces.image_of[founders],
        pack=rules.impostors,
        similarity_link_min=rules.similarity_link_min,
        false_merge_max=rules.false_merge_max,
        seed=rules.seed,
        positives=np.searchsorted(founders, faces.positives[faces.founder[faces.positives].all(axis=1)]),
    )


def clusters_of_everything(faces: Faces, edges: Neighbours, rules: Rules) -> Clusters:
    """All faces, by the bounds that the library gives itself. edges: the kNN graph."""
    calibration = calibrated(faces, rules)
    beat()
    found = {"calibration": asdict(calibration)} if calibration else {}
    clusters = clusters_of(faces, edges, rules.as_found(found))
    return replace(clusters, found={**found, **clusters.found})


def touched_by_humans(faces: Faces, persons: Mapping[int, PersonRecord]) -> frozenset[int]:
    """The persons that a human named, hid or confirmed a face of."""
    decided = {id_ for id_, each in persons.items() if each.named or each.hidden}
    return frozenset(decided | set(faces.anchor_of.tolist())) - {int(NOBODY)}


def clusters_of(faces: Faces, edges: Neighbours, rules: Rules) -> Clusters:
    """A label for each face. Only founders are clustered; the others join the nearest cluster. edges: the kNN graph."""
    labels = np.full(len(faces.face_ids), -1, np.int64)
    founders = np.flatnonzero(faces.founder)
    if len(founders) > 0:
        ids = faces.face_ids[founders]
        row = np.searchsorted(edges.face_ids, ids)
        graph = symmetric_graph(ids, edges.neighbours[row], edges.similarities[row], rules.similarity_link_min)
        labels[founders] = cluster_graph(
            graph,
            founding_vectors(faces),
            similarity_min=rules.similarity_link_min,
            image_of=faces.image_of[founders] if rules.one_face_per_image else None,
            anchor_of=faces.anchor_of[founders],
            rejected=_within(faces.rejections, founders),
        )
    if rules.people != "auto":
        return _fixed_clusters(faces, labels, rules)
    join_nearest(faces, labels, np.flatnonzero(~faces.founder), rules)
    return Clusters(labels, rules=rules)


def _within(rejections: Int64, rows: Int64) -> Int64:
    """The rejections of some of the rows, numbered among these. rows: ascending."""
    kept = rejections[np.isin(rejections[:, 0], rows)]
    return np.stack([np.searchsorted(rows, kept[:, 0]), kept[:, 1]], axis=1)


def _fixed_clusters(faces: Faces, labels: Int64, rules: Rules) -> Clusters:
    """With a number of people, or with the one that the elbow shows. labels: the graph's clusters, to begin at."""
    people, found = rules.people, dict[str, Any]()
    if len(faces.face_ids) == 0:
        return Clusters(labels, np.zeros(0, np.int64))
    if not isinstance(people, int):
        shaping = faces.vectors[faces.founder] if faces.founder.any() else faces.vectors
        curve = find_elbow(
            shaping, rules.elbow_min, rules.elbow_max, similarity_min=rules.similarity_member_min, seed=rules.seed
        )
        people = curve.chosen
        found["elbow"] = {"chosen": curve.chosen, "people": list(curve.people), "cost": list(curve.cost)}
    largest = largest_clusters(faces.vectors, labels, people)
    fixed = cluster_fixed(
        faces.vectors,
        people,
        similarity_min=rules.similarity_member_min,
        learn=rules.learn_member_min,
        seed=rules.seed,
        initial=() if largest is None else (largest,),
        founder=faces.founder,
        image_of=faces.image_of if rules.one_face_per_image else None,
        person_of=faces.person_of,
        anchor_of=faces.anchor_of,
        rejected=faces.rejections,
    )
    found |= {"people": people, "similarity_member_min": fixed.similarity_min}
    return Clusters(fixed.labels, fixed.persons, found)


def largest_clusters(vectors: Float16, labels: Int64, people: int) -> Float32 | None:
    """The centroids of the `people` largest clusters, float32 (people, d): where k-means may start. None if fewer."""
    sizes = np.bincount(labels[labels >= 0])
    if np.count_nonzero(sizes) < people:
        return None
    place = np.full(len(sizes) + 1, -1, np.int64)  # the last is for the label -1
    place[np.argsort(-sizes, kind="stable")[:people]] = np.arange(people)
    return means(vectors, place[labels], people)


def join_nearest(faces: Faces, labels: Int64, rows: Int64, rules: Rules) -> None:
    """Let these faces join the cluster with the nearest centroid, if it is near enough and holds no other face of their
    image. Changes `labels`."""
    clustered = np.flatnonzero(labels >= 0)
    if len(rows) == 0 or len(clustered) == 0:
        return
    centroids = Centroids(faces.vectors.shape[1])
    centroids.add_all(labels[clustered] + 1, faces.vectors[clustered])
    row, similarity, _ = nearest(faces.vectors[rows].astype(np.float32), centroids.matrix)
    near = similarity >= rules.similarity_min
    rows, wanted = rows[near], centroids.ids[row[near]] - 1
    if not rules.one_face_per_image:
        labels[rows] = wanted
        return
    order = np.argsort(faces.image_of, kind="stable")
    first, last = (np.searchsorted(faces.image_of[order], faces.image_of[rows], side) for side in ("left", "right"))
    alone = last - first == 1
    labels[rows[alone]] = wanted[alone]
    for start, end in sorted(set(zip(first[~alone].tolist(), last[~alone].tolist(), strict=True))):
        photo = order[start:end]
        free = ~np.isin(centroids.ids, labels[photo] + 1)
        joining = photo[np.isin(photo, rows)]
        vectors = faces.vectors[joining].astype(np.float32)
        chosen = assign_image(vectors, centroids.ids[free], centroids.matrix[free], rules.similarity_min)
        labels[joining] = [assignment.person_id - 1 for assignment in chosen]


def reconciled(
    faces: Faces, clusters: Clusters, rules: Rules, named: AbstractSet[int], last_face_id: int = 0
) -> Reconciled:
    """The clusters as persons: old ones go on, new ones get ids from UNBORN. Humans have the last word.

    named: persons that a human touched. last_face_id: faces up to this one were there at the run before; they leave
    their person only for a good reason, while those that came since were placed in passing.
    """
    if clusters.persons is None:
        found = reconcile(
            faces.face_ids,
            clusters.labels,
            faces.person_of,
            faces_min=rules.faces_min,
            named=named,
            next_person_id=UNBORN,
            anchor_of=faces.anchor_of,
            rejections=faces.rejections,
        )
        if clusters.rules is None or last_face_id == 0:
            return found
        return _steadied(faces, clusters.labels, found, clusters.rules, last_face_id)
    return _reconciled_fixed(faces, clusters.labels, clusters.persons)


def _steadied(faces: Faces, labels: Int64, found: Reconciled, rules: Rules, last_face_id: int) -> Reconciled:
    """With those back that would leave their person by a hair."""
    before = (faces.anchor_of == NOBODY) & (faces.face_ids <= last_face_id)
    before[faces.rejections[:, 0]] = False
    seen = Seen(faces.vectors, faces.founder, before, labels, faces.image_of if rules.one_face_per_image else None)
    person_of = steadied(
        found.person_of,
        faces.person_of,
        seen,
        similarity_link_min=rules.similarity_link_min,
        similarity_join_min=rules.similarity_join_min,
        faces_min=rules.faces_min,
    )
    born = tuple(person for person in found.born if (person_of == person).any())
    return told(person_of, faces.person_of, born, rules.faces_min)


def _reconciled_fixed(faces: Faces, labels: Int64, continues: Int64) -> Reconciled:
    """A cluster that continues nobody is a new person; these in order of their oldest face.

    continues: int64 (k,), the person each cluster continues, 0 for a new one
    """
    person_of_cluster = continues.copy()
    found, first = np.unique(labels, return_index=True)
    new = [int(label) for label in found[np.argsort(first)] if label >= 0 and continues[label] == NOBODY]
    born = tuple(range(UNBORN, UNBORN + len(new)))
    person_of_cluster[new] = born
    person_of = np.where(labels >= 0, person_of_cluster[labels], int(NOBODY))
    return told(enforce(person_of, faces.anchor_of, faces.rejections), faces.person_of, born, faces_min=1)
