"""A network on a device, run in a process that may die of it: `python -m face_organizer.adapters.trial DEVICE [MODEL]`.

Room:    adapters (touches the runtimes, CUDA's libraries and /proc/self/maps)
Imports: errors, adapters.runtime, adapters.session, adapters.sample, numpy, stdlib

Its last line on stdout is JSON: error ("" where it worked), nodes by provider, the libraries that were loaded for it
with the versions that they tell, runs a second. Without MODEL it is a network as small as can be.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from face_organizer.adapters.runtime import Device
from face_organizer.adapters.sample import small_network
from face_organizer.adapters.session import nodes_by_provider, open_sessions
from face_organizer.errors import ModelError

LIBRARIES = re.compile(r"lib(cudart|cublas|cublasLt|cudnn|cufft|curand|nvinfer|onnxruntime|openvino)[\w-]*\.so")
RUN_FOR_S = 0.5


def loaded_libraries(maps: str) -> list[str]:
    """The paths of the libraries that matter here, in the text of /proc/PID/maps."""
    paths = {line.split(maxsplit=5)[5] for line in maps.splitlines() if line.count(" ") >= 5 and "/" in line}
    return sorted(path for path in paths if LIBRARIES.search(path.rpartition("/")[2]))


PROPERTIES = {
    "libcudnn.so": "cudnnGetProperty",
    "libcublas.so": "cublasGetProperty",
    "libcublasLt.so": "cublasLtGetProperty",
    "libcufft.so": "cufftGetProperty",
    "libcurand.so": "curandGetProperty",
}


def version_told(path: str) -> str:
    """What a library of CUDA says is its version: the names of their files have none. "" where it does not say."""
    name = path.rpartition("/")[2].partition(".so")[0] + ".so"
    number = ctypes.c_int()
    try:
        if name in PROPERTIES:
            told = []
            for part in range(3):  # MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL
                if getattr(ctypes.CDLL(path), PROPERTIES[name])(part, ctypes.byref(number)) != 0:
                    return ""
                told.append(str(number.value))
            return ".".join(told)
        if name == "libcudart.so" and ctypes.CDLL(path).cudaRuntimeGetVersion(ctypes.byref(number)) == 0:
            return f"{number.value // 1000}.{number.value % 1000 // 10}"
        if name == "libnvinfer.so":
            version = int(ctypes.CDLL(path).getInferLibVersion())
            return f"{version // 10_000}.{version % 10_000 // 100}.{version % 100}"
    except (OSError, AttributeError):
        return ""
    return ""


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
    paths = loaded_libraries(Path("/proc/self/maps").read_text(errors="surrogateescape"))
    told["libraries"] = [(path, version_told(path)) for path in paths]
    return told


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="face-organizer-trial-") as folder:
        if len(sys.argv) > 2:
            model = Path(sys.argv[2])
        else:
            model = Path(folder) / "small.onnx"
            model.write_bytes(small_network())
        answer = try_device(sys.argv[1], model)
    sys.stdout.write(json.dumps(answer) + "\n")
