#!/usr/bin/env python3
"""How well the default pack tells two faces apart, by how it is fed.

    python bench/verification.py PHOTOS PAIRS [--models-dir DIR]

PHOTOS: PERSON/PERSON_NNNN.jpg. PAIRS: as LFW's pairsDevTest.txt. Prints a Markdown table, a line for each way of
feeding the networks. accuracy: over ten folds, the bound chosen on the other nine. EER: where both errors are equal.
kept: share of all genuine pairs among the photos above the bound that lets 1 in 1,000 or 1 in 10,000 of all impostor
pairs through.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))

from face_organizer.adapters.models import load_pack
from face_organizer.adapters.session import open_sessions
from face_organizer.ports import Session
from face_organizer.traits import DetectorTraits, Scaling
from face_organizer.types import UInt8
from face_organizer.vision import align, detect, embed

RAW = Scaling(mean=0.0, std=1.0)


@dataclass(frozen=True)
class Way:
    """How an image is fed to the networks. side_px: of the detector's canvas, 0 for no detection at all."""

    name: str
    side_px: int = 160
    feed: Callable[[np.ndarray], np.ndarray] = field(default=lambda batch: batch)


WAYS = (
    Way("160 px canvas, RGB 0-255"),
    Way("160 px canvas, BGR 0-255", feed=lambda batch: batch[:, ::-1]),
    Way("160 px canvas, RGB (x - 127.5) / 128", feed=lambda batch: (batch - 127.5) / 128),
    Way("128 px canvas, RGB 0-255", 128),
    Way("192 px canvas, RGB 0-255", 192),
    Way("224 px canvas, RGB 0-255", 224),
    Way("256 px canvas, RGB 0-255", 256),
    Way("320 px canvas, RGB 0-255", 320),
    Way("no alignment (centre), RGB 0-255", 0),
)


def aligned_faces(
    pictures: Sequence[UInt8], side_px: int, detector: Session, traits: DetectorTraits
) -> tuple[list[UInt8], int]:
    """The main face of each picture, aligned; and how many pictures showed none."""
    if not side_px:
        return [align.centred(picture[34:116, 34:116]) for picture in pictures], 0
    faces, missed = [], 0
    for picture in pictures:
        canvas = detect.letterbox(picture, side_px)
        outputs = detector.run(detect.network_input([canvas], traits.kind))
        (found,) = detect.decode(outputs, *canvas.pixels.shape[:2], traits)
        if found:
            main = detect.main_face([detect.to_image(one, canvas) for one in found], *picture.shape[:2])
            faces.append(align.aligned(picture, main.landmarks))
        else:
            faces.append(align.centred(picture))
            missed += 1
    return faces, missed


def embeddings_of(faces: Sequence[UInt8], way: Way, recogniser: Session) -> np.ndarray:
    step = recogniser.batch_max
    batches = (way.feed(embed.network_input(faces[start : start + step], RAW)) for start in range(0, len(faces), step))
    return np.concatenate([embed.unit_rows(recogniser.run(batch)[0]) for batch in batches])


def read_pairs(path: Path, rows: dict[str, int]) -> tuple[np.ndarray, np.ndarray, int]:
    """Row pairs (n, 2), whether each is one person (n,), and how many pairs lack a photo."""
    pairs, same, absent = [], [], 0
    for line in path.read_text().splitlines()[1:]:
        words = line.split("\t")
        first, second = (words[:2], [words[0], words[2]]) if len(words) == 3 else (words[:2], words[2:])
        names = [f"{person}_{int(number):04d}" for person, number in (first, second)]
        if all(name in rows for name in names):
            pairs.append([rows[name] for name in names])
            same.append(len(words) == 3)
        else:
            absent += 1
    return np.array(pairs), np.array(same), absent


def best_bound(similarities: np.ndarray, same: np.ndarray) -> float:
    candidates = np.sort(similarities)
    right = [((similarities >= bound) == same).mean() for bound in candidates]
    return float(candidates[int(np.argmax(right))])


def ten_folds(similarities: np.ndarray, same: np.ndarray) -> tuple[float, float]:
    """Accuracy over ten folds, and its spread over them."""
    fold = np.random.default_rng(0).permutation(len(same)) % 10
    right = []
    for held_out in range(10):
        bound = best_bound(similarities[fold != held_out], same[fold != held_out])
        right.append(((similarities >= bound) == same)[fold == held_out].mean())
    return float(np.mean(right)), float(np.std(right))


def equal_error_rate(similarities: np.ndarray, same: np.ndarray) -> float:
    bounds = np.sort(similarities)
    missed = np.array([(similarities[same] < bound).mean() for bound in bounds])
    matched = np.array([(similarities[~same] >= bound).mean() for bound in bounds])
    at = int(np.argmin(np.abs(missed - matched)))
    return float((missed[at] + matched[at]) / 2)


def kept(embeddings: np.ndarray, who: np.ndarray, false_match_rate: float) -> tuple[float, float]:
    """(share of genuine pairs kept, the bound) at a false match rate, over all pairs of photos."""
    upper = np.triu_indices(len(who), 1)
    similarities, same = (embeddings @ embeddings.T)[upper], who[upper[0]] == who[upper[1]]
    bound = float(np.quantile(similarities[~same], 1 - false_match_rate))
    return float((similarities[same] > bound).mean()), bound


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("photos", type=Path)
    arguments.add_argument("pairs", type=Path)
    arguments.add_argument("--models-dir", type=Path)
    given = arguments.parse_args()

    pack = load_pack("opencv-zoo", given.models_dir)
    detector, recogniser = (
        open_sessions(path, "openvino", count=1, batch_max=8)[0] for path in (pack.detector_path, pack.recogniser_path)
    )
    files = sorted(given.photos.glob("*/*.jpg"))
    who = np.unique([file.parent.name for file in files], return_inverse=True)[1]
    pictures = [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files]
    pairs, same, absent = read_pairs(given.pairs, {file.stem: row for row, file in enumerate(files)})
    print(f"{len(files)} photos, {len(same)} pairs ({absent} left out: a photo is not there)\n")
    print("| fed | no face | accuracy | best bound | EER | kept at FMR 1e-3 (bound) | 1e-4 (bound) |")
    print("|---|---|---|---|---|---|---|")
    for way in WAYS:
        faces, missed = aligned_faces(pictures, way.side_px, detector, pack.traits.detector)
        embeddings = embeddings_of(faces, way, recogniser)
        similarities = (embeddings[pairs[:, 0]] * embeddings[pairs[:, 1]]).sum(axis=1)
        accuracy, spread = ten_folds(similarities, same)
        thousand, ten_thousand = (kept(embeddings, who, rate) for rate in (1e-3, 1e-4))
        print(
            f"| {way.name} | {missed} | {accuracy:.4f} +- {spread:.4f} | {best_bound(similarities, same):.3f} "
            f"| {equal_error_rate(similarities, same):.4f} | {thousand[0]:.4f} ({thousand[1]:.3f}) "
            f"| {ten_thousand[0]:.4f} ({ten_thousand[1]:.3f}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
