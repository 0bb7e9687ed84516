"""How fast each device gets on: over the last minute, and since the start.

Room:    pipeline (moves)
Imports: ports, stdlib
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from threading import Lock

from face_organizer.ports import Clock

SAMPLE_S = 10.0
WINDOW = 6
"""So many samples back is the beginning of "the last minute"."""

Gauge = Callable[[str], Mapping[str, float]]
"""What a device's card says of itself, by the device's name; {} where nothing can be asked."""


@dataclass(slots=True)
class Work:
    """What the workers of a device have done together. busy_s: the sum of theirs."""

    batches: int = 0
    images: int = 0
    faces: int = 0
    busy_s: float = 0.0


class Meter:
    """Of one device. add: by its workers; sample: every SAMPLE_S; figures: by anybody."""

    def __init__(self, workers: int, batch_max: int, clock: Clock) -> None:
        self._workers, self._batch_max, self._clock = workers, batch_max, clock
        self._lock = Lock()
        self._work = Work()
        self._samples: deque[tuple[float, Work]] = deque([(clock(), Work())], maxlen=WINDOW)

    def add(self, images: int, faces: int, busy_s: float) -> None:
        """A batch is done."""
        with self._lock:
            work = self._work
            self._work = Work(work.batches + 1, work.images + images, work.faces + faces, work.busy_s + busy_s)

    def sample(self) -> None:
        self._samples.append((self._clock(), self._work))

    def figures(self) -> dict[str, float]:
        """faces_per_s, images_per_s, batch_fill (the share of a full batch that batches held) and busy_share (of each
        worker's time) over the last minute; images and faces since the start."""
        (since, then), now = self._samples[0], self._work
        for_s = max(self._clock() - since, 1e-3)
        batches, images, faces, busy_s = (
            after - before for after, before in zip(astuple(now), astuple(then), strict=True)
        )
        return {
            "faces_per_s": round(faces / for_s, 2),
            "images_per_s": round(images / for_s, 2),
            "batch_fill": round(images / batches / self._batch_max, 3) if batches else 0.0,
            "busy_share": round(min(1.0, busy_s / for_s / max(1, self._workers)), 3),
            "images": now.images,
            "faces": now.faces,
            "workers": self._workers,
        }
