"""The recogniser's door."""

from __future__ import annotations

import numpy as np
import pytest
from packs import RAW

from face_organizer.errors import ModelError
from face_organizer.types import Whitening
from face_organizer.vision import embed


def test_the_recogniser_is_fed_rgb_from_0_to_255() -> None:
    red = np.zeros((112, 112, 3), np.uint8)
    red[..., 0] = 255

    batch = embed.network_input([red, red // 5], RAW)

    assert batch.shape == (2, 3, 112, 112)
    assert batch.dtype == np.float32
    assert [channel.max() for channel in batch[0]] == [255, 0, 0]
    assert batch[1].max() == 51


def test_embeddings_lie_on_the_unit_sphere_and_cannot_be_changed() -> None:
    raw = np.random.default_rng(0).normal(0, 30, (5, 128)).astype(np.float32)

    unit = embed.unit_rows(raw)

    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    assert unit.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        unit[0, 0] = 1


def test_whitening_takes_out_what_all_faces_share_and_what_one_person_varies_in() -> None:
    shared, varies = np.eye(4, dtype=np.float32)[:2]
    raw = np.array([[3, 2, 1, 0], [3, -2, 1, 0], [3, 2, -1, 0]], np.float32)
    whitening = Whitening(shared * 0.8, np.diag(1 - 0.99 * varies))

    plain, white = embed.unit_rows(raw), embed.unit_rows(raw, whitening)

    assert plain[0] @ plain[2] > plain[0] @ plain[1]  # spoiled alike, they look like one person
    assert white[0] @ white[1] > 0.99
    assert white[0] @ white[2] < 0
    np.testing.assert_allclose(np.linalg.norm(white, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("broken", [np.nan, np.inf, 0.0])
def test_an_embedding_without_a_direction_is_refused(broken: float) -> None:
    raw = np.ones((2, 4), np.float32)
    raw[1] = broken

    with pytest.raises(ModelError, match="not finite"):
        embed.unit_rows(raw)
