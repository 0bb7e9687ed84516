#!/usr/bin/env python3
"""How well N people are told apart with strangers mixed in: pairs of people, from embeddings alone.

    python bench/fixed.py EMBEDDINGS.npz [--members HARD.npz ...] [--half odd] [--photos 8 40] [--pairs 40]

EMBEDDINGS as bench/embed.py makes them (of PERSON_NNNN.jpg); who has one photo only is a stranger. --members: the
people themselves from other such files (the same photos spoiled), one table line each, the strangers still from
EMBEDDINGS. --photos: people with so many at least, so many of them at most. People are split in halves by the CRC-32
of their name, strangers too: what was chosen on the even half is believed on the odd one. --keep keeps to the bound;
else it is learned. right: in the cluster that holds most of its person.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))

from face_organizer.identity.fixed import cluster_fixed

SHARES = (0.0, 0.05, 0.2)


@dataclass(frozen=True)
class Seen:
    """vectors: float32 (n, d), unit rows; who: (n,); founder: bool (n,)."""

    vectors: np.ndarray
    who: np.ndarray
    founder: np.ndarray

    def of(self, rows: np.ndarray) -> Seen:
        return Seen(self.vectors[rows], self.who[rows], self.founder[rows])


def load(path: Path, half: str) -> Seen:
    """One half of the people."""
    stored = np.load(path)
    who = np.array([name.rsplit("_", 1)[0] for name in stored["names"].tolist()])
    seen = Seen(stored["embeddings"].astype(np.float32), who, stored["founder"])
    return seen.of(np.array([zlib.crc32(name.encode()) % 2 == (half == "odd") for name in who.tolist()]))


@dataclass(frozen=True)
class Score:
    """Counts over many pairs. swapped: of what is not right, what lies with the other person."""

    right: int = 0
    swapped: int = 0
    shown: int = 0
    out: int = 0
    strangers: int = 0
    worst: float = 1.0
    bound: tuple[float, float] = (1.0, 0.0)


def score(members: Seen, lonely: Seen, share: float, given: argparse.Namespace) -> Score:
    least, most = given.photos
    names, sizes = np.unique(members.who, return_counts=True)
    pairs = list(itertools.combinations(names[sizes >= least], 2))
    np.random.default_rng(0).shuffle(pairs)
    total = Score()
    for seed, pair in enumerate(pairs[: given.pairs]):
        rng = np.random.default_rng(seed)
        rows = np.concatenate([rng.permutation(np.flatnonzero(members.who == name))[:most] for name in pair])
        people = members.of(rows)
        strangers = lonely.of(rng.choice(len(lonely.who), int(np.ceil(share * len(rows))), replace=False))
        order = rng.permutation(len(rows) + len(strangers.who))
        truth = np.append(np.searchsorted(pair, people.who), np.full(len(strangers.who), 2))[order]
        labels, bound = labelled(people, strangers, order, seed, given)
        hits = [int((labels == (truth if straight else 1 - truth))[truth < 2].sum()) for straight in (1, 0)]
        right, swapped = max(hits), min(hits)
        total = Score(
            total.right + right,
            total.swapped + swapped,
            total.shown + len(rows),
            total.out + int((labels[truth == 2] == -1).sum()),
            total.strangers + len(strangers.who),
            min(total.worst, right / len(rows)),
            (min(total.bound[0], bound), max(total.bound[1], bound)),
        )
    return total


def labelled(
    people: Seen, strangers: Seen, order: np.ndarray, seed: int, given: argparse.Namespace
) -> tuple[np.ndarray, float]:
    vectors = np.concatenate([people.vectors, strangers.vectors])[order]
    founder = np.append(people.founder, strangers.founder)[order]
    found = cluster_fixed(vectors, 2, similarity_min=given.bound, learn=not given.keep, seed=seed, founder=founder)
    return found.labels, found.similarity_min


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("embeddings", type=Path)
    arguments.add_argument("--members", type=Path, nargs="+")
    arguments.add_argument("--half", choices=["even", "odd"], default="odd")
    arguments.add_argument("--photos", type=int, nargs=2, default=(8, 40), metavar=("MIN", "MAX"))
    arguments.add_argument("--pairs", type=int, default=40)
    arguments.add_argument("--bound", type=float, default=0.32)
    arguments.add_argument("--keep", action="store_true")
    given = arguments.parse_args()

    everybody = load(given.embeddings, given.half)
    names, sizes = np.unique(everybody.who, return_counts=True)
    lonely = everybody.of(np.flatnonzero(np.isin(everybody.who, names[sizes == 1])))
    print(
        "| | "
        + " | ".join(f"{share:.0%} strangers: right, swapped, worst pair, out" for share in SHARES)
        + " | bound |"
    )
    print("|---" * (len(SHARES) + 2) + "|")
    for path in given.members or [given.embeddings]:
        members = load(path, given.half)
        scores = [score(members, lonely, share, given) for share in SHARES]
        cells = [
            f"{each.right / each.shown:.4f}, {each.swapped / each.shown:.4f}, {each.worst:.2f}"
            + (f", {each.out / each.strangers:.3f} of {each.strangers}" if each.strangers else "")
            for each in scores
        ]
        low, high = min(each.bound[0] for each in scores), max(each.bound[1] for each in scores)
        print(f"| {path.stem} | {' | '.join(cells)} | {low:.2f} to {high:.2f} |", flush=True)


if __name__ == "__main__":
    main()
