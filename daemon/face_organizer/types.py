"""The nouns that travel: frozen, and read-only where they hold an array.

Room:    names
Imports: stdlib, numpy

Array letters: n d k p h w c. RGB everywhere; a network that wants BGR flips at its own door.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NewType

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
    digests of what its places hold now. no_room: the problem is a full disk. folders: the inode of each folder that we
    found or laid it in, by the name that this had then.
    """

    file_id: FileId
    places: tuple[str, ...]
    problem: str = ""
    missing: bool = False
    no_room: bool = False
    instead: tuple[bytes, ...] = ()
    folders: tuple[tuple[str, int], ...] = ()


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
