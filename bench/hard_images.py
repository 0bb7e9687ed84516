#!/usr/bin/env python3
"""How well people are told apart on images that were spoiled on purpose, through the real eyes.

    python bench/hard_images.py PHOTOS HARDEN [--kinds turn dark] [--people 120] [--images 8] [--save DIR] [--load DIR]

PHOTOS: PERSON/PERSON_NNNN.jpg. HARDEN: a Python file with harden(image, kind, rng), which gives one spoiled version of
a BGR uint8 (h, w, 3) image. The people with the most photos are taken, halved by the CRC-32 of their name. Each kind
is clustered by average linkage at the pack's similarity_link_min, and at the bound that is best on the other half; then
pairs of people are split by k-means into two. One Markdown line a kind. --save, --load: keep what was seen, as
DIR/hard-KIND.npz, and cluster it again without looking.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))

from face_organizer.adapters.models import load_pack
from face_organizer.adapters.session import open_sessions
from face_organizer.app.parts import make_eyes, open_detectors
from face_organizer.config import FacesConfig
from face_organizer.pipeline.see import See
from face_organizer.ports import Session
from face_organizer.types import DecodedImage, Float32, ImageRef, Signature

TURNED = ("turn", "rot30", "rot60", "rot90", "rot180")
KINDS = ("clean", *TURNED, "bar_mouth", "bar_eyes", "px24", "px16", "blur", "dark", "tight")
BOUNDS = np.arange(0.26, 0.56, 0.02)
PAIRS = 30


class Counted:
    """A session that counts what it was sent. px: of all its inputs."""

    def __init__(self, session: Session) -> None:
        self.batch_max = session.batch_max
        self.px = self.rows = 0
        self._session = session

    def run(self, batch: Float32) -> list[Float32]:
        self.rows += len(batch)
        self.px += batch.shape[0] * batch.shape[2] * batch.shape[3]
        return self._session.run(batch)


@dataclass(frozen=True)
class Seen:
    """names: (n,). embeddings: (n, d), zeros where no face was seen. quality: (n,).

    looks: of the detector an image, counted in canvases of 160 px; embedded: faces sent to the recogniser an image.
    """

    names: np.ndarray
    embeddings: np.ndarray
    quality: np.ndarray
    founder: np.ndarray
    looks: float
    embedded: float

    @property
    def who(self) -> np.ndarray:
        return np.array([name.rsplit("_", 1)[0] for name in self.names])

    @property
    def half(self) -> np.ndarray:
        return np.array([zlib.crc32(who.encode()) % 2 for who in self.who])


def spoiled(photos: Path, kind: str, harden: Callable[..., np.ndarray], people: int, images: int) -> list[DecodedImage]:
    """The images of the people with the most photos, spoiled and through JPEG as files would be."""
    rng = np.random.default_rng(0)
    files = {folder: sorted(folder.glob("*.jpg")) for folder in sorted(photos.iterdir()) if folder.is_dir()}
    made = []
    for person in sorted(files, key=lambda folder: (-len(files[folder]), folder.name))[:people]:
        for file in files[person][:images]:
            hard = harden(cv2.imread(str(file)), kind, rng)
            jpeg = cv2.imencode(".jpg", hard, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
            pixels = cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
            size = pixels.shape[1], pixels.shape[0]
            made.append(DecodedImage(ImageRef(Path(file.name), Signature(0, 0, 0)), b"", pixels, *size))
    return made


def look(images: list[DecodedImage], eyes: See, detector: Counted, recogniser: Counted) -> Seen:
    detector.px = recogniser.rows = 0
    seen = [one for start in range(0, len(images), 16) for one in eyes(images[start : start + 16])]
    faces = [max(one.faces, key=lambda face: face.quality, default=None) for one in seen]
    d = next(len(face.embedding) for face in faces if face)
    return Seen(
        np.array([one.ref.path.name for one in seen]),
        np.array([face.embedding if face else np.zeros(d, np.float32) for face in faces]),
        np.array([face.quality if face else 0.0 for face in faces]),
        np.array([bool(face and face.founder) for face in faces]),
        detector.px / 160**2 / len(images),
        recogniser.rows / len(images),
    )


def pairwise(who: np.ndarray, label: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F over pairs of images."""
    above = np.triu_indices(len(who), 1)
    same, together = (who[above[0]] == who[above[1]]), (label[above[0]] == label[above[1]])
    both = float((same & together).sum())
    precision, recall = both / max(together.sum(), 1), both / max(same.sum(), 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def by_bound(seen: Seen, half: int, bounds: np.ndarray) -> list[tuple[float, float, float]]:
    """The pairwise scores of average linkage on one half of the people; who was not seen is alone."""
    rows = np.flatnonzero(seen.half == half)
    vectors = seen.embeddings[rows]
    blind = ~vectors.any(axis=1)
    above = np.triu_indices(len(rows), 1)
    tree = linkage(np.maximum(0, 1 - (vectors @ vectors.T)[above]), "average")
    labels = [fcluster(tree, 1 - bound, "distance") for bound in bounds]
    alone = len(rows) + np.arange(len(rows)) + 1
    return [pairwise(seen.who[rows], np.where(blind, alone, label)) for label in labels]


def in_two(vectors: np.ndarray) -> np.ndarray:
    """Spherical k-means with k = 2, started at each face and the one least like it; the best of these."""
    similarity = vectors @ vectors.T
    best, label = -np.inf, np.zeros(len(vectors), int)
    for first in range(len(vectors)):
        centroids = vectors[[first, int(similarity[first].argmin())]]
        for _ in range(20):
            nearest = (vectors @ centroids.T).argmax(axis=1)
            sums = np.stack([vectors[nearest == side].sum(axis=0) for side in (0, 1)])
            centroids = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
        if (total := float(np.linalg.norm(sums, axis=1).sum())) > best:
            best, label = total, nearest
    return label


def of_two(seen: Seen) -> tuple[float, float]:
    """Share of images on the right side, mean and least, over pairs of people with two clusters asked for."""
    people = list(dict.fromkeys(seen.who))
    right = []
    for one, other in itertools.islice(itertools.pairwise(people), PAIRS):
        rows = np.flatnonzero((seen.who == one) | (seen.who == other))
        label = in_two(seen.embeddings[rows])
        straight = ((seen.who[rows] == one) == (label == label[0])).mean()
        right.append(max(straight, 1 - straight))
    return float(np.mean(right)), float(np.min(right))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("photos", type=Path)
    arguments.add_argument("harden", type=Path)
    arguments.add_argument("--kinds", nargs="+", default=KINDS)
    arguments.add_argument("--people", type=int, default=120)
    arguments.add_argument("--images", type=int, default=8)
    arguments.add_argument("--pack", default="opencv-zoo", help="a name, or the path of a folder of networks")
    arguments.add_argument("--models-dir", type=Path)
    arguments.add_argument("--save", type=Path)
    arguments.add_argument("--load", type=Path)
    given = arguments.parse_args()

    pack = load_pack(given.pack, given.models_dir)
    link_min = pack.similarity_link_min
    if not given.load:
        spec = importlib.util.spec_from_file_location("harden", given.harden)
        assert spec is not None, given.harden
        assert spec.loader is not None, given.harden
        hardening = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(hardening)
        detector = Counted(open_detectors(pack, "openvino", count=1, batch_max=16)[0])
        recogniser = Counted(open_sessions(pack.recogniser_path, "openvino", count=1, batch_max=16)[0])
        (eyes,) = make_eyes([detector], [recogniser], FacesConfig(), pack.traits)
    print("| | no face | looks | embedded | quality 5 / 50 % | founders |", end="")
    print(f" F at {link_min}, halves 0 / 1 | F at the other half's best (bound) | two people, mean / least |")
    print("|---" * 9 + "|")
    for kind in given.kinds:
        if given.load:
            kept = np.load(given.load / f"hard-{kind}.npz")
            seen = Seen(*(kept[name] for name in ("names", "embeddings", "quality", "founder")), np.nan, np.nan)
        else:
            images = spoiled(given.photos, kind, hardening.harden, given.people, given.images)
            seen = look(images, eyes, detector, recogniser)
        if given.save:
            kept = {name: getattr(seen, name) for name in ("names", "embeddings", "quality", "founder")}
            np.savez(given.save / f"hard-{kind}.npz", **kept)
        print(row(kind, seen, link_min), flush=True)


def row(kind: str, seen: Seen, link_min: float) -> str:
    blind = int((~seen.embeddings.any(axis=1)).sum())
    low, middle = np.percentile(seen.quality, [5, 50])
    shipped = [by_bound(seen, half, np.array([link_min]))[0][2] for half in (0, 1)]
    curves = [np.array(by_bound(seen, half, BOUNDS))[:, 2] for half in (0, 1)]
    best = [int(curve.argmax()) for curve in curves]
    chosen = " / ".join(f"{curves[half][best[1 - half]]:.3f} ({BOUNDS[best[1 - half]]:.2f})" for half in (0, 1))
    right, least = of_two(seen)
    return (
        f"| {kind} | {blind} of {len(seen.names)} | {seen.looks:.2f} | {seen.embedded:.2f} | {low:.2f} / {middle:.2f} "
        f"| {seen.founder.mean():.3f} | {shipped[0]:.3f} / {shipped[1]:.3f} | {chosen} | {right:.4f} / {least:.4f} |"
    )


if __name__ == "__main__":
    main()
