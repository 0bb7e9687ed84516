"""What a model pack says of its networks: how each is fed, and how its answers are to be read.

Room:    names
Imports: types, msgspec, stdlib

The values are data: they stand in the manifest of a pack (adapters/manifest.py), where they were measured for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta, Struct

from face_organizer.types import Whitening

Score = Annotated[float, Meta(ge=0, le=1)]


class DetectorTraits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to feed a detector and how far to trust it. Scores are its own: those of two kinds mean different things.

    kind: what its outputs are (vision/yunet.py, vision/scrfd.py).
    detection_score_min: what counts as a face. overlap_max: two boxes whose intersection over union is more are one.

    A face is sure, and not looked at from all sides, from sure_score on (in a photo, where faces are smaller,
    sure_score_in_photo), if its landmarks miss the template by at most sure_misfit_px, root mean square in px of the
    aligned face, and the template fits them at no more than sure_tilt_degrees.

    hint_score_min: what is worth a closer look in a photo. turned_score_min: what a turned face of a photo must score
    once it is upright, for eight angles are eight chances to take a pattern for a face.
    crop_side_px: the canvas of the first look at a crop. turned_side_px: of the small looks from each angle.
    quality_score_none, quality_score_full: the score that makes a face worth nothing, and all that a score can give.
    """

    kind: Literal["yunet", "scrfd"]
    detection_score_min: Score
    overlap_max: Score
    sure_score: Score
    sure_score_in_photo: Score
    sure_misfit_px: float
    sure_tilt_degrees: float
    hint_score_min: Score
    turned_score_min: Score
    crop_side_px: Annotated[int, Meta(ge=32, multiple_of=32)]
    turned_side_px: Annotated[int, Meta(ge=32, multiple_of=32)]
    quality_score_none: Score
    quality_score_full: Score


class Scaling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network sees (RGB 0-255 - mean) / std; 0 and 1 where the scaling is in its graph."""

    mean: float
    std: Annotated[float, Meta(gt=0)]


class RecogniserTraits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to feed a recogniser of aligned faces (112 x 112 px), and what the length of its answers tells.

    dimension: d. norm_none, norm_full: the raw length that makes a face worth nothing, and that of a good one.
    norm_poor: a shorter one is looked at in the mirror too. None where nobody measured them: then the length counts for
    nothing, and nothing is looked at twice.
    """

    scaling: Scaling
    dimension: Annotated[int, Meta(ge=1)]
    norm_none: float | None = None
    norm_full: float | None = None
    norm_poor: float | None = None

    @property
    def preprocessing(self) -> str:
        """In words; part of the fingerprint of its embeddings."""
        mean, std = self.scaling.mean, self.scaling.std
        return "arcface-112 rgb " + ("0-255" if (mean, std) == (0, 1) else f"(x-{mean:g})/{std:g}")


class AttributeTraits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to feed a network that tells gender and age from a square around the box, side_px wide."""

    scaling: Scaling
    side_px: Annotated[int, Meta(ge=1)] = 96


@dataclass(frozen=True, slots=True, eq=False)
class Traits:
    """All that finding and recognising faces needs to know of a pack. attributes: None where it has no such network."""

    detector: DetectorTraits
    recogniser: RecogniserTraits
    whitening: Whitening | None = None
    attributes: AttributeTraits | None = None
