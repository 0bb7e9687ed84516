"""Reads the library's images again for another model, and writes what that sees beside what is in use.

Room:    pipeline (moves)
Owns:    the threads of its own pipeline
Imports: types, records, errors, ports, vision, channel, edits, flow, gallery, messages, pulse

A face keeps its id: what the other model finds where a known face lies is that face; a known face that it does not find
is embedded by the landmarks it had; what only it finds is a new face, which belongs to the image once the model is in
use. Each transaction says up to which image all is done, so that whatever cuts this short costs one batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import numpy as np

from face_organizer.errors import GoneError, ItemError
from face_organizer.pipeline.channel import Cancelled
from face_organizer.pipeline.edits import scaled
from face_organizer.pipeline.flow import Pipeline, Stage
from face_organizer.pipeline.gallery import as_stored, face_record
from face_organizer.pipeline.messages import Rules
from face_organizer.pipeline.pulse import Pulses, wait
from face_organizer.ports import Log, Store, Transaction
from face_organizer.records import FaceRecord, ModelRecord
from face_organizer.types import DecodedImage, Detection, ImageRef, Limits, SeenImage, Signature
from face_organizer.vision.decode import content_digest, decode

IMAGES_AT_ONCE, IN_FLIGHT_MAX, BATCH_MAX, LINGER_S = 256, 64, 16, 0.02
LOOK_S = 0.2
"""How soon a stop is noticed."""

TRIES, AGAIN_S = 3, 1.0
"""What could not be read is tried again so often without any success, and after so long: between the move of a file and
its record in the truth there is a moment."""


class Eyes(Protocol):
    """See, with what is known of each image."""

    def __call__(self, images: list[DecodedImage], known: Sequence[Sequence[Detection]]) -> list[SeenImage]: ...


@dataclass(frozen=True, slots=True)
class Target:
    """The model that a library is to be moved to. pack: its name, or the folder it lies in. rules: its bounds.
    open_eyes(): its networks, one for each thread; raises ModelError."""

    pack: str
    fingerprint: str
    dimension: int
    rules: Rules
    open_eyes: Callable[[], Sequence[Eyes]]

    def is_of(self, model: ModelRecord | None) -> bool:
        return model is not None and model.fingerprint == self.fingerprint


@dataclass(frozen=True, slots=True)
class Known:
    """An image that the truth knows. former: what it held before it was edited; that will do where the picture has the
    same size. paths: where its files lie, relative ones in the library."""

    image_id: int
    digest: bytes
    former: tuple[bytes, ...]
    size_px: tuple[int, int]
    face_ids: tuple[int, ...]
    faces: tuple[Detection, ...]
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Again:
    """An image on its way. image: its pixels, None once it was seen or where it cannot be read."""

    known: Known
    image: DecodedImage | None = None
    seen: SeenImage | None = None


class _ChangedError(ItemError):
    """What lies there is not what was enrolled."""


class _GalleryEndedError(Exception):
    """Nobody writes any more."""


class Fill:
    """read(path): the bytes of a file, now; raises ItemError. follow(image_ids): let truth take over what was edited
    where it lies; not from the gallery's thread. in_gallery: runs work in the one writer's thread. limits(): those of
    now."""

    def __init__(
        self,
        store: Store,
        in_gallery: Callable[[Callable[[], Any]], Any],
        read: Callable[[Path], bytes],
        follow: Callable[[Sequence[int]], object],
        limits: Callable[[], Limits],
        log: Log,
        pulses: Pulses,
    ) -> None:
        self._store, self._in_gallery, self._read_file, self._follow = store, in_gallery, read, follow
        self._limits, self._log, self._pulses = limits, log, pulses
        self._unread: dict[int, tuple[Known, str]] = {}

    def left(self) -> int:
        """How many images have come since the last one that was read again."""
        with self._store.read() as txn:
            model = txn.models.get(1 - txn.slot)
            return txn.last_id("images") - model.upto if model is not None else 0

    def run(self, target: Target, eyes: Sequence[Eyes], stop: Event | None = None, *, anew: bool) -> bool:
        """Read what has not been read again yet; anew: also what could not be read the last time. False: not all of it,
        for stop was set, or it is not wanted any more. Raises NoRoomError."""
        pipeline = Pipeline(
            [
                Stage("reread", (self._read,), capacity=BATCH_MAX),
                Stage("resee", tuple(map(_seeing, eyes)), batch=BATCH_MAX, linger_s=LINGER_S, capacity=2 * BATCH_MAX),
            ],
            lambda items: self._sink(target, items),
            sink_batch=BATCH_MAX,
            linger_s=LINGER_S,
            reject=self._reject,
            in_flight_max=IN_FLIGHT_MAX,
            pulses=self._pulses,
        )
        pipeline.start()
        try:
            if not self._run(pipeline, target, stop or Event(), anew=anew):
                return False
        except _GalleryEndedError:
            return False
        with self._store.read() as txn:
            return target.is_of(txn.models.get(1 - txn.slot))

    def _run(self, pipeline: Pipeline, target: Target, stop: Event, *, anew: bool) -> bool:
        ended = False
        self._unread = {}
        try:
            ended = self._through(pipeline, self._images(target, anew=anew), stop) and self._once_more(pipeline, stop)
        finally:
            (pipeline.close if ended else pipeline.abort)()
        for image_id, (known, reason) in sorted(self._unread.items()) if ended else ():
            shown = ascii(str(known.paths[0]))[1:-1] if known.paths else "no file"
            self._log.warning("image_not_reembedded", image_id=image_id, image=shown, reason=reason)
        return ended

    def _once_more(self, pipeline: Pipeline, stop: Event) -> bool:
        """Try what could not be read again, while that helps; False: it was stopped."""
        tries = 0
        while self._unread and tries < TRIES:
            if wait(stop, AGAIN_S):
                return False
            ids, self._unread = sorted(self._unread), {}
            if not self._through(pipeline, self._known_in_turn(ids), stop):
                return False
            tries = 0 if len(self._unread) < len(ids) else tries + 1
        return True

    @staticmethod
    def _through(pipeline: Pipeline, images: Iterator[Known], stop: Event) -> bool:
        """Send these through, to the last; False: it was stopped."""
        for known in images:
            if stop.is_set():
                return False
            pipeline.submit(known)
        while not pipeline.wait_empty(LOOK_S):
            if stop.is_set():
                return False
        return True

    def _images(self, target: Target, *, anew: bool) -> Iterator[Known]:
        """Those that lack a face beside, then those that came since; in short transactions."""
        yield from self._known_in_turn(self._lacking() if anew else [])
        with self._store.read() as txn:
            model = txn.models.get(1 - txn.slot)
        upto = model.upto if model is not None else 0
        while True:
            with self._store.read() as txn:
                if not target.is_of(txn.models.get(1 - txn.slot)):
                    return
                ids = [image_id for image_id, _ in islice(txn.images.items(upto + 1), IMAGES_AT_ONCE)]
            if not ids:
                return
            upto = ids[-1]
            yield from self._known(ids)

    def _known_in_turn(self, image_ids: Sequence[int]) -> Iterator[Known]:
        for start in range(0, len(image_ids), IMAGES_AT_ONCE):
            yield from self._known(image_ids[start : start + IMAGES_AT_ONCE])

    def _known(self, image_ids: Sequence[int]) -> list[Known]:
        """Once truth has taken over what was edited, in whichever of its places."""
        self._follow(image_ids)
        with self._store.read() as txn:
            known = [_known(txn, image_id) for image_id in image_ids]
        return [each for each in known if each is not None]

    def _lacking(self) -> list[int]:
        """The images up to the last one read that show a face which the other model has not seen."""
        with self._store.read() as txn:
            model = txn.models.get(1 - txn.slot)
            return sorted(id_ for id_ in lacking_images(txn) if model is not None and id_ <= model.upto)

    # in the pipeline's threads

    def _read(self, items: list[Known]) -> list[Again]:
        return [self._again(known) for known in items]

    def _again(self, known: Known) -> Again:
        """An image that was edited, or moved, is the same image. Raises ItemError."""
        try:
            return Again(known, self._decoded(known))
        except (_ChangedError, GoneError):
            now = self._known([known.image_id])
            if not now or (now[0].digest, now[0].paths) == (known.digest, known.paths):
                raise
            return Again(now[0], self._decoded(now[0]))

    def _decoded(self, known: Known) -> DecodedImage:
        """From any place where the content is still the one we know. Raises ItemError."""
        why: ItemError = GoneError("none of its files is there")
        limits = self._limits()
        for path in known.paths:
            try:
                data = self._read_file(path)
                if (found := content_digest(data)) in (known.digest, *known.former):
                    image = decode(data, pixels_max=limits.pixels_max, side_max_px=limits.side_max_px)
                    if found != known.digest and (image.width_px, image.height_px) != known.size_px:
                        continue
                    ref = ImageRef(path, Signature(len(data), 0, 0))
                    return DecodedImage(ref, known.digest, image.pixels, image.width_px, image.height_px)
                why = _ChangedError("its content is not the one that was enrolled")
            except GoneError:
                pass
            except ItemError as error:
                why = error
        raise why

    def _reject(self, item: Known | Again, error: ItemError) -> Again:
        known = item if isinstance(item, Known) else item.known
        self._unread[known.image_id] = known, str(error)
        return Again(known)

    def _sink(self, target: Target, items: list[Again]) -> None:
        try:
            self._in_gallery(lambda: self.keep(target, items))
        except Cancelled as error:  # the process stops; whoever submits must hear of it
            raise _GalleryEndedError from error

    # in the gallery's thread

    def keep(self, target: Target, items: Sequence[Again]) -> None:
        """Write down what was seen. Doing it twice changes nothing but ids of faces that only this model finds."""
        with self._store.write() as txn:
            beside, slot = txn.beside(), 1 - txn.slot
            model = txn.models.get(slot)
            if model is None or not target.is_of(model):
                return  # it is not wanted any more
            for item in items:
                model = _kept(txn, beside, model, item)
            txn.models.put(slot, model)


def lacking_images(txn: Transaction) -> set[int]:
    """The images that show a face which the model beside has not seen."""
    lacking = np.setdiff1d(txn.face_ids(), txn.beside().face_ids())
    records = (txn.faces.get(face_id) for face_id in lacking.tolist())
    return {record.image_id for record in records if record is not None}


def _seeing(eyes: Eyes) -> Callable[[list[Again]], list[Again]]:
    def see(items: list[Again]) -> list[Again]:
        images = [item.image for item in items if item.image is not None]
        seen = eyes(images, [item.known.faces for item in items])
        return [Again(item.known, seen=each) for item, each in zip(items, seen, strict=True)]

    return see


def _kept(txn: Transaction, beside: Transaction, model: ModelRecord, item: Again) -> ModelRecord:
    """Write one image's faces beside; returns the model with it counted."""
    model = replace(model, upto=max(model.upto, item.known.image_id))
    image = txn.images.get(item.known.image_id)
    if image is None or item.seen is None or item.known.digest not in (image.digest, *image.former):
        return model
    (width_px, height_px), scale = item.known.size_px, (1.0, 1.0)
    if item.known.digest != image.digest:  # edited since it was read
        scale = image.width_px / width_px, image.height_px / height_px
    ids: list[int] = list(item.known.face_ids)
    if not image.closed and image.face_ids == item.known.face_ids:  # else somebody in it was forgotten
        ids += [txn.new_id("faces") for _ in item.seen.faces[len(ids) :]]
    by_landmarks = 0
    for face_id, face in zip(ids, item.seen.faces, strict=False):
        is_known = face_id in item.known.face_ids
        if is_known and face_id not in image.face_ids:
            continue
        by_landmarks += is_known and not face.found
        beside.faces.put(face_id, scaled(face_record(item.known.image_id, face), scale))
        beside.put_face_vector(face_id, as_stored(face.embedding))
    return replace(
        model,
        images=model.images + 1,
        by_landmarks=model.by_landmarks + by_landmarks,
        added=model.added + len(ids) - len(item.known.face_ids),
    )


def _known(txn: Transaction, image_id: int) -> Known | None:
    """What the truth knows of an image, and where it may lie. None: it was forgotten meanwhile."""
    image = txn.images.get(image_id)
    if image is None:
        return None
    files = [file for file_id in image.file_ids if (file := txn.files.get(file_id)) is not None]
    paths = [Path(os.fsdecode(place)) for file in files for place in file.places]
    paths += [Path(os.fsdecode(file.source)) for file in files]
    faces = [(face_id, record) for face_id in image.face_ids if (record := txn.faces.get(face_id)) is not None]
    return Known(
        image_id,
        image.digest,
        image.former,
        (image.width_px, image.height_px),
        tuple(face_id for face_id, _ in faces),
        tuple(_detection(record) for _, record in faces),
        tuple(dict.fromkeys(paths)),
    )


def _detection(record: FaceRecord) -> Detection:
    box, landmarks = np.array(record.box, np.float32), np.array(record.landmarks, np.float32).reshape(5, 2)
    return Detection(box, landmarks, record.detection_score)
