"""A person falls into the parts that its faces suggest: one intruder is a part, and one person is none."""

from __future__ import annotations

import numpy as np
import pytest
from support import faces_of

from face_organizer.identity import falling_apart
from face_organizer.identity.falling_apart import parts_suggested


def parted(vectors: np.ndarray, image_of: np.ndarray | None = None) -> list[int]:
    return parts_suggested(vectors, image_of, 0.35, neighbours=20, seed=0).tolist()


def alike(one: list[int], other: np.ndarray) -> bool:
    """Whether both part the faces in the same way, whatever they call the parts."""
    a, b = np.asarray(one), np.asarray(other)
    return bool(((a[:, None] == a) == (b[:, None] == b)).all())


@pytest.mark.parametrize(
    "sizes", [[5, 1], [1, 5], [1, 1], [3, 3], [6, 6], [20, 1], [6, 1, 1], [4, 4, 4]], ids=lambda sizes: str(sizes)
)
def test_people_who_were_taken_for_one_are_told_apart_and_an_intruder_stands_alone(sizes: list[int]) -> None:
    for seed in range(5):
        vectors, who = faces_of(sizes, spread=0.8, seed=seed)
        assert alike(parted(vectors), who), seed


@pytest.mark.parametrize("faces", [2, 3, 6, 20, 100])
def test_the_faces_of_one_person_suggest_no_parts(faces: int) -> None:
    for seed in range(5):
        vectors, _ = faces_of([faces], spread=0.8, seed=seed)
        assert parted(vectors) == [0] * faces, seed


def test_two_faces_of_one_image_are_in_two_parts() -> None:
    vectors, _ = faces_of([4], spread=0.4)

    parts = parted(vectors, np.array([1, 2, 3, 3]))

    assert parts[2] != parts[3]


def test_of_many_faces_some_tell_the_parts_and_the_rest_join_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(falling_apart, "SAMPLE_FACES", 60)
    vectors, who = faces_of([200, 100], spread=0.8)

    assert alike(parted(vectors), who)
