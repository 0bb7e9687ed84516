#!/usr/bin/env python3
"""How long a search takes in a large gallery, and what it finds of what an exhaustive search does.

    python bench/search.py [--faces 500000] [--dimensions 128] [--threads 1]

The gallery of bench/clustering, in the daemon's index, trained and tuned as the daemon does it. The probes are new
faces of people who are in it, one at a time, for the 96 nearest faces (what `search --top 20` asks for).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from bench.clustering.galleries import synthetic

from face_organizer.adapters.index import FaceIndex
from face_organizer.adapters.recall import NEAREST
from face_organizer.pipeline.keep_index import PROBES

NEW, ASKED_FOR = 1000, 96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=500_000)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    vectors, _ = synthetic(given.faces + NEW, given.dimensions, largest=0, seed=0)
    probes, vectors = vectors[:NEW].astype(np.float32), vectors[NEW : NEW + given.faces]

    def source() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(vectors), 16_384):
            part = vectors[start : start + 16_384].astype(np.float32)
            yield np.arange(start + 1, start + 1 + len(part)), part

    index = FaceIndex(given.dimensions, flat_max_faces=20_000, retrain_factor=4, nprobe=None, threads=given.threads)
    start = time.perf_counter()
    nothing = np.empty(0, np.int64), np.empty((0, given.dimensions), np.float32)
    index.swap(index.train(source, len(vectors)), *nothing)
    print(f"trained in {time.perf_counter() - start:.0f} s")
    rows = np.sort(np.random.default_rng(1).permutation(len(vectors))[:PROBES])
    exact = [index.search(probe[None], NEAREST, thorough=True)[0][0] for probe in probes]
    start = time.perf_counter()
    tuned = index.tune(rows + 1, vectors[rows].astype(np.float32))
    print(f"tuned in {time.perf_counter() - start:.1f} s: {tuned}")
    for name, thorough in (("search", True), ("enrolment", False)):
        took, found = [], 0
        for probe, truth in zip(probes, exact, strict=True):
            start = time.perf_counter()
            face_ids, _ = index.search(probe[None], ASKED_FOR, thorough=thorough)
            took.append(time.perf_counter() - start)
            found += len(np.intersect1d(face_ids[0, :NEAREST], truth))
        p50, p99 = np.percentile(took, [50, 99]) * 1e3
        print(f"{name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, recall@{NEAREST} {found / NEW / NEAREST:.4f}")


if __name__ == "__main__":
    main()
