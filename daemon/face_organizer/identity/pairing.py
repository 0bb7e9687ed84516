"""Who goes with whom, one to one, so that the sum is largest.

Room:    identity (thinks)
Imports: types, numpy, scipy
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy  # its parts are loaded where they are first used: half a second, for which no start has to wait
from numpy.typing import NDArray

from face_organizer.types import Int64


def paired(gain: NDArray[np.floating[Any]]) -> tuple[Int64, Int64]:
    """The rows and columns that go together (Kuhn-Munkres): as many as there are of whichever are fewer.

    gain: float (n, m); returns: int64 (min(n, m),) twice, the rows in ascending order
    """
    if gain.size == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    if len(gain) <= gain.shape[1]:
        best = gain.argmax(axis=1)
        if len(np.unique(best)) == len(best):  # as nearly always: no two want the same
            return np.arange(len(best)), best
    return scipy.optimize.linear_sum_assignment(gain, maximize=True)  # type: ignore[no-any-return]
