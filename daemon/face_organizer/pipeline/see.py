"""The see stage: decoded images in, faces with embeddings out. Pixels end here.

Room:    pipeline (moves)
Imports: types, ports, vision, numpy, stdlib
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from face_organizer.pipeline.find import Find, Found
from face_organizer.ports import Session
from face_organizer.types import DecodedImage, Detection, Float32, SeenFace, SeenImage, UInt8, Whitening
from face_organizer.vision import align, detect, embed
from face_organizer.vision.quality import quality

FACES_MAX = 100
"""Of one photo, best detection score first: a crowd must not stop the flow."""


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """A face to embed. image: its row in the batch. found: None where it is a guess, the middle of a declared crop."""

    image: int
    found: Found | None
    aligned: UInt8


class See:
    """Finds, aligns and embeds the faces of a batch of images. One instance per thread."""

    def __init__(
        self,
        detector: Session,
        recogniser: Session,
        *,
        pre_cropped: bool | Literal["auto"],
        crop_side_max_px: int,
        detection_side_px: int,
        face_side_min_px: int,
        founder_quality_min: float,
        whitening: Whitening | None = None,
    ) -> None:
        """The values are those of config.FacesConfig.

        A crop shows one person: only its main face counts, whatever its size. pre_cropped: every image is a crop
        (True), none is (False), or those are whose longest side is at most crop_side_max_px ("auto"). In any other
        image every face at least face_side_min_px wide counts, in px of the original. whitening: the pack's.
        """
        self._find = Find(detector, photo_side_px=detection_side_px)
        self._recogniser = recogniser
        self._pre_cropped = pre_cropped
        self._crop_side_max_px = crop_side_max_px
        self._face_side_min_px = face_side_min_px
        self._founder_quality_min = founder_quality_min
        self._whitening = whitening

    def __call__(self, images: list[DecodedImage]) -> list[SeenImage]:
        """The same number of images, in the same order."""
        crops = [self._is_crop(image) for image in images]
        found = self._find([image.pixels for image in images], crops)
        faces = [
            face
            for row, (image, crop) in enumerate(zip(images, crops, strict=True))
            for face in self._choose(row, image, crop, found[row])
        ]
        seen: list[list[SeenFace]] = [[] for _ in images]
        for face, embedding in zip(faces, self._embed(faces), strict=True):
            seen[face.image].append(self._seen(face, embedding, images[face.image]))
        return [
            SeenImage(image.ref, image.digest, image.width_px, image.height_px, tuple(of_image))
            for image, of_image in zip(images, seen, strict=True)
        ]

    def _is_crop(self, image: DecodedImage) -> bool:
        if self._pre_cropped == "auto":
            return max(image.width_px, image.height_px) <= self._crop_side_max_px
        return self._pre_cropped

    def _choose(self, row: int, image: DecodedImage, crop: bool, found: list[Found]) -> list[_Face]:
        """Which faces count: the main one of a crop, all that are large enough of a photo."""
        if not found and crop and self._pre_cropped is True:
            return [_Face(row, None, align.centred(image.pixels))]
        if not crop:
            width_min_px = self._face_side_min_px / _scale_to_original(image)
            found = [face for face in found if face.width_px >= width_min_px][:FACES_MAX]
        return [_Face(row, face, align.aligned(image.pixels, face.detection.landmarks)) for face in found]

    def _embed(self, faces: Sequence[_Face]) -> Sequence[Float32]:
        """float32 (d,) per face, norm 1, read-only."""
        batch_max = self._recogniser.batch_max
        rows: list[Float32] = []
        for start in range(0, len(faces), batch_max):
            batch = embed.network_input([face.aligned for face in faces[start : start + batch_max]])
            rows.extend(embed.unit_rows(self._recogniser.run(batch)[0], self._whitening))
        return rows

    def _seen(self, face: _Face, embedding: Float32, image: DecodedImage) -> SeenFace:
        """With box and landmarks in px of the upright original; a guess has no quality and founds nobody."""
        scale = _scale_to_original(image)
        if face.found is None:
            return SeenFace(detect.scaled(_middle(image), scale), embedding, quality=0.0, founder=False)
        worth = quality(face.found.detection.detection_score, face.found.width_px, face.found.plausibility)
        detection = detect.scaled(face.found.detection, scale)
        return SeenFace(detection, embedding, worth, founder=worth >= self._founder_quality_min)


def _scale_to_original(image: DecodedImage) -> float:
    """Original px per decoded px."""
    return float(max(image.width_px, image.height_px) / max(image.pixels.shape[:2]))


def _middle(image: DecodedImage) -> Detection:
    """What stands in for a detection when none was made: the square that align.centred takes, with score 0."""
    height, width = image.pixels.shape[:2]
    side = min(height, width)
    corner = np.array([(width - side) // 2, (height - side) // 2], np.float32)
    box = np.concatenate([corner, corner + side]).astype(np.float32)
    landmarks = align.TEMPLATE_PX * np.float32(side / align.SIDE_PX) + corner
    return Detection(box, landmarks.astype(np.float32), 0.0)
