"""Inverted files by FAISS: where their lists lie (spherical k-means), and the empty file with those lists.

Room:    adapters (touches FAISS)
Imports: types, faiss
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss

from face_organizer.types import Float32

Hold = Callable[[Any], Any]
"""Takes an index of the processor's to where its work shall be done."""


def here(index: Any) -> Any:
    """It stays on the processor."""
    return index


def centroids_of(sample: Float32, count: int, *, rounds: int, threads: int = 1, hold: Hold = here) -> Float32:
    """sample: float32 (n, d) unit rows, n >= count; returns float32 (count, d) unit rows.

    hold: where each round finds the nearest centroid of every row, which is nearly all of the work.
    """
    faiss.omp_set_num_threads(threads)
    d = sample.shape[1]
    clustering = faiss.Clustering(d, count)
    clustering.niter, clustering.spherical, clustering.verbose = rounds, True, False
    clustering.min_points_per_centroid = 1
    clustering.train(sample, hold(faiss.IndexFlatIP(d)))
    found: Float32 = faiss.vector_to_array(clustering.centroids).reshape(count, d)
    return found


def inverted_file(centroids: Float32, nprobe: int) -> Any:
    """An empty inverted file with these lists, of which a search looks through nprobe. It keeps float16.

    centroids: float32 (lists, d) unit rows.
    """
    count, d = centroids.shape
    quantizer = faiss.IndexFlatIP(d)
    quantizer.add(centroids)
    half = faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexIVFScalarQuantizer(quantizer, d, count, half, faiss.METRIC_INNER_PRODUCT, False)
    index.train(centroids)  # it has its lists: this only says so
    index.nprobe = nprobe
    return index
