"""The real program but for its networks: who is in an image is painted into its pixels, embeddings come by lot.

    python tests/numbered.py run --once --inbox in --library lib      # any command line

Everything else is what it always is: process, threads, store, index, folders. No picture of anybody is needed, and a
start takes half a second. It also runs over the program of older versions: data/README.md.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

D = 128
OTHER, OTHER_D = "painted", 64
"""Another model pack, for whoever moves a library: it sees green faces too, and none in column UNSEEN."""
UNSEEN = 3


def paint(path: Path, people: Sequence[int], number: int = 0, green: Sequence[int] = ()) -> Path:
    """Write a small picture of these people (0 to 254), no two with the same number alike. green: people whom only the
    other model sees."""
    from PIL import Image

    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[0, : len(people), 0] = np.array(people) + 1
    pixels[0, len(people) : len(people) + len(green), 1] = np.array(green, np.uint8) + 1
    pixels[1, 0] = np.array([number], "<u4").view(np.uint8)[:3]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")
    return path


def vector_of(person: int, number: int, d: int = D) -> Any:
    """float32 (d,), norm 1: of one face of a person. Two of one person are about .8 alike."""
    own, lot = np.random.default_rng(person), np.random.default_rng([person, number])
    mean = own.standard_normal(d) / np.sqrt(d)
    vector = mean + 0.5 * lot.standard_normal(d) / np.sqrt(d)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class Painted:
    """In the place of See."""

    def __init__(self, pack: str = "") -> None:
        self._is_other = pack == OTHER

    def __call__(self, images: list[Any], known: Sequence[Sequence[Any]] = ()) -> list[Any]:
        from face_organizer.types import SeenImage

        seen = []
        for row, image in enumerate(images):
            faces = self._faces(image.pixels)
            before = [int(each.box[0]) for each in known[row]] if known else []
            ordered = [faces.pop(x) for x in before]
            ordered += [faces[x] for x in sorted(faces) if getattr(faces[x], "found", True)]
            seen.append(SeenImage(image.ref, image.digest, image.width_px, image.height_px, tuple(ordered)))
        return seen

    def _faces(self, pixels: Any) -> dict[int, Any]:
        """By the column they are painted in; found: by this model itself."""
        from face_organizer.types import Detection, SeenFace

        pixels = pixels if len(pixels) > 1 else np.zeros((2, 1, 3), np.uint8)  # not one of ours
        number = int(pixels[1, 0] @ np.array([1, 256, 65536]))
        faces = {}
        for x, (red, green, _) in enumerate(pixels[0].tolist()):
            if red or green:
                vector = vector_of((red or green) - 1, number, OTHER_D if self._is_other else D)
                box = np.array([x, 0, x + 1, 1], np.float32)
                is_found = x != UNSEEN if self._is_other else red > 0
                faces[x] = SeenFace(
                    Detection(box, np.zeros((5, 2), np.float32), 0.9),
                    vector,
                    0.9,
                    True,
                    **({} if is_found else {"found": False}),
                )
        return faces


def install() -> None:
    """Put it in the place of the networks, wherever they have been taken from already."""
    import msgspec

    import face_organizer

    if not (Path(face_organizer.__file__).parent / "app" / "devices.py").exists():  # a version of before
        parts_then: Any = import_module("face_organizer.parts")
        parts_then.open_eyes = lambda *_, workers, **__: ("none", [Painted() for _ in range(workers + 1)])
        return

    import face_organizer.app.devices as devices
    import face_organizer.app.parts as parts

    named = parts.pack_of

    def pack_of(faces: Any) -> Any:
        if faces.pack != OTHER:
            return named(faces)
        pack = named(type(faces)())
        recogniser = msgspec.structs.replace(pack.traits.recogniser, dimension=OTHER_D)
        traits = replace(pack.traits, recogniser=recogniser)
        return replace(pack, name=OTHER, address=OTHER, fingerprint=OTHER, traits=traits)

    def open_devices(config: Any, log: Any) -> Any:
        return [devices.Device("none", [Painted(config.faces.pack) for _ in range(2)])]

    for new, old in ((pack_of, named), (open_devices, devices.open_devices)):
        for module in [module for name, module in sys.modules.items() if name.startswith("face_organizer")]:
            for key in [key for key, value in vars(module).items() if value is old]:
                setattr(module, key, new)
    run_children_by(__file__)


def run_children_by(*program: str) -> None:
    """Processes that the program starts are to be painted, too."""
    import face_organizer.adapters.child as child

    child.PYTHON = (sys.executable, *program)


def run(arguments: list[str]) -> None:
    """The program, or a module of it."""
    if arguments[:1] == ["-m"]:
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__")
        return
    from face_organizer.cli import main as command

    command(arguments, prog_name="face-organizer")


def main(arguments: list[str]) -> None:
    install()  # before anybody takes it from there
    run(arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
