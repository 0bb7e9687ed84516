"""Follows images whose content changes in place: a photo editor, or a program that writes metadata, saved them anew.

Room:    pipeline (moves)
Imports: types, records, errors, ports, identity, vision, book, brought, pulse

The same picture keeps its id, its faces and all that was decided: truth takes over the new digest, size and time in one
transaction, with the wish to place it, so that places which still hold the old content are brought in line, whatever
happens. The old digest goes on leading to the image: the unedited copy, dropped again, is a duplicate.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from face_organizer.errors import GoneError, ItemError
from face_organizer.identity.retouched import is_same_picture
from face_organizer.pipeline.book import content_of
from face_organizer.pipeline.brought import is_brought
from face_organizer.pipeline.pulse import beat
from face_organizer.ports import Log, Store, Transaction, Tree
from face_organizer.records import FaceRecord, FileRecord, ImageRecord
from face_organizer.types import ImageRef, Limits, Lying, Signature
from face_organizer.vision.decode import content_digest, decode
from face_organizer.vision.look import look

AT_ONCE = 32
"""So many edits are one transaction."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds: digest, look (vision/look.py), size of the upright picture."""

    digest: bytes
    look: bytes
    width_px: int
    height_px: int


@dataclass
class Followed:
    """What became of edits. others: these are other pictures. unclear: what was left alone, and why, in sentences.
    dragged: so many images were edited and lie elsewhere now. spoiled: something changed meanwhile."""

    edited: int = 0
    dragged: int = 0
    others: list[Lying] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    spoiled: bool = False


class Edits:
    """Any thread but the gallery's. read(ref): the bytes of what lies in the library; raises ItemError.
    drop_pictures(image_id, face_ids): of what it was. limits(): those of now."""

    def __init__(
        self,
        store: Store,
        tree: Tree,
        read: Callable[[ImageRef], bytes],
        library: Path,
        in_gallery: Callable[[Callable[[], Any]], Any],
        drop_pictures: Callable[[int, Iterable[int]], None],
        limits: Callable[[], Limits],
        log: Log,
    ) -> None:
        self._store, self._tree, self._read, self._library = store, tree, read, library
        self._in_gallery, self._drop_pictures, self._limits, self._log = in_gallery, drop_pictures, limits, log
        self._unclear: dict[tuple[str, Signature], str] = {}

    def follow(self, rewritten: Sequence[tuple[int, Lying]]) -> Followed:
        """Let truth follow what lies now where files of ours lay, or elsewhere if they lie there no more. Of several
        edits of one file the latest counts.

        Raises NoRoomError, Cancelled.
        """
        answer = Followed()
        files = list(dict(sorted(rewritten, key=lambda each: (each[1].signature.mtime_ns, each[1].place))).items())
        there = {_key(lying) for _, lying in rewritten}
        self._unclear = {key: why for key, why in self._unclear.items() if key in there}
        for start in range(0, len(files), AT_ONCE):
            seen = [
                (file_id, lying, content)
                for file_id, lying in files[start : start + AT_ONCE]
                if (content := self._seen(lying, answer)) is not None
            ]
            if seen:
                self._take_over(seen, answer)
        others = {lying.signature for lying in answer.others}  # each is one file, whose places are links of it
        answer.others = [lying for _, lying in rewritten if lying.signature in others]
        return answer

    def follow_images(self, image_ids: Iterable[int]) -> Followed:
        """Look whether these images were edited. Raises as follow does."""
        found: list[tuple[int, Lying]] = []
        with self._store.read() as txn:
            images = [image for id_ in image_ids if (image := txn.images.get(id_)) is not None]
            files = [(id_, image, txn.files.get(id_)) for image in images for id_ in image.file_ids]
        for file_id, image, file in files:
            for place in file.places if file is not None else ():
                lying = self._tree.look(os.fsdecode(place))
                if file is None or lying is None or lying.kind != "file" or _times(lying) == _times_of(file.signature):
                    continue
                if self._tree.digest(lying.place) != content_of(image, file):
                    found.append((file_id, lying))
        return self.follow(found)

    def _seen(self, lying: Lying, answer: Followed) -> Content | None:
        beat()
        if why := self._unclear.get(_key(lying)):
            answer.unclear.append(why)
            return None
        try:
            limits = self._limits()
            data = self._read(ImageRef(self._library / lying.place, lying.signature, lying.place))
            image = decode(data, pixels_max=limits.pixels_max, side_max_px=limits.side_max_px)
        except ItemError as error:
            if isinstance(error, GoneError) or self._tree.look(lying.place) != lying:
                answer.spoiled = True
            else:
                why = f"{lying.place} was an image of this library, and is none any more: {error}; it was left alone"
                self._unclear[_key(lying)] = why
                answer.unclear.append(why)
            return None
        return Content(content_digest(data), look(image.pixels), image.width_px, image.height_px)

    def _take_over(self, seen: Sequence[tuple[int, Lying, Content]], answer: Followed) -> None:
        with self._store.read() as txn:
            shown = {id_: _image_of(txn, id_) for id_, _, _ in seen}
        self._drop(shown.values())  # before and after: a kill must leave none behind
        done: list[tuple[int, int, Lying]] = []
        others: list[Lying] = []
        dragged: set[int] = set()

        def write() -> None:
            done.clear()
            dragged.clear()
            others.clear()
            with self._store.write() as txn:
                for file_id, lying, content in seen:
                    file = txn.files.get(file_id)
                    if file is None or file.signature == lying.signature:
                        continue
                    is_dragged = os.fsencode(lying.place) not in file.places
                    if self._tree.look(lying.place) != lying or (is_dragged and not self._is_gone(txn, file_id, file)):
                        answer.spoiled = True
                    elif is_edit(txn, file_id, content):
                        image_id = take_over(txn, file_id, content, lying.signature, is_dragged=is_dragged)
                        done.append((file_id, image_id, lying))
                        dragged.update([file_id] if is_dragged else ())
                    else:
                        others.append(lying)
                        if txn.pending(1, file_id) == [file_id]:  # it stands nowhere any more
                            places = tuple(place for place in file.places if place != os.fsencode(lying.place))
                            txn.files.put(file_id, replace(file, places=places))

        self._in_gallery(write)
        self._drop(shown.values())
        answer.others += others
        answer.edited += len(done)
        answer.dragged += len(dragged)
        for file_id, image_id, lying in done:
            self._log.info("image_edited", image=lying.place, file_id=file_id, image_id=image_id)

    def _is_gone(self, txn: Transaction, file_id: int, file: FileRecord) -> bool:
        """Is nothing left of the file where it lay, and is it not on its way?"""
        stands = any(self._tree.look(os.fsdecode(place)) for place in file.places)
        return not stands and txn.pending(1, file_id) != [file_id]

    def _drop(self, images: Iterable[tuple[int, ...]]) -> None:
        for image in images:
            if image:
                self._drop_pictures(image[0], image[1:])


# in the gallery's thread


def is_edit(txn: Transaction, file_id: int, now: Content) -> bool:
    """Is this content, which is no other image's, the picture that the file held, saved anew?"""
    file = txn.files.get(file_id)
    image = txn.images.get(file.image_id) if file and file.image_id else None
    if file is None or image is None or file.missing:
        return False
    if txn.image_of_content(now.digest) not in (0, file.image_id):
        return False
    return is_same_picture(image.look, (image.width_px, image.height_px), now.look, (now.width_px, now.height_px))


def take_over(txn: Transaction, file_id: int, now: Content, signature: Signature, *, is_dragged: bool = False) -> int:
    """The file holds an edit of its image: write that down, and have all its places looked at. Returns the image.
    is_dragged: it was dragged elsewhere, too, and what that says is yet to be decided."""
    file = txn.files.get(file_id)
    image = txn.images.get(file.image_id) if file else None
    assert file is not None, file_id
    assert image is not None, file_id
    image_id, before = file.image_id, content_of(image, file)
    for other in image.file_ids:  # its duplicates were not edited
        twin = txn.files.get(other)
        if other != file_id and twin is not None and not twin.digest:
            txn.files.put(other, replace(twin, digest=image.digest))
    _resize(txn, image, now)
    former = tuple(dict.fromkeys((*image.former, image.digest, before)))
    txn.images.put(
        image_id,
        replace(
            image,
            digest=now.digest,
            look=now.look,
            width_px=now.width_px,
            height_px=now.height_px,
            former=tuple(digest for digest in former if digest != now.digest),
        ),
    )
    txn.put_content(now.digest, image_id)
    source = file.origin or file.signature
    is_kept = txn.file_of_source(file.source) == file_id and signature.inode != source.inode
    held = tuple(dict.fromkeys((*file.former, before)))
    txn.files.put(
        file_id,
        replace(
            file,
            signature=signature,
            digest=b"",
            former=tuple(digest for digest in held if digest != now.digest),
            origin=source if is_kept else None,
        ),
    )
    if not is_dragged and not is_brought(txn, file_id):
        txn.set_pending(file_id, True)
    return image_id


def _resize(txn: Transaction, image: ImageRecord, now: Content) -> None:
    """Faces are told in px of the picture."""
    if (image.width_px, image.height_px) == (now.width_px, now.height_px):
        return
    scale = now.width_px / image.width_px, now.height_px / image.height_px
    for view in (txn, txn.beside()):
        for face_id in image.face_ids:
            if (face := view.faces.get(face_id)) is not None:
                view.faces.put(face_id, scaled(face, scale))


def scaled(face: FaceRecord, scale: tuple[float, float]) -> FaceRecord:
    """The same face in a picture so many times as wide and as high."""

    def each(numbers: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(round(number * scale[at % 2], 2) for at, number in enumerate(numbers))

    return replace(face, box=each(face.box), landmarks=each(face.landmarks))


def _image_of(txn: Transaction, file_id: int) -> tuple[int, ...]:
    """A file's image, and the faces in it."""
    file = txn.files.get(file_id)
    image = txn.images.get(file.image_id) if file and file.image_id else None
    return (file.image_id, *image.face_ids) if file and image else ()


def _key(lying: Lying) -> tuple[str, Signature]:
    return lying.place, lying.signature


def _times(lying: Lying) -> tuple[int, int]:
    return _times_of(lying.signature)


def _times_of(signature: Signature) -> tuple[int, int]:
    return signature.size_bytes, signature.mtime_ns
