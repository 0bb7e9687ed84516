"""A network on a device, run in a process that may die of it: `python -m face_organizer.adapters.trial DEVICE MODEL`.

Room:    adapters (touches the runtimes and /proc/self/maps)
Imports: errors, adapters.runtime, adapters.session, numpy, stdlib

Its last line on stdout is JSON: error ("" where it worked), nodes by provider, the libraries that were loaded for it,
runs a second.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from face_organizer.adapters.runtime import Device
from face_organizer.adapters.session import nodes_by_provider, open_sessions
from face_organizer.errors import ModelError

LIBRARIES = re.compile(r"lib(cudart|cublas|cublasLt|cudnn|cufft|curand|nvinfer|onnxruntime|openvino)[\w-]*\.so")
RUN_FOR_S = 0.5


def loaded_libraries(maps: str) -> list[str]:
    """The paths of the libraries that matter here, in the text of /proc/PID/maps."""
    paths = {line.split(maxsplit=5)[5] for line in maps.splitlines() if line.count(" ") >= 5 and "/" in line}
    return sorted(path for path in paths if LIBRARIES.search(path.rpartition("/")[2]))


def try_device(device: Device, model_path: Path) -> dict[str, Any]:
    """Run a network for a second and say how it went: what the doctor asks a process of its own."""
    told: dict[str, Any] = {"error": "", "nodes": {}, "libraries": [], "runs_per_s": 0.0}
    try:
        (session,) = open_sessions(model_path, device, count=1, batch_max=1)
        batch = np.zeros(session.smallest_shape, np.float32)  # type: ignore[attr-defined]  # every session has one
        runs, start = 0, perf_counter()
        while perf_counter() - start < RUN_FOR_S:
            session.run(batch)
            runs += 1
        told["runs_per_s"] = round(runs / (perf_counter() - start), 1)
        told["nodes"] = nodes_by_provider(model_path, device)
    except ModelError as error:
        told["error"] = str(error)
    told["libraries"] = loaded_libraries(Path("/proc/self/maps").read_text(errors="surrogateescape"))
    return told


if __name__ == "__main__":
    sys.stdout.write(json.dumps(try_device(sys.argv[1], Path(sys.argv[2]))) + "\n")
