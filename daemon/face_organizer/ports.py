"""The doors between the rooms. A consumer asks for the smallest one; only app/ knows who stands behind it.

Room:    names
Imports: types, records, numpy
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from face_organizer.records import (
    AssignmentRecord,
    ChangeRecord,
    DecisionRecord,
    FaceRecord,
    FileRecord,
    FormerRecord,
    ImageRecord,
    ModelRecord,
    PersonRecord,
    RunRecord,
)
from face_organizer.types import (
    FaceTable,
    FileToPlace,
    Float16,
    Float32,
    ImageRef,
    InboxState,
    Int64,
    Lying,
    Neighbours,
    Placed,
    Signature,
    UInt8,
)

R = TypeVar("R")


class Session(Protocol):
    """One network on one device. Not thread-safe: one thread per session.

    batch_max: the largest batch worth sending; run splits nothing.
    """

    batch_max: int

    def run(self, batch: Float32) -> list[Float32]:
        """batch: float32 (n, c, h, w); returns the network's outputs in its own order, first axis n."""
        ...


class ImageReader(Protocol):
    """Opens what the inbox holds, and nothing else."""

    def read(self, ref: ImageRef) -> bytes:
        """The bytes of a regular file, not through a link. Raises UnreadableError, GoneError, DecodeError."""
        ...


class Inbox(Protocol):
    """A folder that fills up. Hints are events: "look at this path", no more. walk() is the truth.

    Not thread-safe but for hints(), whose source is the watcher's own thread.
    """

    def hints(self, within_s: float) -> list[Path]:
        """Wait up to within_s for paths worth a look. [] when nothing happened."""
        ...

    def walk(self) -> Iterator[Path]:
        """Every candidate path below the inbox, lazily, in name order within a folder; temporary names left out."""
        ...

    def signature(self, path: Path) -> Signature | None:
        """lstat of a candidate; None if gone, a folder, or not a candidate by name."""
        ...

    def check(self) -> bool:
        """Is the inbox there and watched? Re-arms a dead or lost watcher. False while the inbox is away."""
        ...

    @property
    def rescan(self) -> bool:
        """Hints were lost: a walk is due now."""
        ...

    @property
    def state(self) -> InboxState:
        """Watched, polling or lost, as check() found it."""
        ...

    def prune(self, older_than_s: float) -> int:
        """Remove folders below the inbox that are empty and untouched for so long; returns how many."""
        ...


class Index(Protocol):
    """Nearest faces by cosine. One thread adds; any thread searches."""

    @property
    def count(self) -> int: ...
    def search(self, probes: Float32, k: int, *, thorough: bool = False) -> tuple[Int64, Float32]:
        """probes: float32 (n, d) unit rows; returns face ids int64 (n, k), -1 where there are fewer, and
        similarities float32 (n, k), best first. thorough: for a human, who wants them all."""
        ...

    def add(self, face_ids: Int64, vectors: Float32) -> None:
        """face_ids: int64 (n,); vectors: float32 (n, d) unit rows."""
        ...


class VectorSource(Protocol):
    """Where an index can be rebuilt from: (face ids int64 (n,), vectors float32 (n, d)) in id order, in chunks."""

    def __call__(self) -> Iterable[tuple[Int64, Float32]]: ...


class GrowingIndex(Index, Protocol):
    """An index that outgrows itself: a larger one is trained aside and swapped in."""

    @property
    def last_face_id(self) -> int:
        """The largest face id in the index, 0 if there is none."""
        ...

    def needs_training(self) -> bool: ...
    def train(self, source: VectorSource, count: int) -> Any:
        """Build a larger index of everything in source, aside. Any thread. The result has `last_face_id`."""
        ...

    def needs_tuning(self) -> bool: ...
    def tune(self, face_ids: Int64, probes: Float32, step: Callable[[], object] = ...) -> Any:
        """Find out how much a thorough search has to look at, by these stored faces. Any thread. step: called at every
        step. The result has `nprobe` and `recall`."""
        ...

    def swap(self, new: Any, delta_ids: Int64, delta_vectors: Float32) -> None:
        """Put it in the place of the live one, with the faces enrolled since. The adding thread only."""
        ...

    def clear(self) -> None:
        """Empty and exact again."""
        ...

    def save(self, path: Path, *, fingerprint: str, generation: int) -> None:
        """Atomically, with a checksum. Raises OSError, RuntimeError."""
        ...

    def discard(self, path: Path) -> None:
        """Delete a saved index, and what a crash left of one. Raises OSError."""
        ...

    def saved_for(self, path: Path) -> str:
        """Which model a saved index says that it was made for, by its fingerprint; "" where it does not say."""
        ...

    def load(self, path: Path, *, fingerprint: str, generation: int) -> str:
        """Take a saved index over; returns "" or why not."""
        ...


class CentroidFinder(Protocol):
    """Where the lists of an inverted file shall lie."""

    def __call__(self, sample: Float32, count: int, *, rounds: int) -> Float32:
        """sample: float32 (n, d) unit rows, n >= count; returns float32 (count, d) unit rows. rounds: of k-means."""
        ...


class NeighbourFinder(Protocol):
    """Everybody's nearest faces in one go."""

    def __call__(
        self, vectors: Float16, k: int, *, similarity_min: float, image_of: Int64
    ) -> tuple[NDArray[np.int32], Float32]:
        """vectors: float16 (n, d) unit rows; image_of: int64 (n,), faces of one image are not each other's neighbours.
        Returns rows int32 (n, k), best first, -1 where there are fewer; similarities float32 (n, k)."""
        ...


class Library(Protocol):
    """The folders people look at."""

    def reconcile(self, file: FileToPlace) -> Placed:
        """Make disk show `file` in exactly its folders. Doing it twice is the same as once."""
        ...

    def erase(self, file: FileToPlace) -> str:
        """Take `file` away from every place of it in the library; returns what kept it from that, "" if nothing did."""
        ...

    def holds(self, place: str) -> bool:
        """Is there a file (or a link) at this relative path?"""
        ...

    def walk(self) -> Iterator[str]:
        """The relative path of every file in the library's folders but the state folder and the reasons."""
        ...


class Tree(Protocol):
    """The library's folders as people leave them. Hints are events, no more; walk() is the truth. Not thread-safe."""

    @property
    def state(self) -> InboxState:
        """Watched, polling or lost, as check() found it."""
        ...

    @property
    def walk_due(self) -> bool:
        """Hints were lost: a walk is due now."""
        ...

    @property
    def closed(self) -> frozenset[str]:
        """Folders that the last walk could not look into."""
        ...

    @property
    def nested(self) -> tuple[str, ...]:
        """Folders within folders, as the last walk found them."""
        ...

    def check(self) -> bool:
        """Is the library there, and the same one? Re-arms a dead or lost watcher."""
        ...

    def hints(self, within_s: float) -> list[str]:
        """Wait up to within_s for relative paths that something happened to. [] when nothing did."""
        ...

    def folders(self) -> dict[str, Signature]:
        """What lstat says of each folder. Raises OSError."""
        ...

    def walk(self) -> Iterator[Lying]:
        """Whatever lies in the folders, but folders. Raises OSError."""
        ...

    def look(self, place: str) -> Lying | None:
        """What lies at one place; None where nothing does, or a folder. Raises OSError."""
        ...

    def lift(self, nested: str) -> list[str]:
        """Bring what lies in a folder within a folder up into the outer one; returns the new places. Raises OSError."""
        ...

    def digest(self, place: str) -> bytes:
        """The name of a regular file's content. Raises OSError."""
        ...

    def target(self, place: str) -> Path | None:
        """Where a symbolic link leads; None where there is none."""
        ...


class Clock(Protocol):
    """Durations only; never the time of day."""

    def __call__(self) -> float:
        """Monotonic seconds."""
        ...


class Log(Protocol):
    """structlog's bound logger, as far as we use it."""

    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


class Table(Protocol[R]):
    """Records by id, in id order. Reading a missing id gives None."""

    def get(self, key: int) -> R | None: ...
    def items(self, start: int = 0) -> Iterator[tuple[int, R]]: ...
    def count(self) -> int: ...
    def put(self, key: int, record: R) -> None: ...
    def delete(self, key: int) -> None: ...


class Transaction(Protocol):
    """One consistent view of the truth; in a write transaction, the only one that may change it."""

    @property
    def images(self) -> Table[ImageRecord]: ...
    @property
    def files(self) -> Table[FileRecord]: ...
    @property
    def faces(self) -> Table[FaceRecord]: ...
    @property
    def assignments(self) -> Table[AssignmentRecord]: ...
    @property
    def persons(self) -> Table[PersonRecord]: ...
    @property
    def runs(self) -> Table[RunRecord]: ...
    @property
    def decisions(self) -> Table[DecisionRecord]: ...
    @property
    def changes(self) -> Table[ChangeRecord]: ...
    @property
    def models(self) -> Table[ModelRecord]:
        """By slot: 0 and 1."""
        ...

    @property
    def slot(self) -> int:
        """Which model's faces, vectors and graph this view shows."""
        ...

    def beside(self) -> Transaction:
        """The same transaction, but with the faces, vectors and graph of the other model. Images, persons and all that
        was decided are one for both; a face has the same id in both, and may be missing in one."""
        ...

    def clear_beside(self) -> None:
        """Drop everything of the other model."""
        ...

    def switch(self) -> None:
        """From the commit on, the other model is the one in use, and what was in use lies beside."""
        ...

    def former(self, change_id: int, face_id: int) -> FormerRecord | None:
        """What a change found when it came to this face; None if it did not touch it."""
        ...

    def put_former(self, change_id: int, face_id: int, record: FormerRecord) -> None: ...
    def formers(self) -> Iterator[tuple[int, int, FormerRecord]]:
        """All that changes found: (change id, face id, what)."""
        ...

    def delete_former(self, change_id: int, face_id: int) -> None: ...
    def new_id(self, table: str) -> int:
        """The next id of a table: 1, 2, ... never given twice, not even after a delete."""
        ...

    def last_id(self, table: str) -> int: ...
    def note(self, name: str) -> bytes:
        """A small fact about the library, b"" if never noted."""
        ...

    def put_note(self, name: str, value: bytes) -> None: ...
    def image_of_content(self, digest: bytes) -> int: ...
    def put_content(self, digest: bytes, image_id: int) -> None: ...
    def delete_content(self, digest: bytes) -> None: ...
    def put_forgotten(self, path: bytes, signature: Signature | None = None) -> None:
        """A file that shows somebody forgotten lies there: in the library (a relative path), or in the inbox with this
        signature. Only a digest of the path is kept."""
        ...

    def is_forgotten(self, path: bytes, signature: Signature | None = None) -> bool: ...
    def file_of_source(self, source: bytes) -> int: ...
    def put_source(self, source: bytes, file_id: int) -> None: ...
    def delete_source(self, source: bytes) -> None: ...
    def pending(self, limit: int, start: int = 0) -> list[int]:
        """File ids whose place on disk may not be what it should be, from start on, at most limit."""
        ...

    def pending_count(self) -> int: ...
    def set_pending(self, file_id: int, is_pending: bool) -> None: ...
    def face_ids(self) -> Int64:
        """Every face that has a vector, int64 (n,), ascending."""
        ...

    def put_face_vector(self, face_id: int, vector: Float32) -> None: ...
    def delete_vectors(self, face_ids: Sequence[int]) -> None:
        """Take faces out of the vectors and out of the graph, with every edge that leads to them."""
        ...

    def vectors(self, face_ids: Sequence[int] | Int64) -> Float32:
        """float32 (n, d), in the order asked for. Raises StoreError if one is missing."""
        ...

    def vector_chunks(self, start: int = 0, chunk: int = 16_384) -> Iterator[tuple[Int64, Float32]]:
        """(face ids, vectors) in id order from start on."""
        ...

    def put_neighbours(self, face_id: int, neighbours: Int64, similarities: Float32) -> None: ...
    def neighbours(self, k: int, start: int = 0) -> Neighbours:
        """The whole kNN graph, k columns; or the rows of the faces from an id on."""
        ...

    def neighbours_of(self, face_ids: Sequence[int] | Int64, k: int) -> Neighbours:
        """The rows of these faces, in the order asked for; a face that has none has no neighbours."""
        ...

    def vectors_from(self, start: int = 0) -> tuple[Int64, Float16]:
        """(face ids int64 (n,), float16 (n, d)) in id order, from an id on: as stored, the leanest way to have all."""
        ...

    def looks(self) -> tuple[Int64, UInt8]:
        """Of every image that has one: ids int64 (n,), ascending, and looks uint8 (n, 16)."""
        ...

    def face_table(self, start: int = 0) -> FaceTable:
        """What is known of all faces from an id on, as columns."""
        ...


class Store(Protocol):
    """The truth. One thread writes; any thread reads its own snapshot."""

    @property
    def fingerprint(self) -> str:
        """The model whose embeddings it holds."""
        ...

    @property
    def dimension(self) -> int: ...
    def read(self) -> AbstractContextManager[Transaction]: ...
    def write(self) -> AbstractContextManager[Transaction]:
        """Commits on leaving, durable when it returns; an exception inside undoes everything."""
        ...

    def rewrite(self) -> bool:
        """Write the truth anew, without the bytes of what was deleted. False: not now, somebody reads. The writing
        thread only. Raises StoreError."""
        ...

    def backups(self) -> Sequence[Path]:
        """The copies that migrations left beside the store."""
        ...

    def delete_backups(self) -> None: ...
