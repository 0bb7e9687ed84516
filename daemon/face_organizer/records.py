"""What truth keeps, one record per id.

Room:    names
Imports: types, stdlib

The store writes them by field name, so a field may be added with a default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from face_organizer.types import FaceAttributes, Signature


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One content. Several files may hold it (duplicates); its faces are seen once. look: b"" of one that an older
    version recorded. closed: somebody in it was forgotten, so no face may be found in it again. former: digests that
    it had before it was edited; they still lead to it."""

    digest: bytes
    width_px: int
    height_px: int
    face_ids: tuple[int, ...]
    file_ids: tuple[int, ...]
    look: bytes = b""
    closed: bool = False
    former: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file that was dropped. image_id 0: never became an image, see reason.

    name, source, places are file-system bytes (os.fsencode): names need not be UTF-8.
    places: where it lies, relative to the library. missing: somebody took it away; it is not looked for again.
    wished: where it lay before what is being taken back, to lie there again under just these names.
    digest: of its content, where that is not its image's (one of two duplicates was edited); b"" elsewhere. former:
    what it held before it was edited, until all its places hold the same. origin: what its source is, where that is
    kept and only the places were edited. kept_in: the folders in which somebody laid it, of what shows no face: there
    it stays.
    """

    image_id: int
    name: bytes
    source: bytes
    signature: Signature
    places: tuple[bytes, ...] = ()
    reason: str = ""
    missing: bool = False
    wished: tuple[bytes, ...] = ()
    digest: bytes = b""
    former: tuple[bytes, ...] = ()
    origin: Signature | None = None
    kept_in: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """One face. box: x1 y1 x2 y2, landmarks: five x y pairs; px of the upright original. attributes: None where no
    network told any."""

    image_id: int
    box: tuple[float, ...]
    landmarks: tuple[float, ...]
    detection_score: float
    quality: float
    founder: bool
    attributes: FaceAttributes | None = None


@dataclass(frozen=True, slots=True)
class AssignmentRecord:
    """Who a face is (person_id 0: nobody), and why. run_id 0: decided while streaming."""

    person_id: int
    similarity: float
    margin: float
    reason: str
    run_id: int = 0


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """A person. merged_into: who took over the faces, 0 while this one lives; retired: has no faces left.

    named: a human gave the name. hidden: a human wants no folder for this person.
    """

    name: str
    folder: str
    born_run: int = 0
    merged_into: int = 0
    retired: bool = False
    named: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a human said of faces: they are this person, or they are not."""

    face_ids: tuple[int, ...]
    person_id: int
    is_person: bool = True


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """What a human decided, for ever unless undone. Decisions are only ever added.

    kind: name, merge, apart, split, reject, assign, hide, unhide, undo. says: the same as a sentence. change_id: what
    moved. undoes: the decision that this one takes back; undone_by: the one that took this one back; 0 for none.
    at_s: seconds since 1970.
    """

    kind: str
    says: str
    verdicts: tuple[Verdict, ...]
    change_id: int
    at_s: float
    undoes: int = 0
    undone_by: int = 0


UNBORN = 1 << 40
"""Ids from here on stand for persons that get their number when the run that found them is applied."""


@dataclass(frozen=True, slots=True)
class PersonChange:
    """One person before and after a change; before None: not born yet."""

    person_id: int
    before: PersonRecord | None
    after: PersonRecord


NO_DECISION = -1
"""A change that was not thought out beforehand: there is nothing that it did not know of."""


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """Whose faces were and are: what a run or a decision does, enough to do it, to go on after a crash, and to take it
    back. face_ids, before, after: int64 (n,), little-endian bytes, persons; in a proposal an id from UNBORN on stands
    for a person that has no id yet. A face whose before and after are one person keeps it, and only its files are
    looked at again. merged: old person -> the one that takes over. back_to: the change that this one takes back, or 0.
    last_decision: the latest decision that a run knew of; what humans touched since, it leaves alone.
    trashed: faces that become nobody's for the reason TRASHED.
    """

    face_ids: bytes
    before: bytes
    after: bytes
    reason: str
    run_id: int = 0
    persons: tuple[PersonChange, ...] = ()
    merged: dict[int, int] = field(default_factory=dict)
    back_to: int = 0
    last_decision: int = NO_DECISION
    trashed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FormerRecord:
    """What a change found: the face's assignment, and where the files of its image lay."""

    assignment: AssignmentRecord
    places: tuple[tuple[int, tuple[bytes, ...]], ...]


MOVES_MAX = 200
"""So many moves of a run are kept, the largest."""


@dataclass(frozen=True, slots=True)
class Move:
    """Faces that a run wants to take from one person to another (0: nobody). of: how many faces that person had.

    examples: some of the faces.
    """

    before: int
    after: int
    faces: int
    of: int
    examples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One re-clustering: why, on what, with which parameters, what changed.

    state: proposed, applying, applied, rolled_back, dismissed, replaced (a later run looked again). waits: why it did
    not apply itself. found: what else it found out (calibration, the bound for members, the elbow), plain values.
    moves: the largest, at most MOVES_MAX. splits: persons that lost a group of faces and go on.
    joined: faces of nobody that found somebody. at_s: seconds since 1970.
    """

    reason: str
    people: str
    faces: int
    persons: int
    born: int
    merged: int
    split: int
    vanished: int
    moved: int
    seconds: float
    state: str = "applied"
    waits: str = ""
    change_id: int = 0
    rollback_id: int = 0
    parameters: dict[str, float | int | str | bool | None] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()
    splits: tuple[int, ...] = ()
    joined: int = 0
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model whose embeddings the store holds: the one in use, and at most one beside it.

    pack: its name, or the folder it lies in. state: live, filling (images are being read again), ready (compared; waits
    to be switched to), due (to be switched to at the next opening), kept (was in use before). asks: it is not switched
    to unasked. upto: images up to this one were read again. images, by_landmarks, added: how many were read, how many
    old faces it did not find, so that they were embedded where they had been, and how many faces only it found. found:
    what the comparison tells, plain values. comparison: the run that a re-clustering by it would be. waits: why it does
    not switch by itself. since_run, since_face: the last ones of the model before.
    """

    pack: str
    fingerprint: str
    dimension: int
    state: str
    asks: bool = False
    upto: int = 0
    images: int = 0
    by_landmarks: int = 0
    added: int = 0
    found: dict[str, Any] = field(default_factory=dict)
    comparison: RunRecord | None = None
    waits: str = ""
    since_run: int = 0
    since_face: int = 0
