#!/usr/bin/env python3
"""FAISS's heavy jobs on the processor and on cards, side by side, and whether the measured rule chose well.

    python bench/bulk.py [--faces 500000] [--dimensions 512] [--on cuda:0,cuda:1 | cpu]

The gallery of bench/clustering. "cpu": the processor stands in for a card, and does it in the card's way.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from bench.clustering.galleries import synthetic

from face_organizer.adapters.bulk import Bulk
from face_organizer.adapters.cards import neighbours_by_lists, on_cards
from face_organizer.adapters.centroids import centroids_of
from face_organizer.adapters.neighbours import neighbours_of_all

K, SIMILARITY_MIN = 20, 0.2


class Printed:
    """A log on stdout."""

    def info(self, event: str, **fields: Any) -> None:
        print(event, *(f"{name}={value}" for name, value in fields.items()))

    warning = error = info


def timed(name: str, work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    given = work()
    seconds = time.perf_counter() - began
    print(f"{name:<12} {seconds:8.2f} s")
    return seconds, given


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=500_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--on", default="cpu")
    given = parser.parse_args()
    vectors, _ = synthetic(given.faces, given.dimensions, largest=0, seed=0)
    count = int(4 * np.sqrt(len(vectors)))
    sample = vectors[:: max(1, len(vectors) // (48 * count))].astype(np.float32)
    image_of, cards = np.arange(len(vectors)), given.on.split(",")
    hold = on_cards(cards)

    print(f"\nk-means of {len(sample)} rows, {count} lists, 10 rounds")
    one, _ = timed("processor", lambda: centroids_of(sample, count, rounds=10))
    other, _ = timed(given.on, lambda: centroids_of(sample, count, rounds=10, hold=hold))
    print(f"ratio {one / other:.2f}")
    bulk = Bulk(lambda: cards, Printed())
    timed("by the rule", lambda: bulk.centroids(sample, count, rounds=10))

    print(f"\n{K} neighbours of each of {len(vectors)} faces")
    how = {"similarity_min": SIMILARITY_MIN, "image_of": image_of}
    one, (rows, _) = timed("processor", lambda: neighbours_of_all(vectors, K, **how))
    other, (others, _) = timed(given.on, lambda: neighbours_by_lists(vectors, K, **how, hold=hold))
    wanted = rows >= 0
    same = np.mean(
        [len(np.intersect1d(a[b], c)) / max(1, b.sum()) for a, b, c in zip(rows, wanted, others, strict=True)]
    )
    print(f"ratio {one / other:.2f}; {same:.4f} of the processor's neighbours are among the card's")
    timed("by the rule", lambda: bulk.neighbours(vectors, K, **how))


if __name__ == "__main__":
    main()
