"""Run as a program: decodes every file of a folder, and tells what became of it and what it cost.

One JSON document on stdout: {name: {"refused": sentence or null, "left": [r, g, b], "right": [r, g, b], "took_s": s,
"grew_bytes": by how much the process was larger at its worst than before}}.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from face_organizer.errors import DecodeError
from face_organizer.vision.decode import decode


def memory_bytes(key: str) -> int:
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found, key
    return int(found[1]) * 1024


def cost_of(data: bytes, pixels_max: int) -> dict[str, Any]:
    Path("/proc/self/clear_refs").write_text("5")  # from here on VmHWM is a new peak
    before_bytes, started = memory_bytes("VmRSS"), time.perf_counter()
    told: dict[str, Any] = {"refused": None}
    try:
        pixels = decode(data, pixels_max=pixels_max, side_max_px=1024).pixels
    except DecodeError as error:
        told["refused"] = str(error)
    else:
        eighth = pixels.shape[1] // 8
        told["left"] = pixels[:, eighth : 3 * eighth].mean((0, 1)).tolist()
        told["right"] = pixels[:, 5 * eighth : 7 * eighth].mean((0, 1)).tolist()
        del pixels
    return told | {"took_s": time.perf_counter() - started, "grew_bytes": memory_bytes("VmHWM") - before_bytes}


if __name__ == "__main__":
    files = sorted(Path(sys.argv[1]).iterdir())
    decode(files[-1].read_bytes(), pixels_max=10**8, side_max_px=64)  # a good one: loads Pillow's plug-ins
    json.dump({path.name: cost_of(path.read_bytes(), 120_000_000) for path in files}, sys.stdout)
