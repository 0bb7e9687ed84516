"""One method on one gallery in a process of its own, so that its peak memory is its own. Run by bench.clustering:

python -m bench.clustering.worker GALLERY_FOLDER METHOD BOUND...   prints one JSON line a bound
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.clustering.galleries import load_gallery
from bench.clustering.methods import METHODS
from bench.clustering.scores import Scores, scores


@dataclass(frozen=True, slots=True)
class Result:
    """One run. cpu_s: of all its threads, from the neighbours to labels; a busy machine changes it less than seconds.
    peak_gb: of the process so far, the gallery itself included. stall_ms: the longest time another thread could not
    run."""

    bound: float
    scores: Scores
    cpu_s: float
    seconds: float
    peak_gb: float
    stall_ms: float


class Heartbeat:
    """What enrolment would feel beside a re-clustering."""

    def __enter__(self) -> Heartbeat:
        self.stall_ms = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        last = time.perf_counter()
        while not self._stop.wait(0.005):
            now = time.perf_counter()
            self.stall_ms, last = max(self.stall_ms, (now - last - 0.005) * 1000), now


def peak_gb() -> float:
    """Of this process alone: ru_maxrss would remember its parent's."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e6


def read_result(line: str) -> Result:
    fields = json.loads(line)
    return Result(**(fields | {"scores": Scores(*fields["scores"])}))


def main() -> None:
    folder, name, *bounds = sys.argv[1:]
    gallery, method = load_gallery(Path(folder)), METHODS[name]
    for bound in map(float, bounds):
        start, start_cpu = time.perf_counter(), time.process_time()
        with Heartbeat() as heart:
            label = method.find(gallery, bound)
        cpu_s, seconds = time.process_time() - start_cpu, time.perf_counter() - start
        found = Result(bound, scores(gallery.who, label), cpu_s, seconds, peak_gb(), heart.stall_ms)
        print(json.dumps(asdict(found)), flush=True)


if __name__ == "__main__":
    main()
