"""How well people are told apart, by the real program on measured data; minutes long, so only when asked for:

scripts/test tests/system/test_told_apart.py -m long
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pictures import LFW_DEV, NO_LFW
from process import as_json

from face_organizer.adapters.store import open_store

EVAL = LFW_DEV.parents[1] / "eval"

pytestmark = [pytest.mark.long, pytest.mark.timeout(600), pytest.mark.skipif(not LFW_DEV.is_dir(), reason=NO_LFW)]

TILE_PX = 180
WITHIN_S = 550.0


def evaluate(script: str, *arguments: str | Path) -> str:
    return subprocess.run(
        [sys.executable, EVAL / script, *arguments], check=True, capture_output=True, text=True
    ).stdout


def sorted_by(people: str, inbox: Path, library: Path) -> dict[str, Any]:
    as_json("run", "--once", "--inbox", inbox, "--library", library, "--people", people, within_s=WITHIN_S)
    return dict(json.loads(evaluate("score_library.py", library)))


@pytest.mark.parametrize(
    ("kind", "f_min"),
    [
        ("clean", 0.985),
        ("turn", 0.97),
        ("rot90", 0.98),
        ("rot180", 0.98),
        ("bar_mouth", 0.95),
        ("bar_eyes", 0.88),
        ("px24", 0.92),
        ("px16", 0.60),
        ("blur", 0.70),
        ("dark", 0.95),
        ("tight", 0.97),
    ],
)
def test_sixty_people_spoiled_in_one_way_are_still_told_apart(kind: str, f_min: float, tmp_path: Path) -> None:
    evaluate("harden.py", LFW_DEV, tmp_path / "inbox", "--how", kind, "--people", "60", "--images", "8")

    scores = sorted_by("auto", tmp_path / "inbox", tmp_path / "library")

    assert scores["pairwise"]["f"] >= f_min, scores


@pytest.mark.parametrize("kind", ["clean", "turn", "rot60", "rot90", "bar_eyes", "bar_mouth", "px16", "blur", "dark"])
def test_two_people_are_told_apart_however_their_photos_are_spoiled(kind: str, tmp_path: Path) -> None:
    evaluate("harden.py", LFW_DEV, tmp_path / "inbox", "--how", kind, "--people", "2", "--images", "100")

    scores = sorted_by("2", tmp_path / "inbox", tmp_path / "library")

    assert scores["bcubed"]["p"] == 1.0
    assert scores["placed"] >= 0.99, scores


def test_everybody_in_photos_of_several_people_is_found_and_nobody_twice_in_one(tmp_path: Path) -> None:
    photos = dict(group_photos(tmp_path / "inbox", seed=0))
    as_json("run", "--once", "--inbox", tmp_path / "inbox", "--library", tmp_path / "library", within_s=WITHIN_S)

    truth: list[str] = []
    found: list[str] = []
    store = open_store(tmp_path / "library" / ".face-organizer" / "truth", "", 0)
    with store.read() as txn:
        photo_of = {file.image_id: photos[file.name.decode()] for _, file in txn.files.items()}
        for image_id, image in txn.images.items():
            persons = [txn.assignments.get(face_id).person_id for face_id in image.face_ids]
            known = [person for person in persons if person]
            assert len(known) == len(set(known)), "a person twice in one photo"
            for face_id, person in zip(image.face_ids, persons, strict=True):
                if name := shown_at(photo_of[image_id], txn.faces.get(face_id).box):
                    truth.append(name)
                    found.append(str(person) if person else f"alone {face_id}")
    store.close()

    assert len(truth) >= sum(map(len, photos.values()))
    assert bcubed_f(truth, found) >= 0.9


def group_photos(inbox: Path, seed: int) -> Iterator[tuple[str, list[tuple[int, int, str]]]]:
    """Photos of two to five people side by side: (file name, [(left px, top px, name)])."""
    rng = random.Random(seed)
    inbox.mkdir()
    people = [sorted(folder.glob("*.jpg"))[:10] for folder in sorted(LFW_DEV.iterdir())]
    pool = [path for paths in people if len(paths) >= 6 for path in paths]
    rng.shuffle(pool)
    number = 0
    while len({path.parent for path in pool}) >= 5:
        by_person = {path.parent: path for path in pool}
        chosen = rng.sample(sorted(by_person.values()), rng.randint(2, 5))
        pool = [path for path in pool if path not in chosen]
        canvas = np.full((2 * TILE_PX, 3 * TILE_PX, 3), 120, np.uint8)
        tiles = []
        for place, path in enumerate(chosen):
            x, y = place % 3 * TILE_PX, place // 3 * TILE_PX
            canvas[y : y + TILE_PX, x : x + TILE_PX] = cv2.resize(cv2.imread(str(path)), (TILE_PX, TILE_PX))
            tiles.append((x, y, path.parent.name))
        number += 1
        cv2.imwrite(str(inbox / f"group{number}.png"), canvas)
        yield f"group{number}.png", tiles


def shown_at(tiles: list[tuple[int, int, str]], box: tuple[float, ...]) -> str:
    """Whose photo the middle of a face is in the middle of, "" for a passer-by."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    for left, top, name in tiles:
        if abs(x - left - TILE_PX / 2) < TILE_PX / 4 and abs(y - top - TILE_PX / 2) < TILE_PX / 4:
            return name
    return ""


def bcubed_f(truth: list[str], found: list[str]) -> float:
    cells, of_truth, of_found = Counter(zip(truth, found, strict=True)), Counter(truth), Counter(found)
    precision = sum(count**2 / of_found[key[1]] for key, count in cells.items()) / len(truth)
    recall = sum(count**2 / of_truth[key[0]] for key, count in cells.items()) / len(truth)
    return 2 * precision * recall / (precision + recall)
