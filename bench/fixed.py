#!/usr/bin/env python3
"""How well N people are told apart with strangers mixed in: pairs of people, from embeddings alone.

    python bench/fixed.py EMBEDDINGS.npz [--members HARD.npz] [--half odd] [--photos-min 20] [--pairs 40] [--bound .40]

EMBEDDINGS: names (n,) PERSON_NNNN.jpg, embeddings (n, d); who has one photo only is a stranger. --members: the people
themselves from another such file (the same photos spoiled), the strangers still from EMBEDDINGS. People are split in
halves by the CRC-32 of their name: what was chosen on the even half is believed on the odd one. --keep keeps to the
bound; else it is learned. right: in the cluster that holds most of its person.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import zlib
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))

from face_organizer.identity.fixed import cluster_fixed


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    stored = np.load(path)
    people = np.array([name.rsplit("_", 1)[0] for name in stored["names"].tolist()])
    return stored["embeddings"].astype(np.float32), people


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("embeddings", type=Path)
    arguments.add_argument("--members", type=Path)
    arguments.add_argument("--half", choices=["even", "odd"], default="odd")
    arguments.add_argument("--photos-min", type=int, default=20)
    arguments.add_argument("--pairs", type=int, default=40)
    arguments.add_argument("--bound", type=float, default=0.40)
    arguments.add_argument("--keep", action="store_true")
    given = arguments.parse_args()

    vectors, people = load(given.embeddings)
    names, sizes = np.unique(people, return_counts=True)
    lonely = np.flatnonzero(np.isin(people, names[sizes == 1]))
    faces, who = load(given.members or given.embeddings)
    names, sizes = np.unique(who, return_counts=True)
    half = np.array([zlib.crc32(name.encode()) % 2 == (given.half == "odd") for name in names.tolist()])
    pairs = list(itertools.combinations(names[half & (sizes >= given.photos_min)], 2))
    np.random.default_rng(0).shuffle(pairs)
    for share in (0.0, 0.05, 0.2):
        right, shown, worst, out, mixed, bounds = 0, 0, 1.0, 0, 0, []
        for seed, pair in enumerate(pairs[: given.pairs]):
            rng = np.random.default_rng(seed)
            rows = np.flatnonzero(np.isin(who, pair))
            strangers = rng.choice(lonely, int(np.ceil(share * len(rows))), replace=False)
            order = rng.permutation(len(rows) + len(strangers))
            mixture = np.concatenate([faces[rows], vectors[strangers]])[order]
            truth = np.concatenate([np.searchsorted(pair, who[rows]), np.full(len(strangers), 2)])[order]
            found = cluster_fixed(mixture, 2, similarity_min=given.bound, learn=not given.keep, seed=seed)
            hits = max(
                int((found.labels == (truth if straight else 1 - truth))[truth < 2].sum()) for straight in (0, 1)
            )
            right, shown, worst = right + hits, shown + len(rows), min(worst, hits / len(rows))
            out, mixed = out + int((found.labels[truth == 2] == -1).sum()), mixed + len(strangers)
            bounds.append(found.similarity_min)
        told = f"strangers out {out / mixed:.3f} of {mixed}" if mixed else "no strangers"
        print(
            f"strangers {share:.2f}: right {right / shown:.4f} of {shown}, worst pair {worst:.3f}; {told}; "
            f"bound {min(bounds):.2f} to {max(bounds):.2f}"
        )


if __name__ == "__main__":
    main()
