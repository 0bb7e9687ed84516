"""How fast the whole thing is: `run --once` against the bare embedding network, and drop to folder in the daemon.

    python bench/end_to_end.py throughput IMAGES   the whole process on a folder of images, and the network alone
    python bench/end_to_end.py latency IMAGES      an idle daemon gets 100 of them at 5 a second

IMAGES is a folder with images below it; it is copied, never changed. Prints one JSON document. Figures of one machine
are good for ratios only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from face_organizer.adapters.choice import choose_devices
from face_organizer.adapters.models import load_pack
from face_organizer.adapters.session import open_sessions

COMMAND = [sys.executable, "-m", "face_organizer"]
SOURCE_ROOT = Path(__file__).resolve().parents[1] / "daemon"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(SOURCE_ROOT)}


def network_alone(seconds: float) -> dict[str, float]:
    """Faces per second of the recogniser with every core, at its best batch: {batch: rate}."""
    pack = load_pack("opencv-zoo")
    device = choose_devices(["auto"]).devices[0]
    cores = len(os.sched_getaffinity(0))
    rates = {}
    for wanted in (1, 8, 32):
        sessions = open_sessions(pack.recogniser_path, device, count=cores, batch_max=wanted)
        batch = sessions[0].batch_max  # what the runtime is best at may be less
        faces = np.random.default_rng(0).integers(0, 256, (batch, 3, 112, 112)).astype(np.float32)
        done = [0] * cores
        end = time.monotonic() + seconds

        def work(
            number: int, sessions: list[Any] = sessions, faces: Any = faces, end: float = end, done: Any = done
        ) -> None:
            while time.monotonic() < end:
                sessions[number].run(faces)
                done[number] += len(faces)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(cores)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rates[str(batch)] = round(sum(done) / (time.monotonic() - started), 1)
    return rates


def whole_process(images: Path) -> dict[str, Any]:
    """`run --once` on a copy of the images: wall seconds from exec to exit, images per second, peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        inbox, library = Path(folder) / "inbox", Path(folder) / "library"
        shutil.copytree(images, inbox)
        started = time.monotonic()
        done = subprocess.run(
            [*COMMAND, "run", "--once", "--json", "--inbox", str(inbox), "--library", str(library)],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        seconds = time.monotonic() - started
        summary = json.loads(done.stdout)
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {
        "images": summary["images"],
        "seconds": round(seconds, 2),
        "images_per_s": round(summary["images"] / seconds, 1),
        "peak_mb": round(peak_kib / 1024),
    }


def throughput(images: Path, rounds: int) -> dict[str, Any]:
    """The two in turn, so that a machine that changes its speed changes both."""
    rows = []
    for _ in range(rounds):
        before = network_alone(4.0)
        run = whole_process(images)
        after = network_alone(4.0)
        best = max(statistics.mean([before[batch], after[batch]]) for batch in before)
        rows.append(run | {"network_alone_per_s": round(best, 1), "ratio": round(run["images_per_s"] / best, 3)})
    return {"median_ratio": statistics.median(row["ratio"] for row in rows), "rounds": rows}


def latency(images: Path, count: int, per_s: float) -> dict[str, Any]:
    """Seconds from the end of writing a file into the inbox to its being in a folder of the library."""
    files = sorted(path for path in images.rglob("*") if path.is_file())
    random.Random(0).shuffle(files)
    files = files[:count]
    with tempfile.TemporaryDirectory() as folder:
        inbox, library = Path(folder) / "inbox", Path(folder) / "library"
        inbox.mkdir()
        command = [*COMMAND, "run", "--inbox", str(inbox), "--library", str(library)]
        daemon = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        assert daemon.stderr is not None
        log = daemon.stderr
        while '"ready"' not in log.readline():
            pass
        drain = threading.Thread(target=log.read)
        drain.start()
        dropped: dict[str, float] = {}
        arrived: dict[str, float] = {}
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.01) or dropped.keys() - arrived.keys():
                now = time.monotonic()
                for place in library.glob("*/*"):
                    arrived.setdefault(place.name, now)

        looker = threading.Thread(target=look)
        looker.start()
        time.sleep(2)
        started = time.monotonic()
        for number, file in enumerate(files):
            (inbox / file.name).write_bytes(file.read_bytes())
            dropped[file.name] = time.monotonic()
            time.sleep(max(0.0, started + (number + 1) / per_s - time.monotonic()))
        ended.set()
        looker.join()
        daemon.terminate()
        daemon.wait()
        drain.join()
        log.close()
    seconds = sorted(arrived[name] - dropped[name] for name in dropped)
    return {
        "images": len(seconds),
        "p50_s": round(statistics.median(seconds), 3),
        "p95_s": round(seconds[int(0.95 * len(seconds))], 3),
        "max_s": round(seconds[-1], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["throughput", "latency"])
    parser.add_argument("images", type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="of throughput; the median counts")
    parser.add_argument("--count", type=int, default=100, help="images for latency")
    parser.add_argument("--per-s", type=float, default=5.0)
    arguments = parser.parse_args()
    if arguments.what == "throughput":
        print(json.dumps(throughput(arguments.images, arguments.rounds), indent=2))
    else:
        print(json.dumps(latency(arguments.images, arguments.count, arguments.per_s), indent=2))


if __name__ == "__main__":
    main()
