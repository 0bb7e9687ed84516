"""The bench's scores: what every figure of docs/clustering.md rests on."""

from __future__ import annotations

import importlib.util
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).resolve().parents[2] / "bench" / "clustering" / "scores.py"
SPEC = importlib.util.spec_from_file_location("bench_scores", FILE)
assert SPEC is not None
assert SPEC.loader is not None
bench = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = bench
SPEC.loader.exec_module(bench)


def by_hand(who: list[int], label: list[int]) -> tuple[float, float, float, float]:
    """Pairwise and BCubed precision and recall as they are defined: pair by pair, face by face."""
    pairs = list(combinations(range(len(who)), 2))
    true = [who[a] == who[b] for a, b in pairs]
    claimed = [label[a] == label[b] for a, b in pairs]
    both = sum(t and c for t, c in zip(true, claimed, strict=True))
    precision, recall = [], []
    for face in range(len(who)):
        mates = {other for other in range(len(who)) if label[other] == label[face]}
        own = {other for other in range(len(who)) if who[other] == who[face]}
        precision.append(len(mates & own) / len(mates))
        recall.append(len(mates & own) / len(own))
    return both / sum(claimed), both / sum(true), float(np.mean(precision)), float(np.mean(recall))


def test_scores_are_what_counting_every_pair_and_every_face_gives() -> None:
    rng = np.random.default_rng(0)
    who, label = rng.integers(0, 9, 80), rng.integers(0, 12, 80)

    found = bench.scores(who, label)

    expected = by_hand(who.tolist(), label.tolist())
    assert (found.precision, found.recall, found.b_precision, found.b_recall) == pytest.approx(expected)
    assert found.b_f == pytest.approx(2 * expected[2] * expected[3] / (expected[2] + expected[3]))


def test_a_label_below_zero_is_a_face_alone() -> None:
    who = np.array([1, 1, 2, 2, 3])

    found = bench.scores(who, np.array([7, 7, -1, -1, -1]))

    assert found == bench.scores(who, np.array([0, 0, 1, 2, 3]))
    assert (found.clusters, found.persons, found.precision, found.recall) == (4, 1, 1.0, 0.5)


def test_the_truth_itself_scores_one_whatever_its_names() -> None:
    who = np.array([4, 9, 4, 0, 9, 9])

    found = bench.scores(who, 100 - who)

    assert (found.f, found.b_f, found.mean_f, found.persons) == (1.0, 1.0, 1.0, 2)
