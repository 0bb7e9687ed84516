"""The see stage: decoded images in, faces with embeddings out. Pixels end here.

Room:    pipeline (moves)
Imports: types, traits, ports, vision, find, pulse, numpy, stdlib
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from face_organizer.pipeline.find import Find, Found
from face_organizer.pipeline.pulse import beat
from face_organizer.ports import Session
from face_organizer.traits import Traits
from face_organizer.types import DecodedImage, Detection, FaceAttributes, Float32, SeenFace, SeenImage, UInt8
from face_organizer.vision import align, attributes, detect, embed, geometry, light
from face_organizer.vision.again import same_faces
from face_organizer.vision.look import look
from face_organizer.vision.quality import quality, sharpness

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
        attributes: Session | None = None,
        *,
        pre_cropped: bool | Literal["auto"],
        crop_side_max_px: int,
        detection_side_px: int,
        face_side_min_px: int,
        founder_quality_min: float,
        traits: Traits,
    ) -> None:
        """The values are those of config.FacesConfig.

        A crop shows one person: only its main face counts, whatever its size. pre_cropped: every image is a crop
        (True), none is (False), or those are whose longest side is at most crop_side_max_px ("auto"). In any other
        image every face at least face_side_min_px wide counts, in px of the original. traits: the pack's.
        """
        self._find = Find(detector, traits.detector, photo_side_px=detection_side_px)
        self._recogniser = recogniser
        self._attributes = attributes
        self._pre_cropped = pre_cropped
        self._crop_side_max_px = crop_side_max_px
        self._face_side_min_px = face_side_min_px
        self._founder_quality_min = founder_quality_min
        self._traits = traits

    def __call__(self, images: list[DecodedImage], known: Sequence[Sequence[Detection]] = ()) -> list[SeenImage]:
        """The same number of images, in the same order.

        known: for each image the faces that it is known to show, in px of the original. They come first, in their
        order: as they are found now, or by the landmarks they had. A crop whose face is known shows no other.
        """
        crops = [self._is_crop(image) for image in images]
        pixels = [light.lit(image.pixels) for image in images]
        found = self._find(pixels, crops)
        faces = [
            _Face(row, face, align.centred(pixels[row]) if face is None else _aligned(pixels[row], face))
            for row, (image, crop) in enumerate(zip(images, crops, strict=True))
            for face in _with_known(self._choose(image, crop, found[row]), known[row] if known else (), image, crop)
        ]
        seen: list[list[SeenFace]] = [[] for _ in images]
        for face, (embedding, norm), told in zip(faces, self._embed(faces), self._told(faces, pixels), strict=True):
            seen[face.image].append(replace(self._seen(face, embedding, norm, images[face.image]), attributes=told))
        return [
            SeenImage(image.ref, image.digest, image.width_px, image.height_px, tuple(of_image), look(image.pixels))
            for image, of_image in zip(images, seen, strict=True)
        ]

    def _is_crop(self, image: DecodedImage) -> bool:
        if self._pre_cropped == "auto":
            return max(image.width_px, image.height_px) <= self._crop_side_max_px
        return self._pre_cropped

    def _choose(self, image: DecodedImage, crop: bool, found: list[Found]) -> Sequence[Found | None]:
        """Which faces count: the main one of a crop, all that are large enough of a photo; None: a guess."""
        if crop:
            return found or ([None] if self._pre_cropped is True else [])
        width_min_px = self._face_side_min_px / _scale_to_original(image)
        return [face for face in found if face.width_px >= width_min_px][:FACES_MAX]

    def _embed(self, faces: Sequence[_Face]) -> list[tuple[Float32, float]]:
        """For each face its embedding, float32 (d,), norm 1, read-only, and the norm that the network gave it."""
        if not faces:
            return []
        raw = self._recognise([face.aligned for face in faces])
        norms = embed.norms(raw)
        poor_below = self._traits.recogniser.norm_poor or 0.0
        poor = [row for row, norm in enumerate(norms) if norm < poor_below]
        if poor:
            raw[poor] += self._recognise([np.ascontiguousarray(faces[row].aligned[:, ::-1]) for row in poor])
        return list(zip(embed.unit_rows(raw, self._traits.whitening), norms, strict=True))

    def _told(self, faces: Sequence[_Face], pixels: Sequence[UInt8]) -> Sequence[FaceAttributes | None]:
        """The gender and age of each face that was found, where the pack has a network for them."""
        traits = self._traits.attributes
        if self._attributes is None or traits is None:
            return [None] * len(faces)
        found = [(row, face.found) for row, face in enumerate(faces) if face.found is not None]
        portraits = [
            attributes.portrait(pixels[faces[row].image], one.detection, one.turn_degrees, traits.side_px)
            for row, one in found
        ]
        told: list[FaceAttributes | None] = [None] * len(faces)
        step = self._attributes.batch_max
        for start in range(0, len(found), step):
            beat()
            batch = embed.network_input(portraits[start : start + step], traits.scaling)
            answers = attributes.told(self._attributes.run(batch)[0])
            for (row, _), answer in zip(found[start : start + step], answers, strict=True):
                told[row] = answer
        return told

    def _recognise(self, aligned: Sequence[UInt8]) -> Float32:
        """The network's output, float32 (n, d), for n >= 1 aligned faces."""
        step = self._recogniser.batch_max
        pieces = [aligned[start : start + step] for start in range(0, len(aligned), step)]
        return np.concatenate([self._recognised(piece) for piece in pieces])

    def _recognised(self, aligned: Sequence[UInt8]) -> Float32:
        beat()
        return self._recogniser.run(embed.network_input(aligned, self._traits.recogniser.scaling))[0]

    def _seen(self, face: _Face, embedding: Float32, norm: float, image: DecodedImage) -> SeenFace:
        """With box and landmarks in px of the upright original; a guess has no quality and founds nobody."""
        scale, found = _scale_to_original(image), face.found
        if found is None:
            guess = detect.scaled(_middle(image), scale)
            return SeenFace(guess, embedding, quality=0.0, founder=False, found=False)
        score, sharp = found.detection.detection_score, sharpness(face.aligned)
        worth = quality(self._traits, score, found.width_px, found.plausibility, sharp, norm)
        detection = detect.scaled(found.detection, scale)
        founder = worth >= self._founder_quality_min
        return SeenFace(detection, embedding, worth, founder, found=not found.earlier)


def _with_known(
    chosen: Sequence[Found | None], known: Sequence[Detection], image: DecodedImage, crop: bool
) -> Sequence[Found | None]:
    """The known faces, as they were chosen now or as they were, and then the new ones."""
    if not known:
        return chosen
    scale, real = 1 / _scale_to_original(image), [face for face in chosen if face is not None]
    were = [detect.scaled(each, scale) for each in known]
    rows = same_faces(were, [face.detection for face in real])
    if crop and len(were) == 1 and were[0].detection_score == 0 and real:
        rows = [0]  # it was a guess
    faces: list[Found | None] = [
        real[row] if row >= 0 else _as_it_was(each) for row, each in zip(rows, were, strict=True)
    ]
    return faces if crop else [*faces, *(face for row, face in enumerate(real) if row not in rows)]


def _as_it_was(was: Detection) -> Found | None:
    """A face that this detector does not find; None for one that no detector found."""
    if was.detection_score == 0:
        return None
    width_px = float(was.box[2] - was.box[0])
    return Found(was, width_px, geometry.regularity(was.landmarks), 0.0, earlier=True)


def _aligned(pixels: UInt8, face: Found) -> UInt8:
    """Lit once more: it may lie in the dark of a bright photo."""
    return light.lit(align.aligned(pixels, face.detection.landmarks))


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
