"""The elbow's curve on disk."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from face_organizer.adapters.chart import write_elbow

CURVE = {"chosen": 3, "people": [1, 2, 3, 4, 5], "cost": [0.8, 0.5, 0.2, 0.19, 0.18]}


@pytest.fixture(autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path_factory.getbasetemp() / "matplotlib"))


def test_the_curve_is_a_picture_and_json(tmp_path: Path) -> None:
    path = write_elbow(tmp_path, CURVE)

    assert path == tmp_path / "elbow.png"
    assert json.loads((tmp_path / "elbow.json").read_text()) == CURVE
    pixels = cv2.imread(str(path))
    assert pixels.shape[1] > 600
    assert (np.abs(pixels.astype(int) - [40, 39, 214]).sum(axis=2) < 30).any(), "the elbow is marked in red"


def test_a_curve_takes_the_place_of_the_one_before_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_elbow(tmp_path, CURVE)
    first = (tmp_path / "elbow.png").read_bytes()

    write_elbow(tmp_path, {"chosen": 1, "people": [1], "cost": [0.3]})

    assert (tmp_path / "elbow.png").read_bytes() != first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elbow.json", "elbow.png"]
