"""What other programs are told of an image."""

from __future__ import annotations

import numpy as np
import pytest

from face_organizer.adapters.xmp import regions_in
from face_organizer.app.outside import _packet
from face_organizer.identity.regions import upright


@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_are_told_of_the_image_as_it_is_stored(orientation: int) -> None:
    row = {"size_px": [300, 400], "faces": [{"name": "Ann", "box": [30.0, 40.0, 90.0, 200.0]}]}

    text = _packet(row, orientation)

    (region,) = regions_in(text.encode())
    width, height = (400, 300) if orientation >= 5 else (300, 400)
    assert f'stDim:w="{width}" stDim:h="{height}"' in text
    shares = upright(np.array([region.box], np.float32), orientation)
    assert np.allclose(shares, [[0.1, 0.1, 0.3, 0.5]], atol=1e-5)
