"""The demo's inbox: eight people, made from pictures that lie in two installed packages.

Room:    talks
Imports: errors, numpy, PIL, stdlib

Nothing is detected here: where the faces are was measured once and is written down below. The packages are only looked
up, never imported.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from face_organizer.errors import FaceOrganizerError

VARIANTS = 8
"""Images made of each person."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture file inside an installed package."""

    package: str
    path: str


@dataclass(frozen=True, slots=True)
class Portrait:
    """Where a face lies in a picture. centre_px: x, y. side_px: of the square that just holds it.

    tilt_degrees: of the line through its eyes, clockwise.
    """

    picture: Picture
    centre_px: tuple[float, float]
    side_px: float
    tilt_degrees: float


GROUP = Picture("insightface", "data/images/t1.jpg")
HANKS = Picture("insightface", "data/images/Tom_Hanks_54745.png")
ASTRONAUT = Picture("skimage", "data/astronaut.png")

PEOPLE = (
    Portrait(GROUP, (114, 333), 128, -12),
    Portrait(GROUP, (319, 215), 126, -20),
    Portrait(GROUP, (517, 339), 145, 8),
    Portrait(GROUP, (797, 414), 122, 3),
    Portrait(GROUP, (956, 130), 144, -11),
    Portrait(GROUP, (1173, 335), 124, -2),
    Portrait(HANKS, (54, 60), 72, 0),  # its face fills the picture: a smaller square keeps the border out of most crops
    Portrait(ASTRONAUT, (223, 120), 114, 1),
)


def write_demo_images(folder: Path, seed: int) -> int:
    """Write VARIANTS images of each of PEOPLE and the whole group photo into `folder`, in an order that tells nothing.

    The same seed gives the same images. Returns how many were written. Raises FaceOrganizerError where the packages
    with the pictures are not installed.
    """
    people = list(vary_people(seed))
    order = np.random.default_rng(seed).permutation(len(people))
    folder.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(order, start=1):
        people[row][1].save(folder / f"IMG_{number:04}.jpg", quality=92)
    (folder / "group-photo.jpg").write_bytes(locate(GROUP).read_bytes())
    return len(people) + 1


def vary_people(seed: int) -> Iterator[tuple[int, Image.Image]]:
    """VARIANTS images of each person: (row in PEOPLE, image)."""
    rng = np.random.default_rng(seed)
    for row, portrait in enumerate(PEOPLE):
        with Image.open(locate(portrait.picture)) as picture:
            pixels = picture.convert("RGB")
        for _ in range(VARIANTS):
            yield row, _vary(pixels, portrait, rng)


def locate(picture: Picture) -> Path:
    """The file of a picture. Raises FaceOrganizerError where its package is not installed, or lacks it."""
    spec = find_spec(picture.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / picture.path).is_file():
            return path
    raise FaceOrganizerError(
        f"the demo's pictures are not installed ({picture.package}/{picture.path} is missing): "
        "start it with `scripts/run demo`, which installs them"
    )


def _vary(picture: Image.Image, portrait: Portrait, rng: np.random.Generator) -> Image.Image:
    """Another photo of the same face: other crop, size, side, turn, light and sharpness."""
    crop = _crop(picture, portrait, rng)
    crop = ImageEnhance.Brightness(crop).enhance(rng.uniform(0.55, 1.35))
    crop = ImageEnhance.Contrast(crop).enhance(rng.uniform(0.75, 1.2))
    return crop.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 1.1)))


def _crop(picture: Image.Image, portrait: Portrait, rng: np.random.Generator) -> Image.Image:
    """A square around the face, shifted, up to 20 degrees off level and perhaps mirrored: one affine map."""
    side_px = portrait.side_px * rng.uniform(1.45, 1.75)
    size_px = int(rng.integers(150, 261))
    turn = math.radians(portrait.tilt_degrees + rng.uniform(-20.0, 20.0))
    mirror = rng.choice((-1.0, 1.0))
    x, y = (float(value) for value in portrait.centre_px + rng.uniform(-0.06, 0.06, 2) * portrait.side_px)

    around, left, top = _surroundings(picture, (x, y), math.ceil(side_px))
    scale, half = side_px / size_px, size_px / 2
    a, b = mirror * scale * math.cos(turn), -scale * math.sin(turn)
    d, e = mirror * scale * math.sin(turn), scale * math.cos(turn)
    c, f = x - left - (a + b) * half, y - top - (d + e) * half
    return around.transform((size_px, size_px), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BICUBIC)


def _surroundings(picture: Image.Image, centre_px: tuple[float, float], reach_px: int) -> tuple[Image.Image, int, int]:
    """The part of a picture within reach of a point, and where its left top corner lies in the picture, px.

    Beyond the picture its border goes on: the corners of a turned square may lie there.
    """
    left, top = (round(value) - reach_px for value in centre_px)
    span = np.arange(2 * reach_px + 1)
    rows, columns = np.clip(top + span, 0, picture.height - 1), np.clip(left + span, 0, picture.width - 1)
    return Image.fromarray(np.asarray(picture)[np.ix_(rows, columns)]), left, top
