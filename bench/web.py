"""What the HTTP interface costs, and how quick it is.

    python bench/web.py enrol IMAGES           an idle daemon is sent 200 images, one after the other: p50, p95, p99
    python bench/web.py ingest IMAGES ROUNDS   all dropped into a daemon, left alone and under 1,000 requests by turns

IMAGES is a folder with images below it; it is copied, never changed. Prints one JSON document. Figures of one machine
are good for ratios only, and need a quiet one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

COMMAND = [sys.executable, "-m", "face_organizer"]
SOURCE_ROOT = Path(__file__).resolve().parents[1] / "daemon"
HEADERS = {"X-Face-Organizer": "1"}
ENROLLED, REQUESTS, SLOW_CLIENTS = 200, 1000, 8
PATHS = ("/api/people", "/api/status", "/api/outliers", "/api/faces/{face}/thumbnail", "/api/people/1", "/", "/metrics")


@contextmanager
def daemon(folder: Path) -> Iterator[tuple[httpx.Client, Path, int]]:
    """A running one: a client, its inbox, its process."""
    inbox = folder / "inbox"
    inbox.mkdir(parents=True)
    process = subprocess.Popen(
        [*COMMAND, "run", "--inbox", str(inbox), "--library", str(folder / "library"), "--web", "127.0.0.1:0"],
        env=os.environ | {"PYTHONPATH": str(SOURCE_ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    address = ""
    for line in process.stderr:
        if found := re.search(r'"address": ?"([^"]+)"', line):
            address = found[1]
        if '"event": "ready"' in line or '"event":"ready"' in line:
            break
    rest = threading.Thread(target=lambda stream: [None for _ in stream], args=(process.stderr,))
    rest.start()
    try:
        with httpx.Client(base_url=address, headers=HEADERS, timeout=120) as client:
            yield client, inbox, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        rest.join()
        process.stderr.close()


def enrol(images: list[Path], folder: Path) -> dict[str, Any]:
    """Seconds from the request to the answer, with everything placed."""
    with daemon(folder) as (client, _, _):
        seconds = []
        for image in itertools.islice(images, ENROLLED):
            content = image.read_bytes()
            began = time.perf_counter()
            client.post("/api/images", files={"image": (image.name, content)}).raise_for_status()
            seconds.append(time.perf_counter() - began)
    cuts = statistics.quantiles(seconds[5:], n=100)
    return {
        "images": len(seconds),
        "p50_ms": round(cuts[49] * 1000, 1),
        "p95_ms": round(cuts[94] * 1000, 1),
        "p99_ms": round(cuts[98] * 1000, 1),
    }


def ingest(images: list[Path], folder: Path, *, disturbed: bool) -> dict[str, float]:
    """Seconds until so many images are placed, from a daemon that is ready."""
    with daemon(folder) as (client, inbox, pid):
        for number, image in enumerate(images):
            (inbox / f".{number}-{image.name}").write_bytes(image.read_bytes())
        staged = sorted(inbox.iterdir())
        began, cpu_began_s = time.perf_counter(), cpu_s(pid)
        for path in staged:
            path.rename(path.with_name(path.name[1:]))
        stop = threading.Event()
        threads = disturb(client, stop) if disturbed else []
        while True:
            status = client.get("/api/status").json()
            if status["images"] + status["duplicates"] >= len(images) and not status["pending"]:
                break
            stop.wait(0.5)
        seconds, cpu = time.perf_counter() - began, cpu_s(pid) - cpu_began_s
        stop.set()
        for thread in threads:
            thread.join()
        answered = sum(thread.answered for thread in threads)
    return {"seconds": round(seconds, 2), "cpu_s": round(cpu, 2), "answered": answered}


def cpu_s(pid: int) -> float:
    """What a process has used of the processors so far: it says more than the clock on a busy machine."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Asker(threading.Thread):
    """Asks its share of the requests, as fast as it is answered."""

    def __init__(self, address: str, stop: threading.Event, share: int) -> None:
        super().__init__()
        self._address, self._stop_asking, self._share, self.answered = address, stop, share, 0

    def run(self) -> None:
        with httpx.Client(base_url=self._address, headers=HEADERS, timeout=120) as client:
            for number, path in zip(range(self._share), itertools.cycle(PATHS)):
                if self._stop_asking.is_set():
                    return
                client.get(path.format(face=1 + number % 50))
                self.answered += 1


def disturb(client: httpx.Client, stop: threading.Event) -> list[Asker]:
    """1,000 requests by ten askers, and clients that take nothing of what they asked for."""
    address = str(client.base_url)
    for _ in range(SLOW_CLIENTS):
        client.send(client.build_request("GET", "/api/events"), stream=True)
    askers = [Asker(address, stop, REQUESTS // 10) for _ in range(10)]
    for asker in askers:
        asker.start()
    return askers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["enrol", "ingest"])
    parser.add_argument("images", type=Path)
    parser.add_argument("rounds", type=int, nargs="?", default=3)
    arguments = parser.parse_args()
    images = sorted(path for path in arguments.images.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "enrol":
            print(json.dumps(enrol(images, Path(folder))))
            return
        rounds = [
            {
                kind: ingest(images, Path(folder) / f"{number}-{kind}", disturbed=kind == "disturbed")
                for kind in ("alone", "disturbed")
            }
            for number in range(arguments.rounds)
        ]
        slower = {
            key: round(statistics.median(each["disturbed"][key] / each["alone"][key] for each in rounds), 3)
            for key in ("seconds", "cpu_s")
        }
        print(json.dumps({"rounds": rounds, "slower": slower}))


if __name__ == "__main__":
    main()
