"""Names that another program gave to faces, as the decisions they amount to.

Room:    pipeline (moves)
Imports: types, records, errors, ports, identity

Who has a name already keeps it, and gets the faces. Otherwise the person who holds most of the faces of a name is given
it, unless another name has more of that person's; faces of nobody found a person. What we told ourselves, by a sidecar
of ours, is no evidence of what the truth says anyway: it confirms no face of who has the name already.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from face_organizer.errors import RequestError
from face_organizer.identity.constraints import Constraints
from face_organizer.identity.placement import folded, plain_name
from face_organizer.identity.regions import matched
from face_organizer.ports import Transaction
from face_organizer.records import ImageRecord
from face_organizer.types import NOBODY, Float32


@dataclass(frozen=True, slots=True)
class Meant:
    """A decision to make. person_id: who is named, or gets the faces; NOBODY for one who is new."""

    kind: Literal["name", "assign", "found"]
    name: str
    person_id: int
    face_ids: tuple[int, ...]
    says: str


@dataclass(frozen=True, slots=True)
class Plan:
    """images: that are in the library; matched, unmatched: regions with a name; unknown: images that are not there."""

    meant: list[Meant]
    images: int
    matched: int
    unmatched: int
    unknown: int


def plan_names(txn: Transaction, constraints: Constraints, images: Sequence[Mapping[str, Any]]) -> Plan:
    """What the regions of these images amount to; see calls/exchange.py for their form. Raises RequestError."""
    faces_of: dict[str, set[int]] = defaultdict(set)
    echoes: set[int] = set()
    counted = Counter[str]()
    for told in images:
        image = _image(txn, told)
        if image is None:
            counted["unknown"] += 1
            continue
        counted["images"] += 1
        names, boxes = _regions(told)
        pairs = matched(_shares(txn, image), boxes, int(told.get("turn", 1)))
        for face, region in pairs.tolist():
            faces_of[names[region]].add(image.face_ids[face])
            if told.get("ours"):
                echoes.add(image.face_ids[face])
        counted["matched"] += len(pairs)
        counted["unmatched"] += len(names) - len(pairs)
    known = _person_of(txn, (face_id for ids in faces_of.values() for face_id in ids))
    meant = [
        each
        for name, person_id in _who_is_who(txn, faces_of, known).items()
        for each in _meant(txn, constraints, name, person_id, sorted(faces_of[name]), known, echoes)
    ]
    return Plan(meant, counted["images"], counted["matched"], counted["unmatched"], counted["unknown"])


def _meant(
    txn: Transaction,
    constraints: Constraints,
    name: str,
    person_id: int,
    face_ids: list[int],
    known: Mapping[int, int],
    echoes: AbstractSet[int],
) -> Iterable[Meant]:
    """The decisions for one name. What they say already is not said again, and what a human said here stands. echoes:
    faces that our own sidecars tell of."""
    person = txn.persons.get(person_id)
    face_ids = [face_id for face_id in face_ids if constraints.confirmed.get(face_id) in (None, person_id)]
    if not face_ids:
        return
    if person is None:
        yield Meant("found", name, NOBODY, tuple(face_ids), f"{_many(face_ids)} found {name}")
        return
    theirs = [face_id for face_id in face_ids if known[face_id] == person_id]
    if not person.named:
        yield Meant("name", name, person_id, tuple(theirs), f"{person.name} is {name}")
        theirs = [face_id for face_id in face_ids if known[face_id] != person_id]
    else:
        new = [face_id for face_id in face_ids if known[face_id] != person_id or face_id not in echoes]
        theirs = [face_id for face_id in new if constraints.confirmed.get(face_id) != person_id]
    if theirs:
        yield Meant("assign", name, person_id, tuple(theirs), f"{_many(theirs)} assigned to {name}")


def _who_is_who(txn: Transaction, faces_of: Mapping[str, set[int]], known: Mapping[int, int]) -> dict[str, int]:
    """The person of each name, NOBODY for one who is new; who has most faces of a name goes first."""
    named = {
        folded(person.name): id_
        for id_, person in txn.persons.items()
        if person.named and not person.retired and not person.merged_into
    }
    found = {name: named[folded(name)] for name in faces_of if folded(name) in named}
    votes = [
        (-count, name, person_id)
        for name in faces_of
        if name not in found
        for person_id, count in Counter(known[face_id] for face_id in faces_of[name]).items()
        if person_id != NOBODY and not _is_named(txn, person_id)
    ]
    taken = set(found.values())
    for _, name, person_id in sorted(votes):
        if name not in found and person_id not in taken:
            found[name] = person_id
            taken.add(person_id)
    return {name: found.get(name, NOBODY) for name in sorted(faces_of)}


def _is_named(txn: Transaction, person_id: int) -> bool:
    person = txn.persons.get(person_id)
    return person is not None and person.named


def _person_of(txn: Transaction, face_ids: Iterable[int]) -> dict[int, int]:
    records = {face_id: txn.assignments.get(face_id) for face_id in face_ids}
    return {face_id: record.person_id if record else int(NOBODY) for face_id, record in records.items()}


def _image(txn: Transaction, told: Mapping[str, Any]) -> ImageRecord | None:
    try:
        image_id = txn.image_of_content(bytes.fromhex(told["digest"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f"not an image with regions: {told!r}") from error
    return txn.images.get(image_id) if image_id else None


def _regions(told: Mapping[str, Any]) -> tuple[list[str], Float32]:
    """Names as persons have them, and boxes as float32 (n, 4). Raises RequestError."""
    try:
        names = [plain_name(region["name"]) for region in told["regions"]]
        boxes = np.array([region["box"] for region in told["regions"]], np.float32).reshape(-1, 4)
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f"not an image with regions: {told!r}") from error
    kept = [row for row, name in enumerate(names) if name]
    return [names[row] for row in kept], boxes[kept]


def _shares(txn: Transaction, image: ImageRecord) -> Float32:
    """The boxes of an image's faces as shares of it, float32 (n, 4)."""
    records = [txn.faces.get(face_id) for face_id in image.face_ids]
    boxes = np.array([record.box if record else (0, 0, 0, 0) for record in records], np.float32).reshape(-1, 4)
    return np.asarray(boxes / np.array([image.width_px, image.height_px] * 2), np.float32)


def _many(face_ids: Sequence[int]) -> str:
    return f"{len(face_ids)} face{'s' if len(face_ids) != 1 else ''}"
