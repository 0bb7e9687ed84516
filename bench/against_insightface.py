#!/usr/bin/env python3
"""How fast the eyes are beside insightface's own program in a loop: the same networks, the same image files.

    python bench/against_insightface.py PHOTOS SCRFD [--images 300] [--rounds 3] [--devices openvino cpu]

PHOTOS is searched for *.jpg; SCRFD: an ONNX file, such as scrfd_2.5g_kps.onnx. With the default pack's SFace beside it
in a folder it is a pack that both run.

loop: for each file cv2.imread and FaceAnalysis.get, as its documentation shows it, ONNX Runtime with its own threads.
It looks at 640 px, for the export says so; "loop, small" has the same detector with free axes, at 160 px: our own size.
ours: a worker a core, each of which decodes 16 files and sees them (find, turn if need be, align, embed, judge).
Rounds alternate, so that a busy machine disturbs all alike; the ratio of a round is what to look at, and the CPU ms.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "daemon"))

from face_organizer.adapters.models import Pack, load_pack
from face_organizer.app.parts import decode_photo, make_eyes, open_detectors, open_recognisers
from face_organizer.config import Config
from face_organizer.pipeline.see import See

CORES = len(os.sched_getaffinity(0))
BATCH = 16
Round = Callable[[Sequence[Path]], int]


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def loop(folder: Path, side_px: int) -> Round:
    """insightface's program; gives the number of faces."""
    from insightface.app import FaceAnalysis

    app = FaceAnalysis(name=str(folder), providers=["CPUExecutionProvider"])
    app.prepare(ctx_id=-1, det_size=(side_px, side_px))
    return lambda files: sum(len(app.get(cv2.imread(str(file)))) for file in files)


def ours(pack: Pack, device: str) -> Round:
    """The eyes, with as many threads as cores; gives the number of faces."""
    config = Config()
    detectors = open_detectors(pack, device, count=CORES, batch_max=BATCH)
    recognisers = open_recognisers(pack, device, count=CORES, batch_max=BATCH)
    eyes = make_eyes(detectors, recognisers, config.faces, pack.traits)

    def run(files: Sequence[Path]) -> int:
        starts, lock, faces = iter(range(0, len(files), BATCH)), threading.Lock(), [0] * CORES

        def work(row: int, see: See) -> None:
            while True:
                with lock:
                    start = next(starts, None)
                if start is None:
                    return
                piece = [decode_photo(file.name, file.read_bytes(), config) for file in files[start : start + BATCH]]
                faces[row] += sum(len(image.faces) for image in see(piece))

        threads = [threading.Thread(target=work, args=each, name=f"worker {each[0]}") for each in enumerate(eyes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(faces)

    return run


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("photos", type=Path)
    arguments.add_argument("scrfd", type=Path)
    arguments.add_argument("--images", type=int, default=300)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--devices", nargs="+", default=["openvino", "cpu"], choices=["openvino", "cpu"])
    given = arguments.parse_args()
    warnings.simplefilter("ignore")  # insightface calls what its own dependencies call old

    with tempfile.TemporaryDirectory() as temporary:
        folder, free = Path(temporary) / "as_exported", Path(temporary) / "free"
        for each in (folder, free):
            each.mkdir()
            shutil.copy(load_pack("opencv-zoo").recogniser_path, each / "sface.onnx")
        shutil.copy(given.scrfd, folder)
        pack = load_pack(str(folder), Path(temporary) / "models")
        shutil.copy(pack.detector_path, free / "detector.onnx")
        ways: dict[str, Round] = {"loop": loop(folder, 640), "loop, small": loop(free, 160)}
        ways |= {f"ours, {device}": ours(pack, device) for device in given.devices}
        files = sorted(given.photos.rglob("*.jpg"))[:: max(1, len(list(given.photos.rglob("*.jpg"))) // given.images)]
        compare(ways, files[: given.images], given.rounds)


def compare(ways: dict[str, Round], files: Sequence[Path], rounds: int) -> None:
    """Print a Markdown line for each way: medians over the rounds."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    costs: dict[str, list[float]] = {way: [] for way in ways}
    faces = {}
    for _ in range(rounds):
        for way, run in ways.items():
            run(files[:BATCH])
            began, before = time.perf_counter(), cpu_s()
            faces[way] = run(files)
            rates[way].append(len(files) / (time.perf_counter() - began))
            costs[way].append((cpu_s() - before) * 1000 / len(files))
    print(f"{len(files)} images, {CORES} cores, {rounds} rounds\n")
    print("| | faces | images/s | CPU ms an image | times the loop, by the clock | by CPU |")
    print("|---|---|---|---|---|---|")
    for way in ways:
        clock = statistics.median(one / other for one, other in zip(rates[way], rates["loop"], strict=True))
        cost = statistics.median(other / one for one, other in zip(costs[way], costs["loop"], strict=True))
        print(
            f"| {way} | {faces[way]} | {statistics.median(rates[way]):.1f} | {statistics.median(costs[way]):.1f} "
            f"| {clock:.2f} | {cost:.2f} |"
        )


if __name__ == "__main__":
    main()
