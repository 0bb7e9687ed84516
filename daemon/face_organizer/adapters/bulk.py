"""FAISS's heavy jobs, where they are quicker: on the processor, or on the cards where faiss-gpu is installed.

Room:    adapters (touches FAISS)
Imports: ports, types, cards, child, choice, runtime, faiss, numpy, stdlib

What is quicker depends on the card, on the processor and on the size of the job, and no table knows all three. So it is
measured: the first large job of a kind is done in small both ways, and from then on the times found say who would be
done first, a card's process and its start included. Nothing is silent: what was found and where a job ran is logged.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from face_organizer.adapters.cards import JOBS, Job
from face_organizer.adapters.child import ChildError, answer_of
from face_organizer.adapters.choice import choose_devices
from face_organizer.adapters.runtime import is_gpu, number_of
from face_organizer.ports import Log
from face_organizer.types import Float16, Float32, Int64

TRIED_ROWS, TRIED_LISTS, TRIED_TIMES = 20_000, 512, 2
LARGE = 4.0
"""So many times the trial a job is, before a trial pays."""
WITHIN_S, WITHIN_TIMES = 120.0, 10.0
"""A card must be done in this time, or within so many times what the processor would take."""


def cards_of(wanted: Sequence[str]) -> tuple[str, ...]:
    """The cards among the devices that are wanted, if this FAISS is a build for cards. Raises ModelError."""
    if not hasattr(faiss, "StandardGpuResources"):
        return ()
    devices = choose_devices(wanted).devices
    return tuple(f"cuda:{number}" for number in sorted({number_of(each) for each in devices if is_gpu(each)}))


@dataclass(frozen=True, slots=True)
class Rule:
    """What a trial found: how long a card's process takes to start, and seconds per unit of a job's size."""

    start_s: float
    on_cards_s: float
    on_processor_s: float

    def prefers_cards(self, size: float) -> bool:
        return self.start_s + self.on_cards_s * size < self.on_processor_s * size


class Bulk:
    """cards(): those it may use, asked when the first large job comes. Any thread; a job at a time needs no more."""

    def __init__(self, cards: Callable[[], Sequence[str]], log: Log) -> None:
        self._find_cards, self._log = cards, log
        self._cards: Sequence[str] | None = None
        self._rules: dict[str, Rule] = {}

    def centroids(self, sample: Float32, count: int, *, rounds: int) -> Float32:
        """As centroids_of."""
        rows, few = sample[:: max(1, len(sample) // TRIED_ROWS)][:TRIED_ROWS], min(count, TRIED_LISTS)
        found: Float32 = self._done(
            Job("centroids", {"sample": sample, "count": count, "rounds": rounds}, len(sample) * count * rounds),
            lambda: Job("centroids", {"sample": rows, "count": few, "rounds": 1}, len(rows) * few),
            TRIED_ROWS * TRIED_LISTS,
        )
        return found

    def neighbours(
        self, vectors: Float16, k: int, *, similarity_min: float, image_of: Int64
    ) -> tuple[NDArray[np.int32], Float32]:
        """As neighbours_of_all."""
        few = np.arange(0, len(vectors), max(1, len(vectors) // TRIED_ROWS))[:TRIED_ROWS]
        how = {"k": k, "similarity_min": similarity_min}
        found: tuple[NDArray[np.int32], Float32] = self._done(
            Job("neighbours", {"vectors": vectors, "image_of": image_of, **how}, len(vectors)),
            lambda: Job("neighbours", {"vectors": vectors[few], "image_of": image_of[few], **how}, len(few)),
            TRIED_ROWS,
        )
        return found

    def _done(self, job: Job, piece: Callable[[], Job], tried: float) -> Any:
        """piece(): a part of the job that is large enough to tell; tried: its size."""
        if job.size < LARGE * tried or not self._usable():
            return job.timed(JOBS[job.name][0])[1]
        try:
            rule = self._rules[job.name] = self._rules.get(job.name) or self._measure(piece())
            if rule.prefers_cards(job.size):
                within_s = max(WITHIN_S, WITHIN_TIMES * rule.on_processor_s * job.size)
                return self._told(job, ", ".join(self._usable()), *_on_cards(self._usable(), job, within_s))
        except ChildError as error:
            self._cards = ()
            self._log.error(
                "faiss_cards_failed",
                work=job.name,
                cause=str(error),
                instead="the processor, until this process ends",
                help="`face-organizer doctor` looks for the cause",
            )
        return self._told(job, "processor", *job.timed(JOBS[job.name][0]))

    def _usable(self) -> Sequence[str]:
        if self._cards is None:
            self._cards = self._find_cards()
        return self._cards

    def _measure(self, piece: Job) -> Rule:
        began = perf_counter()
        on_cards_s, _ = _on_cards(self._usable(), piece, WITHIN_S, TRIED_TIMES)
        start_s = max(0.0, perf_counter() - began - TRIED_TIMES * on_cards_s)
        on_processor_s, _ = piece.timed(JOBS[piece.name][0], TRIED_TIMES)
        self._log.info(
            "faiss_measured",
            work=piece.name,
            cards=", ".join(self._usable()),
            start_s=round(start_s, 3),
            on_cards_s=round(on_cards_s, 3),
            on_processor_s=round(on_processor_s, 3),
        )
        return Rule(start_s, on_cards_s / piece.size, on_processor_s / piece.size)

    def _told(self, job: Job, where: str, seconds: float, given: Any) -> Any:
        self._log.info("faiss_ran", work=job.name, on=where, seconds=round(seconds, 3))
        return given


def _on_cards(names: Sequence[str], job: Job, within_s: float, times: int = 1) -> tuple[float, Any]:
    """As Job.timed, without the start of the process. Raises ChildError."""
    wanted = pickle.dumps((tuple(names), job, times), protocol=5)
    given: tuple[float, Any] = pickle.loads(answer_of("face_organizer.adapters.cards", within_s=within_s, given=wanted))
    return given
