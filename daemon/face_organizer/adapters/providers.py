"""What ONNX Runtime's providers are told, and why one of them does not come.

Room:    adapters (touches onnx, tensorrt and the loader)
Imports: errors, driver, runtime, onnx, tensorrt, stdlib
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
from pathlib import Path
from typing import Any

from face_organizer.adapters.driver import read_driver
from face_organizer.adapters.runtime import Device, Kind, is_gpu, kind_of, number_of
from face_organizer.errors import DeviceError

PROVIDERS: dict[Kind, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

_CUDA_OPTIONS = {"arena_extend_strategy": "kSameAsRequested"}
"""Its own strategy takes the next power of two each time: several networks on one card run out of memory early."""

Options = dict[str, str]


def provider_options(model_path: Path, device: Device, batch_max: int) -> list[tuple[str, Options]]:
    """For InferenceSession: the providers to ask for, the wanted one first."""
    kind = kind_of(device)
    if not is_gpu(device):
        return [(PROVIDERS[kind], {})]
    data = model_path.read_bytes()
    name, sides = _input(data)
    number = {"device_id": str(number_of(device))}
    cuda = ("CUDAExecutionProvider", number | _CUDA_OPTIONS | {"cudnn_conv_algo_search": _search(sides)})
    if kind == "cuda":
        return [cuda]
    cache = model_path.parent / "tensorrt" / f"{hashlib.sha256(data).hexdigest()[:16]}-{batch_max}"
    return [("TensorrtExecutionProvider", number | _tensorrt_options(cache, name, sides, batch_max)), cuda]


def _input(data: bytes) -> tuple[str, tuple[int, ...]]:
    """A network's only input: its name, and its axes but for the first, 0 for a free one. Weights may be listed beside
    it."""
    import onnx

    graph = onnx.load_from_string(data).graph
    weights = {tensor.name for tensor in graph.initializer}
    (source,) = (each for each in graph.input if each.name not in weights)
    return source.name, tuple(axis.dim_value for axis in source.type.tensor_type.shape.dim[1:])


def _search(sides: tuple[int, ...]) -> str:
    """How cuDNN's way of a convolution is chosen. DEFAULT is a slow fallback since ONNX Runtime 1.20. To try all pays
    where few shapes occur, for each costs seconds: a detector's pictures have many."""
    return "EXHAUSTIVE" if all(sides) else "HEURISTIC"


def _tensorrt_options(cache: Path, name: str, sides: tuple[int, ...], batch_max: int) -> Options:
    """Half precision, and one engine for all batches, which is kept: to build it takes minutes.

    TensorRT names an engine by the shape of the graph, not by its weights: so each network has a folder of its own, and
    each batch_max, for another one's engine would be built over it.
    """
    cache.mkdir(parents=True, exist_ok=True)
    size = "x".join(map(str, sides))
    profile = {"min": 1, "opt": batch_max, "max": batch_max}
    return {
        "trt_fp16_enable": "True",
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(cache),
    } | {f"trt_profile_{bound}_shapes": f"{name}:{rows}x{size}" for bound, rows in profile.items()}


def refuse_missing(onnxruntime: Any, device: Device) -> None:
    """Raises DeviceError where this ONNX Runtime was built without a GPU, or the driver shows others than this one."""
    kind, number = kind_of(device), number_of(device)
    available = onnxruntime.get_available_providers()
    if PROVIDERS[kind] not in available:
        raise DeviceError(
            f"{device}: {PROVIDERS[kind]} was asked for, and the ONNX Runtime that is installed has only"
            f" {' and '.join(available)}"
        )
    gpus = read_driver()[1]
    if gpus and number >= len(gpus):
        there = f"{kind}:0" if len(gpus) == 1 else f"{kind}:0 to {kind}:{len(gpus) - 1}"
        raise DeviceError(f"{device}: the driver shows {there} only, and CUDA_VISIBLE_DEVICES can hide cards")


def preload(onnxruntime: Any, kind: Kind) -> None:
    """Find CUDA, cuDNN and TensorRT in the pip packages. What is not there shows when the provider is loaded: what
    ONNX Runtime prints of it would spoil our answers on stdout."""
    if hasattr(onnxruntime, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls()
    if kind == "tensorrt":
        with contextlib.suppress(ImportError):  # it may also lie where the system's loader looks
            import tensorrt  # noqa: F401 - loading it loads its libraries


def why_inactive(onnxruntime: Any, kind: Kind) -> str:
    """Why a provider that was asked for did not come, in the loader's or the driver's words; "" if neither knows.

    ONNX Runtime itself says it in a line on stderr only, and goes on with the processor.
    """
    if kind == "cpu":
        return ""
    library = Path(onnxruntime.__file__).parent / "capi" / f"libonnxruntime_providers_{kind}.so"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return f"the loader says: {error}"
    driver, gpus = read_driver()
    if gpus:
        return ""
    return f"the driver says: {driver.problem or 'no GPU'}" if driver else "there is no driver: libcuda.so.1 is missing"
