"""The real program but for its networks: who is in an image is painted into its pixels, embeddings come by lot.

    python tests/numbered.py run --once --inbox in --library lib      # any command line

Everything else is what it always is: process, threads, store, index, folders. No picture of anybody is needed, and a
start takes half a second. It also runs over the program of older versions: data/README.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

D = 128


def paint(path: Path, people: Sequence[int], number: int = 0) -> Path:
    """Write a small picture of these people (0 to 254), no two with the same number alike."""
    from PIL import Image

    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[0, : len(people), 0] = np.array(people) + 1
    pixels[1, 0] = np.array([number], "<u4").view(np.uint8)[:3]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")
    return path


def vector_of(person: int, number: int) -> Any:
    """float32 (D,), norm 1: of one face of a person. Two of one person are about .8 alike."""
    own, lot = np.random.default_rng(person), np.random.default_rng([person, number])
    mean = own.standard_normal(D) / np.sqrt(D)
    vector = mean + 0.5 * lot.standard_normal(D) / np.sqrt(D)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class Painted:
    """In the place of See."""

    def __call__(self, images: list[Any]) -> list[Any]:
        from face_organizer.types import Detection, SeenFace, SeenImage

        seen = []
        for image in images:
            pixels = image.pixels if len(image.pixels) > 1 else np.zeros((2, 1, 3), np.uint8)  # not one of ours
            number = int(pixels[1, 0] @ np.array([1, 256, 65536]))
            faces = [
                SeenFace(
                    Detection(np.array([x, 0, x + 1, 1], np.float32), np.zeros((5, 2), np.float32), 0.9),
                    vector_of(int(red) - 1, number),
                    0.9,
                    True,
                )
                for x, red in enumerate(pixels[0, :, 0])
                if red
            ]
            seen.append(SeenImage(image.ref, image.digest, image.width_px, image.height_px, tuple(faces)))
        return seen


def main(arguments: list[str]) -> None:
    # before anybody takes it from there
    try:
        import face_organizer.devices as devices

        devices.open_devices = lambda config, log: [devices.Device("none", [Painted(), Painted()])]
    except ImportError:  # an older version
        import face_organizer.parts as parts

        parts.open_eyes = lambda config, log, *, workers, **_: ("none", [Painted() for _ in range(workers + 1)])
    from face_organizer.cli import main as command

    command(arguments, prog_name="face-organizer")


if __name__ == "__main__":
    main(sys.argv[1:])
