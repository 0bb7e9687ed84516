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
ImageId = NewType("ImageId", int)
FaceId = NewType("FaceId", int)
PersonId = NewType("PersonId", int)
RunId = NewType("RunId", int)

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]

People = Literal["auto", "elbow"] | int
PlacementMode = Literal["move", "hardlink", "symlink", "copy"]

NOBODY = PersonId(0)
"""The person of a face that belongs to nobody (yet). Real ids start at 1 and are never reused."""

OUTLIERS = "outliers"
NO_FACE = "no_face"
QUARANTINE = "quarantine"
STATE_FOLDER = ".face-organizer"


@dataclass(frozen=True, slots=True)
class Signature:
    """What stat says of a file: equal signatures mean an unchanged file."""

    size_bytes: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A settled file in the inbox. path may hold surrogate escapes (a name that is not UTF-8)."""

    path: Path
    signature: Signature


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
class SeenFace:
    """One face with its embedding. box and landmarks are in px of the upright original.

    embedding: float32 (d,), norm 1, read-only. quality: 0..1. founder: may found a person or shape a centroid
    (False for the centred-resize fallback and for faces below the quality bound).
    """

    detection: Detection
    embedding: Float32
    quality: float
    founder: bool


@dataclass(frozen=True, slots=True, eq=False)
class SeenImage:
    """What is left of an image once the pixels are dropped."""

    ref: ImageRef
    digest: bytes
    width_px: int
    height_px: int
    faces: tuple[SeenFace, ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """An input that will not become an image, and the sentence that says why. It travels on to be recorded."""

    ref: ImageRef
    reason: str


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
    source: its path in the inbox. reason: for quarantine, written beside it; "" elsewhere.
    """

    file_id: FileId
    name: str
    source: Path
    signature: Signature
    digest: bytes
    places: tuple[str, ...]
    folders: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Placed:
    """What disk says now. places: relative paths. problem: "" or why it could not be done (it will be tried again).

    missing: neither the source nor any place holds the file any more; somebody took it away.
    """

    file_id: FileId
    places: tuple[str, ...]
    problem: str = ""
    missing: bool = False


# What truth keeps, one record per id. The store writes them by field name, so a field may be added with a default.


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One content. Several files may hold it (duplicates); its faces are seen once."""

    digest: bytes
    width_px: int
    height_px: int
    face_ids: tuple[int, ...]
    file_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file that was dropped. image_id 0: never became an image, see reason.

    name, source, places are file-system bytes (os.fsencode): names need not be UTF-8.
    places: where it lies, relative to the library. missing: somebody took it away; it is not looked for again.
    """

    image_id: int
    name: bytes
    source: bytes
    signature: Signature
    places: tuple[bytes, ...] = ()
    reason: str = ""
    missing: bool = False


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """One face. box: x1 y1 x2 y2, landmarks: five x y pairs; px of the upright original."""

    image_id: int
    box: tuple[float, ...]
    landmarks: tuple[float, ...]
    detection_score: float
    quality: float
    founder: bool


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
    """A person. merged_into: who took over the faces, 0 while this one lives; retired: has no faces left."""

    name: str
    folder: str
    born_run: int = 0
    merged_into: int = 0
    retired: bool = False


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One re-clustering: why, on what, what changed. found: what it found out on its way, by name; plain values."""

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
    found: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The kNN graph as rows. face_ids: int64 (n,); neighbours: int64 (n, k) face ids, -1 where there are fewer;
    similarities: float32 (n, k)."""

    face_ids: Int64
    neighbours: Int64
    similarities: Float32
