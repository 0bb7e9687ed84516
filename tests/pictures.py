"""Pictures for tests that need a face and may not need a file: a drawn one that YuNet takes for real (score .9)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np

from face_organizer.types import DecodedImage, ImageRef, Signature, UInt8

LFW_DEV = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "lfw-dev"
NO_LFW = f"{LFW_DEV.parent.name}/{LFW_DEV.name} does not lie beside the checkout"


def drawn_face(side: int = 150, *, centre: tuple[float, float] | None = None, size: float = 1.0) -> UInt8:
    """A face of about 75 * size by 95 * size px on a plain ground: uint8 (side, side, 3) RGB."""
    picture = np.full((side, side, 3), (96, 120, 150), np.uint8)
    draw_face(picture, *(centre or (side / 2, side / 2)), size)
    return picture


def draw_face(picture: UInt8, centre_x: float, centre_y: float, size: float = 1.0) -> None:
    """Draws into the picture, around its centre."""

    def at(x: float, y: float) -> tuple[int, int]:
        return int(centre_x + x * size), int(centre_y + y * size)

    def by(x: float, y: float) -> tuple[int, int]:
        return max(1, int(x * size)), max(1, int(y * size))

    def oval(centre: tuple[int, int], radii: tuple[int, int], colour: tuple[int, int, int]) -> None:
        cv2.ellipse(picture, centre, radii, 0, 0, 360, colour, -1)

    oval(at(0, -8), by(40, 50), (60, 40, 30))
    oval(at(0, 0), by(34, 44), (224, 180, 150))
    for x in (-14, 14):
        oval(at(x, -8), by(7, 4), (245, 240, 235))
        oval(at(x, -8), by(3, 3), (40, 30, 30))
        cv2.ellipse(picture, at(x, -17), by(9, 3), 0, 180, 360, (70, 45, 35), by(2, 2)[0])
    cv2.line(picture, at(0, -4), at(-2, 10), (190, 140, 115), by(2, 2)[0])
    cv2.ellipse(picture, at(0, 11), by(6, 3), 0, 0, 180, (180, 125, 105), by(2, 2)[0])
    oval(at(0, 24), by(13, 5), (175, 80, 80))
    picture[:] = cv2.GaussianBlur(picture, (0, 0), 1.2)


def lfw_pictures(count: int) -> list[UInt8]:
    """The first photos of so many people of LFW's development set: uint8 (150, 150, 3) RGB each."""
    people = sorted(LFW_DEV.iterdir())[:count]
    bgr = [cv2.imread(str(min(person.iterdir()))) for person in people]
    return [np.ascontiguousarray(picture[..., ::-1]) for picture in bgr]


def decoded(pixels: UInt8, *, reduced: int = 1) -> DecodedImage:
    """As the decode stage would give it; the original was `reduced` times as large."""
    pixels.flags.writeable = False
    height, width = pixels.shape[:2]
    digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
    ref = ImageRef(Path("picture.png"), Signature(pixels.nbytes, 0, 0))
    return DecodedImage(ref, digest, pixels, width * reduced, height * reduced)
