"""What every device is held to before it is trusted."""

from __future__ import annotations

import numpy as np

from face_organizer.vision.proof import SIMILARITY_MIN, proof_faces, similarity_of


def test_the_faces_of_the_proof_are_four_and_differ() -> None:
    faces = proof_faces()

    assert [face.shape for face in faces] == [(112, 112, 3)] * 4
    for row, face in enumerate(faces):
        assert face.std() > 20
        for other in faces[:row]:
            assert np.abs(face.astype(int) - other).mean() > 5


def test_the_worst_face_decides_and_what_is_no_answer_never_agrees() -> None:
    expected = np.eye(4, 128, dtype=np.float32) + 0.1
    off = expected.copy()
    off[2, 60:90] += 0.5

    assert similarity_of(2 * expected, expected) > SIMILARITY_MIN
    assert similarity_of(off, expected) < 0.9
    assert similarity_of(expected[:3], expected) == -1
    assert similarity_of(np.full_like(expected, np.nan), expected) == -1
    assert similarity_of(np.zeros_like(expected), expected) == 0
