"""The nouns that travel: frozen, and read-only where they hold an array.

Room:    names
Imports: stdlib, numpy

Array letters: n d k p h w c. RGB everywhere; a network that wants BGR flips at its own door.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NewType

import numpy as np
from numpy.typing import NDArray

FileId = NewType("FileId", int)
PersonId = NewType("PersonId", int)

Float16 = NDArray[np.float16]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]

People = Literal["auto", "elbow"] | int
PlacementMode = Literal["move", "hardlink", "symlink", "copy"]

NOBODY = PersonId(0)
"""The person of a face that belongs to nobody (yet). Real ids start at 1 and are never reused."""

UNBORN = 1 << 40
"""Ids from here on stand for persons that get their number when the run that found them is applied."""

MOVES_MAX = 200

OUTLIERS = "outliers"
NO_FACE = "no_face"
QUARANTINE = "quarantine"
TRASH = "trash"
"""Images that a human deleted from a person's folder, and that are still held elsewhere (another file, the inbox)."""

TRASHED = "trashed"
"""The reason of a face that is nobody's because its image was deleted by hand: the image lies in TRASH where else it
would lie in OUTLIERS. Whoever gets the face, and an undo, replaces the assignment, and the reason with it."""

SIDECAR_ENDING = ".xmp"
"""What is called IMAGE.xmp tells of the image beside it, and is none itself."""

SIDECAR_ENDINGS = (SIDECAR_ENDING, ".aae", ".json")
"""In small letters. What other programs lay beside an image and know it by: Lightroom and digiKam, Apple, Google."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What stat says of a file: equal signatures mean an unchanged file."""

    size_bytes: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A settled file in the inbox. path may hold surrogate escapes (a name that is not UTF-8).

    laid_in: its place in the library, for one that somebody laid into a person's folder himself; else "".
    """

    path: Path
    signature: Signature
    laid_in: str = ""


@dataclass(frozen=True, slots=True)
class InboxState:
    """watched: events tell of changes; polling: only walks do; lost: it is away. reason: why it is not watched."""

    kind: Literal["watched", "polling", "lost"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Lying:
    """Something that lies in the library. place: relative path; kind: "file", "link" (symbolic), "other", or "note": no
    image by its name (Thumbs.db, a download under way). changed_ns: when it was last changed, moved or linked, which
    nobody can set (ctime); it says nothing of which it is."""

    place: str
    signature: Signature
    kind: str
    changed_ns: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of an image is taken in. A larger file (size_max_bytes) or picture (pixels_max) is refused; one with a
    longer side than side_max_px is decoded reduced."""

    size_max_bytes: int
    pixels_max: int
    side_max_px: int


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """An image as pixels. pixels: uint8 (h, w, 3) RGB, upright (EXIF applied), read-only.

    digest: 16 bytes, the content's name. width_px, height_px: of the upright original; pixels may be a reduced decode.
    """

    ref: ImageRef
    digest: bytes
    pixels: UInt8
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One face found. box: float32 (4,) x1 y1 x2 y2; landmarks: float32 (5, 2) eyes, nose, mouth corners,
    the viewer's left first; both in px of the array they were found in. detection_score: 0..1."""

    box: Float32
    landmarks: Float32
    detection_score: float


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What a detector says of a batch, overlaps and all. rows: int (m,), the picture of each; scores: float32 (m,);
    boxes: float32 (m, 4), landmarks: float32 (m, 5, 2), px of the input."""

    rows: NDArray[np.intp]
    scores: Float32
    boxes: Float32
    landmarks: Float32


@dataclass(frozen=True, slots=True)
class FaceAttributes:
    """What a network says of a face. age: in years, 0..120."""

    gender: Literal["female", "male"]
    age: int


@dataclass(frozen=True, slots=True, eq=False)
class SeenFace:
    """One face with its embedding. box and landmarks are in px of the upright original.

    embedding: float32 (d,), norm 1, read-only. quality: 0..1. founder: may found a person or shape a centroid
    (False for the centred-resize fallback and for faces below the quality bound). attributes: None where no network
    told any. found: by the detector, in this look; False for that fallback, and for a face that was known from an
    earlier look and lies where it lay then.
    """

    detection: Detection
    embedding: Float32
    quality: float
    founder: bool
    attributes: FaceAttributes | None = None
    found: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class SeenImage:
    """What is left of an image once the pixels are dropped. look: 16 bytes that copies of it share, or b""."""

    ref: ImageRef
    digest: bytes
    width_px: int
    height_px: int
    faces: tuple[SeenFace, ...]
    look: bytes = b""


@dataclass(frozen=True, slots=True)
class Rejected:
    """An input that will not become an image, and the sentence that says why. It travels on to be recorded."""

    ref: ImageRef
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Whitening:
    """What a model pack takes out of a recogniser's answers. mean: float32 (d,), of its unit vectors; matrix: float32
    (d, d): shrinks the directions in which one person's pictures differ."""

    mean: Float32
    matrix: Float32


@dataclass(frozen=True, slots=True)
class Impostors:
    """How alike two different people look to a pack. mean, sd: of the bulk, robust (the median, and how far below it
    the 16th percentile lies). rates, deviations: a share `rate` of pairs is at least mean + deviation * sd alike; rates
    fall, deviations rise."""

    mean: float
    sd: float
    rates: tuple[float, ...]
    deviations: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """A face's person, or NOBODY, and why. similarity, margin: cosine; margin is best minus second-best person."""

    person_id: PersonId
    similarity: float
    margin: float
    reason: str


@dataclass(frozen=True, slots=True)
class FileToPlace:
    """What disk should say about one file, and what we last made it say.

    name: its name in the inbox. digest: of its content, b"" where it was never read (then `signature` identifies it).
    folders: where it should appear, relative to the library, at least one. places: where we put it, relative paths.
    source: its path in the inbox. reason: for quarantine, written beside it; "" elsewhere. wished: places to prefer.
    former: digests of what it held before somebody edited it; a place that holds that still is brought in line.
    """

    file_id: FileId
    name: str
    source: Path
    signature: Signature
    digest: bytes
    places: tuple[str, ...]
    folders: tuple[str, ...]
    reason: str
    wished: tuple[str, ...] = ()
    former: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """What disk says now. places: relative paths. problem: "" or why it could not be done (it will be tried again).

    missing: neither the source nor any place holds the file any more; somebody took it away, or edited it: instead, the
    digests of what its places hold now. no_room: the problem is a full disk.
    """

    file_id: FileId
    places: tuple[str, ...]
    problem: str = ""
    missing: bool = False
    no_room: bool = False
    instead: tuple[bytes, ...] = ()


# What truth keeps, one record per id. The store writes them by field name, so a field may be added with a default.


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


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The kNN graph as rows. face_ids: int64 (n,); neighbours: int64 (n, k) face ids, -1 where there are fewer;
    similarities: float32 (n, k)."""

    face_ids: Int64
    neighbours: Int64
    similarities: Float32


@dataclass(frozen=True, slots=True, eq=False)
class FaceTable:
    """Many faces as columns, in id order. face_ids, image_of: int64 (n,); founder: bool (n,); quality: float32 (n,);
    person_of: int64 (n,), 0 for nobody."""

    face_ids: Int64
    image_of: Int64
    founder: NDArray[np.bool_]
    quality: Float32
    person_of: Int64
