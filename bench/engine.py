#!/usr/bin/env python3
"""How fast the engine is against the bare network: what queue, batches, threads and the work around a network cost.

    python bench/engine.py [--device openvino] [--photos DIR] [--seconds 4] [--rounds 3]
    python bench/engine.py --device cuda:0 --generated --half --peak-tflops 50 --batches 16,32,64,128

bare: the recogniser alone on one block of faces, its best batch: in one session that has all cores, or in one session
for each worker (--device cpu and openvino measure both, and count the better). engine: aligned faces as images through
a pipeline, a lane, the engine's threads and back in order; pixels to network input before, unit rows after. eyes, with
--photos (*.jpg): decoded photos through the same, with everything that See does: detection too. Rounds alternate, so
that a busy machine disturbs both alike: look at the ratio. CPU ms do not depend on what else runs.

--generated: a network of ArcFace's shape with random weights (generated.py) in the place of the pack's; its FLOP are
counted, and with --peak-tflops (the card's limit in this precision, from its data sheet) the share that was reached is
told. --half: in half precision. Nothing is asked; the figures go to standard output, and to --results as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import structlog
from generated import write_arcface_r50

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))

from face_organizer.adapters.driver import read_driver
from face_organizer.adapters.models import Pack, load_pack
from face_organizer.adapters.nvml import Cards
from face_organizer.adapters.runtime import is_gpu, kind_of, number_of
from face_organizer.adapters.session import open_sessions
from face_organizer.app.devices import GPU_WORKERS
from face_organizer.app.parts import make_eyes, open_detectors
from face_organizer.config import FacesConfig
from face_organizer.pipeline.engine import Device, Engine
from face_organizer.pipeline.flow import Pipeline, Stage
from face_organizer.traits import Scaling
from face_organizer.types import DecodedImage, Detection, ImageRef, SeenFace, SeenImage, Signature
from face_organizer.vision.embed import network_input, unit_rows

CORES = len(os.sched_getaffinity(0))
NOWHERE = Detection(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0)


@dataclass(frozen=True)
class Network:
    """What is measured. gflop: of one face, 0 where nobody counted."""

    name: str
    path: Path
    scaling: Scaling
    gflop: float


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def workers_on(device: str) -> int:
    return GPU_WORKERS if is_gpu(device) else CORES


class Embed:
    """A worker that takes every image for an aligned face: See without the finding."""

    def __init__(self, session: Any, scaling: Scaling) -> None:
        self._session, self._scaling = session, scaling

    def __call__(self, images: list[DecodedImage]) -> list[SeenImage]:
        step = self._session.batch_max
        rows = []
        for start in range(0, len(images), step):
            faces = [image.pixels for image in images[start : start + step]]
            rows.append(unit_rows(self._session.run(network_input(faces, self._scaling))[0]))
        seen = [SeenFace(NOWHERE, row, 1.0, True) for row in np.concatenate(rows)]
        return [SeenImage(image.ref, image.digest, 112, 112, (face,)) for image, face in zip(images, seen, strict=True)]


def bare_rates(network: Network, device: str, batches: Sequence[int], seconds: float) -> dict[str, float]:
    """Faces a second by "batch in so many sessions"."""
    rates = {}
    for batch in batches:
        faces = np.random.default_rng(0).uniform(0, 255, (batch, 3, 112, 112)).astype(np.float32)
        ways: dict[int, list[Any]] = {workers_on(device): open_bare(network, device, batch)}
        if not is_gpu(device):
            ways[1] = [AllCores(network.path, device)]
        for count, sessions in ways.items():
            if sessions[0].batch_max >= batch:
                rates[f"{batch} in {count}"] = rate_of(sessions, faces, seconds)[0]
    return rates


def open_bare(network: Network, device: str, batch: int) -> list[Any]:
    return list(open_sessions(network.path, device, count=workers_on(device), batch_max=batch))


def rate_of(sessions: Sequence[Any], faces: Any, seconds: float) -> tuple[float, float]:
    """(faces/s, CPU ms a face) of these sessions side by side."""
    done = [0] * len(sessions)
    for session in sessions:
        session.run(faces)
    before, began = cpu_s(), time.perf_counter()

    def work(number: int) -> None:
        while time.perf_counter() - began < seconds:
            sessions[number].run(faces)
            done[number] += len(faces)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began), (cpu_s() - before) * 1000 / sum(done)


class AllCores:
    """A network as somebody would run it for speed by hand: one session, all cores, a batch at a time."""

    batch_max = 1 << 20

    def __init__(self, path: Path, device: str) -> None:
        self.run: Callable[[Any], object]
        if kind_of(device) == "openvino":
            import openvino

            settings = {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": str(CORES),
                "INFERENCE_PRECISION_HINT": "f32",  # as the daemon's: bfloat16 would be another network
                "ENABLE_CPU_PINNING": False,
            }
            request = openvino.Core().compile_model(str(path), "CPU", settings).create_infer_request()
            self.run = lambda faces: request.infer({0: faces}, share_inputs=True)
        else:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = CORES
            inference = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            name = inference.get_inputs()[0].name
            self.run = lambda faces: inference.run(None, {name: faces})


def engine_on(device: str, workers: Sequence[Any], batch_max: int) -> Engine:
    engine = Engine(
        lambda: [Device(device, list(workers))], batch_max=batch_max, linger_s=0.02, log=structlog.get_logger()
    )
    engine.start()
    return engine


def through(engine: Engine, images: Sequence[DecodedImage], seconds: float, batch_max: int) -> tuple[float, float]:
    """(images/s, CPU ms an image) through a pipeline on the engine, again and again for so many seconds."""
    came: list[SeenImage] = []
    pipeline = Pipeline([Stage("see", lane=engine.lane())], came.extend, 64, 0.02, _refuse, 16 * batch_max)
    pipeline.start()
    before, began, sent = cpu_s(), time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        pipeline.submit(images[sent % len(images)])
        sent += 1
    pipeline.close()
    took, cpu = time.perf_counter() - began, cpu_s() - before
    assert len(came) == sent, (len(came), sent)
    return sent / took, cpu * 1000 / sent


def _refuse(item: Any, error: Exception) -> Any:
    raise error


def aligned_images(count: int) -> list[DecodedImage]:
    rng = np.random.default_rng(0)
    drawn = [cv2.GaussianBlur(rng.integers(0, 256, (112, 112, 3), np.uint8), (0, 0), 3) for _ in range(count)]
    return [DecodedImage(ImageRef(Path("x"), Signature(0, 0, 0)), b"", each, 112, 112) for each in drawn]


def decoded(file: Path) -> DecodedImage:
    pixels = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    return DecodedImage(ImageRef(file, Signature(0, 0, 0)), b"", pixels, pixels.shape[1], pixels.shape[0])


def machine_told(device: str) -> dict[str, Any]:
    told: dict[str, Any] = {"cores": CORES, "machine": platform.machine(), "load_before": os.getloadavg()[0]}
    gpus = read_driver()[1]
    if is_gpu(device) and number_of(device) < len(gpus):
        gpu = gpus[number_of(device)]
        told |= {"gpu": gpu.name, "capability": list(gpu.capability)} | Cards().figures(gpu.address)
    return told


def measured(network: Network, pack: Pack | None, given: argparse.Namespace) -> dict[str, Any]:
    """Everything that was asked for, on one device."""
    device, batches = given.device, [int(each) for each in given.batches.split(",")]
    told: dict[str, Any] = {"network": network.name, "device": device, "half": given.half, **machine_told(device)}
    rates = bare_rates(network, device, batches, given.seconds)
    best = max(rates, key=lambda way: rates[way])
    batch, count = (int(each) for each in best.split(" in "))
    told |= {"bare_faces_per_s": {way: round(rate, 1) for way, rate in rates.items()}, "bare_best": best}
    faces = np.random.default_rng(0).uniform(0, 255, (batch, 3, 112, 112)).astype(np.float32)
    alone = [AllCores(network.path, device)] if count == 1 and not is_gpu(device) else open_bare(network, device, batch)
    batch_max = max(batch, given.batch_max)
    sessions = open_sessions(network.path, device, count=workers_on(device), batch_max=batch_max)
    engine = engine_on(device, [Embed(session, network.scaling) for session in sessions], batch_max)
    try:
        told["rounds"], told["ratio"] = _compared(
            lambda: rate_of(alone, faces, given.seconds),
            lambda: through(engine, aligned_images(256), given.seconds, batch_max),
            given.rounds,
        )
        told["engine"] = engine.figures()[0]
    finally:
        engine.stop()
    if given.photos is not None and pack is not None:
        told["eyes"] = _eyes(pack, device, sessions, given, batch_max, lambda: rate_of(alone, faces, given.seconds))
    if network.gflop:
        reached = statistics.median(each["engine"] for each in told["rounds"]) * network.gflop / 1000
        told |= {"gflop_a_face": round(network.gflop, 3), "tflop_per_s": round(reached, 3)}
        told |= {"share_of_peak": round(reached / given.peak_tflops, 4)} if given.peak_tflops else {}
    return told | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def _compared(
    bare: Callable[[], tuple[float, float]], engine: Callable[[], tuple[float, float]], rounds: int
) -> tuple[list[dict[str, float]], float]:
    """Each round's figures, and the median of what the engine reached of the bare network."""
    engine()  # the first one makes what is made at first use
    told = []
    for _ in range(rounds):
        (alone, bare_ms), (rate, cpu_ms) = bare(), engine()
        told.append(
            {
                "bare": round(alone, 1),
                "engine": round(rate, 1),
                "ratio": round(rate / alone, 3),
                "bare_cpu_ms": round(bare_ms, 2),
                "engine_cpu_ms": round(cpu_ms, 2),
            }
        )
        print(told[-1], flush=True)
    return told, statistics.median(each["ratio"] for each in told)


def _eyes(
    pack: Pack,
    device: str,
    sessions: Any,
    given: argparse.Namespace,
    batch_max: int,
    bare: Callable[[], tuple[float, float]],
) -> dict[str, Any]:
    """The same with photos, and everything that See does."""
    detectors = open_detectors(pack, device, count=len(sessions), batch_max=batch_max)
    engine = engine_on(device, make_eyes(detectors, sessions, FacesConfig(), pack.traits), batch_max)
    images = [decoded(file) for file in sorted(given.photos.rglob("*.jpg"))[: given.images]]
    try:
        rounds, ratio = _compared(bare, lambda: through(engine, images, given.seconds, batch_max), given.rounds)
    finally:
        engine.stop()
    return {"photos": len(images), "rounds": rounds, "ratio": ratio}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--device", default="openvino", help="openvino, cpu, cuda:N, tensorrt:N")
    arguments.add_argument("--photos", type=Path)
    arguments.add_argument("--images", type=int, default=800)
    arguments.add_argument("--generated", action="store_true")
    arguments.add_argument("--half", action="store_true", help="the generated network in half precision")
    arguments.add_argument("--peak-tflops", type=float, default=0.0)
    arguments.add_argument("--batches", default="1,8,16,32")
    arguments.add_argument("--batch-max", type=int, default=16, help="images that a worker takes at once, at least")
    arguments.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--models-dir", type=Path)
    arguments.add_argument("--results", type=Path, help="a folder for the figures as JSON")
    given = arguments.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        if given.generated:
            path, pack = Path(folder) / "arcface-r50.onnx", None
            gflop = write_arcface_r50(path, half=given.half)
            network = Network("arcface-r50-random", path, Scaling(mean=127.5, std=127.5), gflop)
        else:
            pack = load_pack("opencv-zoo", given.models_dir)
            chosen = pack.recogniser_cpu_path if kind_of(given.device) == "cpu" else pack.recogniser_path
            network = Network("opencv-zoo", chosen, pack.traits.recogniser.scaling, 0.0)
        told = measured(network, pack, given)
    print(json.dumps(told, indent=2))
    if given.results is not None:
        given.results.mkdir(parents=True, exist_ok=True)
        half = "-half" if given.half else ""
        name = f"engine-{network.name}{half}-{given.device.replace(':', '')}.json"
        (given.results / name).write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
