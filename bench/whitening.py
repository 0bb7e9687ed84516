#!/usr/bin/env python3
"""Makes a pack's whitening and its impostor figures from photos of people, and says what they are worth.

    python bench/whitening.py PHOTOS [--write] [--people 120] [--images 8]

PHOTOS: PERSON/PERSON_NNNN.jpg. The people with the most photos are embedded as they are and spoiled in seven ways.
whitening: less the mean of all clean faces, then (C + mean eigenvalue)^-1/2, with C the covariance of a person's
pictures, clean and spoiled, around their mean. The table comes from one half of the people (CRC-32 of the name), with a
whitening made from the other. --write puts the one made from all into the package.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))

from face_organizer.adapters.models import load_pack
from face_organizer.adapters.session import open_sessions
from face_organizer.app.parts import make_eyes
from face_organizer.config import FacesConfig
from face_organizer.types import DecodedImage, ImageRef, Signature, Whitening

RATES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)
CLEAN = "as they are"


def few_pixels(image: np.ndarray, side_px: int) -> np.ndarray:
    small = cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def bar(image: np.ndarray, rows: tuple[float, float], columns: tuple[float, float], grey: int) -> np.ndarray:
    image, (h, w) = image.copy(), image.shape[:2]
    image[int(h * rows[0]) : int(h * rows[1]), int(w * columns[0]) : int(w * columns[1])] = grey
    return image


def tight(image: np.ndarray) -> np.ndarray:
    h, w = image.shape[:2]
    return image[int(h * 0.25) : int(h * 0.78), int(w * 0.25) : int(w * 0.75)]


SPOILED: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    CLEAN: lambda image, rng: image,
    "tight crop": lambda image, rng: tight(image),
    "dark": lambda image, rng: (image * 0.15).astype(np.uint8),
    "bar over the mouth": lambda image, rng: bar(image, (0.55, 0.80), (0.25, 0.75), int(rng.integers(0, 80))),
    "bar over the eyes": lambda image, rng: bar(image, (0.36, 0.48), (0.20, 0.80), 20),
    "face 24 px wide": lambda image, rng: few_pixels(image, 48),
    "face 16 px wide": lambda image, rng: few_pixels(image, 32),
    "blurred, sigma 3": lambda image, rng: cv2.GaussianBlur(image, (0, 0), 3),
}


@dataclass(frozen=True)
class Seen:
    """embeddings: float32 (n, d), unit rows, not whitened; who, image: (n,)."""

    embeddings: np.ndarray
    who: np.ndarray
    image: np.ndarray

    def of(self, half: int) -> Seen:
        rows = np.array([zlib.crc32(name.encode()) % 2 == half for name in self.who.tolist()])
        return Seen(self.embeddings[rows], self.who[rows], self.image[rows])


def embedded(files: Iterable[Path], spoil: Callable[[np.ndarray], np.ndarray]) -> Seen:
    """The main face of each file, spoiled as it would arrive: as a JPEG."""
    pack = load_pack("opencv-zoo")
    networks = [
        open_sessions(path, "openvino", count=1, batch_max=8) for path in (pack.detector_path, pack.recogniser_path)
    ]
    (see,) = make_eyes(*networks, FacesConfig(), replace(pack.traits, whitening=None))
    files, rows, who, image = list(files), [], [], []
    for start in range(0, len(files), 16):
        batch = []
        for file in files[start : start + 16]:
            _, data = cv2.imencode(".jpg", spoil(cv2.imread(str(file))), [cv2.IMWRITE_JPEG_QUALITY, 95])
            pixels = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
            batch.append(
                DecodedImage(ImageRef(file, Signature(0, 0, 0)), b"", pixels, pixels.shape[1], pixels.shape[0])
            )
        for one in see(batch):
            for face in one.faces:
                rows.append(face.embedding)
                who.append(one.ref.path.parent.name)
                image.append(one.ref.path.name)
    return Seen(np.stack(rows), np.array(who), np.array(image))


def whitening_of(everybody: np.ndarray, spoiled: list[Seen]) -> Whitening:
    """everybody: float32 (n, d), unit rows of clean faces. spoiled: pictures of the same people, clean and not."""
    mean = everybody.mean(axis=0)
    vectors, who = np.concatenate([seen.embeddings for seen in spoiled]), np.concatenate([s.who for s in spoiled])
    _, person, count = np.unique(who, return_inverse=True, return_counts=True)
    means = np.zeros((len(count), vectors.shape[1]))
    np.add.at(means, person, vectors)
    around = vectors - (means / count[:, None])[person]
    values, directions = np.linalg.eigh(around.T @ around / len(around))
    shrink = np.sqrt(values.mean() / (values + values.mean()))
    return Whitening(mean.astype(np.float32), ((directions * shrink) @ directions.T).astype(np.float32))


def whitened(seen: Seen, whitening: Whitening | None) -> Seen:
    if whitening is None:
        return seen
    rows = (seen.embeddings - whitening.mean) @ whitening.matrix
    return Seen(rows / np.linalg.norm(rows, axis=1, keepdims=True), seen.who, seen.image)


def pairs(one: Seen, other: Seen) -> tuple[np.ndarray, np.ndarray]:
    """The similarities of all pairs of different photos: of one person, of two people."""
    similarities = one.embeddings @ other.embeddings.T
    same = one.who[:, None] == other.who
    apart = one.image[:, None] != other.image
    return similarities[same & apart], similarities[~same]


def bulk(impostors: np.ndarray) -> tuple[float, float]:
    low, middle = np.quantile(impostors, [0.16, 0.5])
    return float(middle), float(middle - low)


def table(clean: Seen, kinds: dict[str, Seen], bound: float) -> None:
    print(
        f"| bound {bound:.3f} | genuine | impostors | FMR | kept "
        "| with a clean face: genuine | impostors | FMR | kept |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, seen in kinds.items():
        cells = []
        for other in (seen, clean):
            genuine, impostors = pairs(seen, other)
            cells += [
                f"{genuine.mean():.2f} +- {genuine.std():.2f}",
                f"{impostors.mean():.2f} +- {impostors.std():.2f}",
            ]
            cells += [f"{(impostors >= bound).mean():.0e}", f"{(genuine >= bound).mean():.3f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("photos", type=Path)
    arguments.add_argument("--people", type=int, default=120)
    arguments.add_argument("--images", type=int, default=8)
    arguments.add_argument("--rate", type=float, default=3e-5, help="the false-match rate of the table")
    arguments.add_argument("--write", action="store_true")
    given = arguments.parse_args()
    people = {folder: sorted(folder.glob("*.jpg")) for folder in sorted(given.photos.iterdir()) if folder.is_dir()}
    most = sorted(people, key=lambda folder: (-len(people[folder]), folder.name))[: given.people]
    everybody = embedded((file for files in people.values() for file in files), lambda image: image)
    kinds = {}
    for name, spoil in SPOILED.items():
        rng = np.random.default_rng(0)
        files = [file for folder in most for file in people[folder][: given.images]]
        kinds[name] = embedded(files, lambda image, spoil=spoil, rng=rng: spoil(image, rng))
    for half in (0, 1):
        made = whitening_of(everybody.of(1 - half).embeddings, [seen.of(1 - half) for seen in kinds.values()])
        for title, how in (("not whitened", None), ("whitened", made)):
            clean = whitened(everybody.of(half), how)
            impostors = clean.embeddings @ clean.embeddings.T
            impostors = impostors[clean.who[:, None] != clean.who]
            print(f"\nhalf {half}, {title}; {len(clean.who)} clean faces, {len(impostors) // 2} impostor pairs\n")
            of_half = {name: whitened(seen.of(half), how) for name, seen in kinds.items()}
            table(of_half[CLEAN], of_half, float(np.quantile(impostors, 1 - given.rate)))
    final = whitening_of(everybody.embeddings, list(kinds.values()))
    clean = whitened(everybody, final)
    impostors = (clean.embeddings @ clean.embeddings.T)[clean.who[:, None] != clean.who]
    mean, sd = bulk(impostors)
    deviations = tuple(round((float(np.quantile(impostors, 1 - rate)) - mean) / sd, 2) for rate in RATES)
    print(
        f"\nImpostors(mean={mean:.3f}, sd={sd:.3f}, rates={RATES}, deviations={deviations})"
        f"  # {len(impostors) // 2} pairs"
    )
    if given.write:
        path = Path(__file__).resolve().parents[1] / "daemon/face_organizer/adapters/opencv_zoo_whitening.npz"
        np.savez(path, mean=final.mean, matrix=final.matrix)
        print(f"{path}: its sha256 for adapters/models.py is {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
