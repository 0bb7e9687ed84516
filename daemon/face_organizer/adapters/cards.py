"""FAISS's heavy jobs on graphics cards, in a process of its own: `python -m face_organizer.adapters.cards`.

Room:    adapters (touches FAISS)
Imports: types, centroids, neighbours, faiss, numpy, stdlib

A process of its own, because FAISS ends the whole process where CUDA refuses something (a card that its build has no
code for), because its CUDA may be another than ONNX Runtime's, and because the memory of the card is free again when
it ends. What it reads on stdin and writes to stdout are pickles between a process and its child, nothing from outside.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from time import perf_counter
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from face_organizer.adapters.centroids import Hold, centroids_of, here, inverted_file
from face_organizer.adapters.neighbours import LISTS_PROBED, Vectors, lists_of, neighbours_of_all
from face_organizer.types import Float32, Int64

_ROWS_AT_ONCE = 8_192
_SELECTED_MAX = 2_048
"""So many of the nearest FAISS's kernels find at most (faiss/gpu/utils/DeviceDefs.cuh)."""
_SCRATCH_BYTES = 512 << 20
"""Of each card for what is under way: FAISS takes 1.5 GB otherwise, beside the networks."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to do, by a name of JOBS, and with what. size: in units of its kind, for comparing jobs of one name."""

    name: str
    arguments: Mapping[str, Any]
    size: float

    def timed(self, way: Callable[..., Any], times: int = 1, **more: Any) -> tuple[float, Any]:
        """The seconds of the quickest of so many times, for others may be at work beside it; and what the last gave."""
        seconds, given = inf, None
        for _ in range(times):
            began = perf_counter()
            given = way(**self.arguments, **more)
            seconds = min(seconds, perf_counter() - began)
        return seconds, given


def neighbours_by_lists(
    vectors: Vectors,
    k: int,
    *,
    similarity_min: float,
    image_of: Int64,
    lists_probed: int = LISTS_PROBED,
    hold: Hold = here,
) -> tuple[NDArray[np.int32], Float32]:
    """What neighbours_of_all finds, by searching an inverted file: the way that suits cards, not processors.

    Raises RuntimeError: the card has not memory enough.
    """
    n = len(vectors)
    centroids = lists_of(vectors, hold=hold)
    index = hold(inverted_file(centroids, min(lists_probed, len(centroids))))
    parts = [slice(start, start + _ROWS_AT_ONCE) for start in range(0, n, _ROWS_AT_ONCE)]
    for part in parts:
        index.add(vectors[part].astype(np.float32))
    rows = np.full((n, k), -1, np.int32)
    similarities = np.full((n, k), -1.0, np.float32)
    asked = min(k + int(np.unique(image_of, return_counts=True)[1].max(initial=0)), _SELECTED_MAX)
    for part in parts:
        near, found = index.search(vectors[part].astype(np.float32), asked)
        near[(found < 0) | (image_of[found] == image_of[part, None]) | (near < similarity_min)] = -1
        best = np.argsort(-near, axis=1, kind="stable")[:, :k]
        near, found = np.take_along_axis(near, best, axis=1), np.take_along_axis(found, best, axis=1)
        similarities[part, : near.shape[1]] = near
        rows[part, : near.shape[1]] = np.where(near > -1, found, -1)
    return rows, similarities


Ways = tuple[Callable[..., Any], Callable[..., Any]]
JOBS: Mapping[str, Ways] = {
    "centroids": (centroids_of, centroids_of),
    "neighbours": (neighbours_of_all, neighbours_by_lists),
}
"""Each heavy job: how the processor does it, and how a card does, which takes `hold` too."""


def on_cards(names: Sequence[str]) -> Hold:
    """names: "cuda:0" and the like; "cpu" alone stands in for a card, for tests where there is none.

    Raises RuntimeError: FAISS does not see such a card.
    """
    if list(names) == ["cpu"]:
        return here
    numbers = [int(name.partition(":")[2] or 0) for name in names]
    if faiss.get_num_gpus() <= max(numbers):
        raise RuntimeError(f"FAISS sees {faiss.get_num_gpus()} cards, and is to use {', '.join(names)}")
    resources = [faiss.StandardGpuResources() for _ in numbers]
    for each in resources:
        each.setTempMemory(_SCRATCH_BYTES)

    def hold(index: Any) -> Any:
        return faiss.index_cpu_to_gpu_multiple_py(resources, index, None, numbers)

    return hold


def done_on(names: Sequence[str], job: Job, times: int) -> tuple[float, Any]:
    """As Job.timed, once the cards are awake."""
    hold = on_cards(names)
    rng = np.random.default_rng(0)
    centroids_of(rng.standard_normal((256, 64), np.float32), 4, rounds=1, hold=hold)  # the first call starts CUDA
    return job.timed(JOBS[job.name][1], times, hold=hold)


if __name__ == "__main__":
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries that print must not print into the answer
    wanted: tuple[Sequence[str], Job, int] = pickle.load(sys.stdin.buffer)
    with answer:
        pickle.dump(done_on(*wanted), answer, protocol=5)
