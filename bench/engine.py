#!/usr/bin/env python3
"""How fast the eyes are, against the embedding network alone. bench/end_to_end.py measures the whole program.

    python bench/engine.py PHOTOS [--images 800] [--rounds 3] [--detector-device cpu]

PHOTOS is searched for *.jpg. bare: the recogniser alone on random pixels, one network on all cores, its best batch.
see: decoded pixels in, embeddings out, one worker a core. Rounds alternate, so that a busy machine disturbs both alike;
the ratio of a round is what to look at. CPU ms an image do not depend on what else runs.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))

from face_organizer.adapters.models import Pack, load_pack
from face_organizer.adapters.session import open_sessions
from face_organizer.config import FacesConfig
from face_organizer.parts import make_eyes, open_detectors
from face_organizer.pipeline import see
from face_organizer.types import DecodedImage, ImageRef, Signature

CORES = len(os.sched_getaffinity(0))
BATCHES = (1, 8, 16, 32)


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def in_threads(count: int, work: Callable[[int], None]) -> float:
    """Run work(0 .. count-1) side by side; the seconds it took."""
    threads = [threading.Thread(target=work, args=(row,), name=f"worker {row}") for row in range(count)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


class Bare:
    """The recogniser as a user of OpenVINO would run it for speed: one stream, all cores, a batch at a time."""

    def __init__(self, pack: Pack) -> None:
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": str(CORES),
            "INFERENCE_PRECISION_HINT": "f32",  # as the daemon's: bfloat16 would be another network
            "ENABLE_CPU_PINNING": False,
        }
        self._request = openvino.Core().compile_model(str(pack.recogniser_path), "CPU", settings).create_infer_request()

    def rate(self, batch: int, seconds: float = 4.0) -> float:
        faces = np.random.default_rng(0).uniform(0, 255, (batch, 3, 112, 112)).astype(np.float32)
        self._request.infer({0: faces}, share_inputs=True)
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            self._request.infer({0: faces}, share_inputs=True)
            count += batch
        return count / (time.perf_counter() - began)


def decoded(file: Path) -> DecodedImage:
    pixels = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    return DecodedImage(ImageRef(file, Signature(0, 0, 0)), b"", pixels, pixels.shape[1], pixels.shape[0])


def see_rate(eyes: list[see.See], images: list[DecodedImage], batch: int) -> tuple[float, float]:
    """(images/s, CPU ms an image) through all eyes at once."""
    starts, lock = iter(range(0, len(images), batch)), threading.Lock()

    def work(row: int) -> None:
        while True:
            with lock:
                start = next(starts, None)
            if start is None:
                return
            eyes[row](images[start : start + batch])

    before = cpu_s()
    seconds = in_threads(len(eyes), work)
    return len(images) / seconds, (cpu_s() - before) * 1000 / len(images)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("photos", type=Path)
    arguments.add_argument("--images", type=int, default=800)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--batch", type=int, default=16)
    arguments.add_argument("--detector-device", choices=["openvino", "cpu"], default="openvino")
    arguments.add_argument("--models-dir", type=Path)
    given = arguments.parse_args()

    pack = load_pack("opencv-zoo", given.models_dir)
    bare = Bare(pack)
    rates = {batch: bare.rate(batch) for batch in BATCHES}
    best = max(rates, key=lambda batch: rates[batch])
    print(f"{CORES} cores; bare faces/s by batch:", {batch: round(rate, 1) for batch, rate in rates.items()})
    detectors = open_detectors(pack, given.detector_device, count=CORES, batch_max=given.batch)
    recognisers = open_sessions(pack.recogniser_path, "openvino", count=CORES, batch_max=given.batch)
    eyes = make_eyes(detectors, recognisers, FacesConfig(), pack.traits)
    images = [decoded(file) for file in sorted(given.photos.rglob("*.jpg"))[: given.images]]
    see_rate(eyes, images[:64], given.batch)
    ratios = []
    for _ in range(given.rounds):
        alone, (rate, cpu_ms) = bare.rate(best), see_rate(eyes, images, given.batch)
        ratios.append(rate / alone)
        print(f"bare {alone:.1f}/s  see {rate:.1f}/s  ratio {ratios[-1]:.3f}  CPU {cpu_ms:.1f} ms an image", flush=True)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"median ratio {statistics.median(ratios):.3f}, peak {peak_mb:.0f} MB")


if __name__ == "__main__":
    main()
