"""Who resembles whom: the graph of nearest neighbours that clustering starts from.

Room:    identity (thinks)
Imports: types, numpy, scipy
"""

from __future__ import annotations

import numpy as np
import scipy

from face_organizer.types import Float32, Int64

_GAPS_MAX = 16
"""Face ids up to so many times the number of faces are looked up in a table: ten times faster than searching."""


def symmetric_graph(
    face_ids: Int64, neighbours: Int64, similarities: Float32, similarity_min: float
) -> scipy.sparse.csr_array:
    """The undirected graph of the faces' nearest neighbours.

    Two faces are linked when either names the other at or above the bound; where both do, the larger similarity holds.
    A neighbour that is not among face_ids, and a face that names itself, are left out.

    face_ids:     int64 (n,), distinct, in any order
    neighbours:   int64 (n, k) face ids, -1 for none
    similarities: float32 (n, k), > 0 at the bound
    returns:      csr_array (n, n) float32, symmetric, zero diagonal; row i is face_ids[i]
    """
    n = len(face_ids)
    assert neighbours.shape == similarities.shape, (neighbours.shape, similarities.shape)
    assert len(neighbours) == n, (neighbours.shape, n)
    assert similarity_min > 0, similarity_min
    named = np.flatnonzero(similarities >= similarity_min)
    rows = (named // neighbours.shape[1]).astype(np.int32)
    columns = _positions(face_ids, neighbours.ravel()[named]).astype(np.int32)
    kept = (columns >= 0) & (columns != rows)
    weights = similarities.ravel()[named[kept]].astype(np.float32, copy=False)
    directed = scipy.sparse.csr_array((weights, (rows[kept], columns[kept])), shape=(n, n))
    del named, rows, columns, kept, weights  # ten million of each
    return directed.maximum(directed.T.tocsr())


def _positions(face_ids: Int64, wanted: Int64) -> Int64:
    """Where each wanted id stands in face_ids, -1 if it does not."""
    if len(face_ids) == 0:
        return np.full(len(wanted), -1, np.int64)
    last = int(face_ids.max())
    if last < _GAPS_MAX * len(face_ids) and face_ids.min() >= 0:  # ids without large gaps: look them up, not search
        at = np.full(last + 2, -1, np.int64)
        at[face_ids] = np.arange(len(face_ids))
        return at[np.where((wanted >= 0) & (wanted <= last), wanted, last + 1)]
    order = np.argsort(face_ids, kind="stable")
    place = np.searchsorted(face_ids, wanted, sorter=order)
    found = order[np.minimum(place, len(face_ids) - 1)]
    return np.where(face_ids[found] == wanted, found, -1)
