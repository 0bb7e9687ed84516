"""The see stage: decoded images in, faces with embeddings out. Pixels end here.

Room:    pipeline (moves)
Imports: types, ports, vision, numpy, stdlib
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from face_organizer.ports import Session
from face_organizer.types import DecodedImage, Detection, Float32, SeenFace, SeenImage, UInt8, Whitening
from face_organizer.vision import align, detect, embed
from face_organizer.vision.quality import quality

FACES_MAX = 100
"""Of one photo, best detection score first: a crowd must not stop the flow."""

DETECTION_BATCH_PX = 640 * 640
"""Canvas pixels sent to the detector at once: it needs 85 MB for so many, and a larger batch is no faster on a CPU."""


@dataclass(frozen=True, slots=True)
class Look:
    """One way of looking at an image: its longest side becomes fill * side_px on a canvas of side_px."""

    side_px: int
    fill: float = 1.0


CROP_LOOKS = (Look(160), Look(320), Look(320, fill=0.5))
"""160 loses nothing against 320 on LFW (docs/models.md) and costs a quarter; a face that it misses may be small (320)
or fill the crop (padded)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Face:
    """A face to embed. image: its row in the batch. detection: in px of the decoded image. found: by the detector."""

    image: int
    detection: Detection
    aligned: UInt8
    found: bool


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
        self._detector = detector
        self._recogniser = recogniser
        self._pre_cropped = pre_cropped
        self._crop_side_max_px = crop_side_max_px
        self._photo_looks = (Look(detection_side_px), Look(320))
        self._face_side_min_px = face_side_min_px
        self._founder_quality_min = founder_quality_min
        self._whitening = whitening

    def __call__(self, images: list[DecodedImage]) -> list[SeenImage]:
        """The same number of images, in the same order."""
        crops = [self._is_crop(image) for image in images]
        detections = self._find(images, crops)
        faces = [
            face
            for row, (image, crop) in enumerate(zip(images, crops, strict=True))
            for face in self._choose(row, image, crop, detections[row])
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

    def _find(self, images: Sequence[DecodedImage], crops: Sequence[bool]) -> list[list[Detection]]:
        """The detections of each image in px of its decoded pixels, from the first look that shows any."""
        found: list[list[Detection]] = [[] for _ in images]
        for turn in range(max(len(CROP_LOOKS), len(self._photo_looks))):
            canvases: dict[int, detect.Canvas] = {}
            for row, image in enumerate(images):
                looks = CROP_LOOKS if crops[row] else self._photo_looks
                if not found[row] and turn < len(looks):
                    canvases[row] = detect.letterbox(image.pixels, looks[turn].side_px, looks[turn].fill)
            for row, detections in self._detect(canvases).items():
                found[row] = [detect.to_image(detection, canvases[row]) for detection in detections]
        return found

    def _detect(self, canvases: dict[int, detect.Canvas]) -> dict[int, list[Detection]]:
        """The detections on each canvas, in canvas px; canvases of one shape go through the network together."""
        by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
        for row, canvas in canvases.items():
            by_shape[canvas.pixels.shape[0], canvas.pixels.shape[1]].append(row)
        found: dict[int, list[Detection]] = {}
        for (height, width), rows in by_shape.items():
            batch_max = max(1, min(self._detector.batch_max, DETECTION_BATCH_PX // (height * width)))
            for start in range(0, len(rows), batch_max):
                piece = rows[start : start + batch_max]
                outputs = self._detector.run(detect.network_input([canvases[row] for row in piece]))
                found.update(zip(piece, detect.decode(outputs, height, width), strict=True))
        return found

    def _choose(self, row: int, image: DecodedImage, crop: bool, detections: list[Detection]) -> list[_Face]:
        """Which faces count: the main one of a crop, all that are large enough of a photo."""
        if crop and detections:
            detections = [detect.main_face(detections, *image.pixels.shape[:2])]
        elif crop and self._pre_cropped is True:
            return [_Face(row, _middle(image), align.centred(image.pixels), found=False)]
        else:
            width_min = self._face_side_min_px / _scale_to_original(image)
            wide = [detection for detection in detections if detection.box[2] - detection.box[0] >= width_min]
            detections = wide[:FACES_MAX]
        return [_Face(row, found, align.aligned(image.pixels, found.landmarks), found=True) for found in detections]

    def _embed(self, faces: Sequence[_Face]) -> Sequence[Float32]:
        """float32 (d,) per face, norm 1, read-only."""
        batch_max = self._recogniser.batch_max
        rows: list[Float32] = []
        for start in range(0, len(faces), batch_max):
            batch = embed.network_input([face.aligned for face in faces[start : start + batch_max]])
            rows.extend(embed.unit_rows(self._recogniser.run(batch)[0], self._whitening))
        return rows

    def _seen(self, face: _Face, embedding: Float32, image: DecodedImage) -> SeenFace:
        """With box and landmarks in px of the upright original; what was not found has no quality and founds nobody."""
        worth = quality(face.detection) if face.found else 0.0
        founder = face.found and worth >= self._founder_quality_min
        return SeenFace(detect.scaled(face.detection, _scale_to_original(image)), embedding, worth, founder)


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
