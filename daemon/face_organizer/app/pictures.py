"""Faces and images as pictures to look at, and as the files they are.

Room:    app (wires)
Imports: vision, adapters, errors, ports, records, types
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from face_organizer.adapters.originals import Original, Originals
from face_organizer.adapters.thumbnails import ThumbnailFolder
from face_organizer.errors import ItemError, RequestError
from face_organizer.ports import Store, Transaction
from face_organizer.records import FileRecord, ImageRecord
from face_organizer.types import Limits
from face_organizer.vision.thumbnail import face_thumbnail, image_thumbnail

SIDES_PX = (96, 160, 320, 640, 1024, 2048)
"""The sides there are: of what is asked for, the next larger one, so that the cache holds few of each."""


class Pictures:
    """Any thread. limits(): those of now."""

    def __init__(
        self, store: Store, originals: Originals, cache: ThumbnailFolder, limits: Callable[[], Limits]
    ) -> None:
        self._store, self._originals, self._cache, self._limits = store, originals, cache, limits

    def face(self, face_id: int, side_px: int) -> bytes:
        """A face with a margin, square, upright, as JPEG. Raises RequestError."""
        with self._store.read() as txn:
            face = txn.faces.get(face_id)
            image = txn.images.get(face.image_id) if face else None
            if face is None or image is None:
                raise RequestError(f"there is no face {face_id}")
            files = _files(txn, image)
        side_px, size_px = _side(side_px), (image.width_px, image.height_px)

        def make() -> bytes:
            return face_thumbnail(self._content(files), face.box, size_px, side_px, self._limits().pixels_max)

        return self._made(f"f{face_id}-{side_px}", make)

    def image(self, image_id: int, side_px: int) -> bytes:
        """A whole image, upright, as JPEG. Raises RequestError."""
        files = self._files_of(image_id)
        side_px = _side(side_px)
        return self._made(
            f"i{image_id}-{side_px}", lambda: image_thumbnail(self._content(files), side_px, self._limits().pixels_max)
        )

    def original(self, image_id: int) -> Original:
        """The file itself, open. Raises RequestError."""
        return self._opened(self._files_of(image_id))

    def drop(self, image_id: int, face_ids: Iterable[int]) -> None:
        """An image was edited: its thumbnails are of what it was."""
        self._cache.drop([f"i{image_id}", *(f"f{face_id}" for face_id in face_ids)])

    def _made(self, name: str, make: Callable[[], bytes]) -> bytes:
        try:
            return self._cache.get(name, make)
        except ItemError as error:
            raise RequestError(f"it can be decoded no more: {error}") from error
        except OSError as error:
            raise RequestError(f"its file cannot be read: {error.strerror}") from error

    def _files_of(self, image_id: int) -> list[FileRecord]:
        with self._store.read() as txn:
            image = txn.images.get(image_id)
            if image is None:
                raise RequestError(f"there is no image {image_id}")
            return _files(txn, image)

    def _opened(self, files: list[FileRecord]) -> Original:
        places = [place for file in files for place in file.places]
        return self._originals.open(places, [file.source for file in files])

    def _content(self, files: list[FileRecord]) -> bytes:
        original = self._opened(files)
        with original.file:
            if original.size_bytes > self._limits().size_max_bytes:
                raise RequestError(f"the file has {original.size_bytes / 1e6:,.1f} MB by now, more than is decoded")
            return original.file.read(original.size_bytes)


def _files(txn: Transaction, image: ImageRecord) -> list[FileRecord]:
    found = [txn.files.get(file_id) for file_id in image.file_ids]
    return [file for file in found if file is not None and not file.missing]


def _side(side_px: int) -> int:
    return next((side for side in SIDES_PX if side >= side_px), SIDES_PX[-1])
