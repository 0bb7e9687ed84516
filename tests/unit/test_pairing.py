"""The one-to-one choice with the largest sum."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from face_organizer.identity.pairing import paired


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 3), (3, 2), (4, 4), (3, 5)])
def test_no_other_choice_has_a_larger_sum(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape)
    for _ in range(20):
        gain = rng.integers(0, 6, shape) + rng.random(shape) * 1e-3

        rows, columns = paired(gain)

        assert len(set(rows.tolist())) == len(set(columns.tolist())) == min(shape)
        assert rows.tolist() == sorted(rows.tolist())
        wide = gain if shape[0] <= shape[1] else gain.T
        every = [wide[range(min(shape)), list(chosen)].sum() for chosen in permutations(range(max(shape)), min(shape))]
        assert gain[rows, columns].sum() == pytest.approx(max(every))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nobody_goes_with_nobody(shape: tuple[int, int]) -> None:
    rows, columns = paired(np.zeros(shape))

    assert (len(rows), len(columns)) == (0, 0)
