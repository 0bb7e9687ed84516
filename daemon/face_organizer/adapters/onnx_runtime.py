"""The Session port over ONNX Runtime: CPU, CUDA, TensorRT.

Room:    adapters (touches onnxruntime and tensorrt)
Imports: types, errors, runtime, numpy, onnx, onnxruntime, tensorrt, stdlib
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from face_organizer.adapters.runtime import (
    WAY_OUT,
    Device,
    Kind,
    Steps,
    Tried,
    as_device_error,
    kind_of,
    number_of,
    smallest,
)
from face_organizer.errors import ModelError
from face_organizer.types import Float32

PROVIDERS: dict[Kind, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

_CUDA_OPTIONS = {"cudnn_conv_algo_search": "EXHAUSTIVE"}
"""DEFAULT is a slow fallback since ONNX Runtime 1.20; EXHAUSTIVE pays because batches come in few shapes."""


def open_onnx_runtime(model_path: Path, device: Device, count: int, batch_max: int, profiled: bool) -> Sequence[Tried]:
    """They share an InferenceSession: its Run is thread-safe, and a GPU does one thing at a time anyway."""
    profile = Path(tempfile.mkdtemp(prefix="face-organizer-profile-")) if profiled else None
    inference = _inference(model_path, device, batch_max, profile)
    return [OrtSession(inference, device, batch_max, None if number else profile) for number in range(count)]


def _inference(model_path: Path, device: Device, batch_max: int, profile: Path | None) -> Any:
    """An InferenceSession whose first provider is the one asked for. Raises ModelError where it is not."""
    onnxruntime = load_onnx_runtime()

    kind = kind_of(device)
    if kind != "cpu":
        _preload(onnxruntime, kind)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile / "run")
    providers = _providers(model_path, device, batch_max)
    inference = onnxruntime.InferenceSession(str(model_path), options, providers=providers)
    active = inference.get_providers()
    if active[:1] != [PROVIDERS[kind]]:
        told = f"{PROVIDERS[kind]} was asked for and {active[0] if active else 'nothing'} is active: "
        raise ModelError(told + WAY_OUT[kind])
    return inference


def _providers(model_path: Path, device: Device, batch_max: int) -> list[tuple[str, dict[str, str]]]:
    number = {"device_id": str(number_of(device))}
    match kind_of(device):
        case "cpu":
            return [("CPUExecutionProvider", {})]
        case "tensorrt":
            return [
                ("TensorrtExecutionProvider", number | _tensorrt_options(model_path, batch_max)),
                ("CUDAExecutionProvider", number | _CUDA_OPTIONS),
            ]
        case _:
            return [("CUDAExecutionProvider", number | _CUDA_OPTIONS)]


def _tensorrt_options(model_path: Path, batch_max: int) -> dict[str, str]:
    """Half precision, and one engine for all batches, kept beside the network: to build it takes minutes."""
    import onnx

    cache = model_path.parent / "tensorrt"
    cache.mkdir(exist_ok=True)
    (source,) = onnx.load(str(model_path), load_external_data=False).graph.input
    sides = "x".join(str(axis.dim_value) for axis in source.type.tensor_type.shape.dim[1:])
    profile = {"min": 1, "opt": batch_max, "max": batch_max}
    return {
        "trt_fp16_enable": "True",
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(cache),
    } | {f"trt_profile_{name}_shapes": f"{source.name}:{rows}x{sides}" for name, rows in profile.items()}


def _preload(onnxruntime: Any, kind: Kind) -> None:
    """Find CUDA, cuDNN and TensorRT in the pip packages."""
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    if kind == "tensorrt":
        with suppress(ImportError):  # it may also lie where the system's loader looks
            import tensorrt  # noqa: F401 - loading it loads its libraries


class OrtSession:
    """A session of ONNX Runtime. Its Run is thread-safe, so that sessions on one device may share `inference`."""

    def __init__(self, inference: Any, device: Device, batch_max: int, profile: Path | None = None) -> None:
        (source,) = inference.get_inputs()
        self._device, self._profile = device, profile
        self.batch_max = batch_max
        self.smallest_shape = smallest([axis if isinstance(axis, int) else None for axis in source.shape])
        self._inference = inference
        self._input = source.name
        self._buckets = kind_of(device) != "cpu"

    def run(self, batch: Float32) -> list[Float32]:
        assert len(batch) <= self.batch_max, (len(batch), self.batch_max)
        n = len(batch)
        if self._buckets:
            batch = _padded(batch, self.batch_max)
        with as_device_error(self._device):
            return [output[:n] for output in self._inference.run(None, {self._input: batch})]

    def steps_run(self) -> Steps:
        if self._profile is None:
            return {}
        file = Path(self._inference.end_profiling())
        steps: Steps = {}
        for step in json.loads(file.read_bytes()):
            told = step.get("args", {})
            if provider := told.get("provider"):
                of_provider = steps.setdefault(provider, {})
                of_provider[told.get("op_name", "")] = of_provider.get(told.get("op_name", ""), 0) + 1
        shutil.rmtree(self._profile, ignore_errors=True)
        self._profile = None
        return steps


def load_onnx_runtime() -> Any:
    """The library, told not to report its use: else it keeps a client's id and a database of events in
    ~/.cache/Microsoft, for its maker. It asks the environment once, when it is loaded."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def _padded(batch: Float32, batch_max: int) -> Float32:
    """The batch filled up with zeros to the next power of two (at most batch_max), so that few shapes occur."""
    size = min(1 << (len(batch) - 1).bit_length(), batch_max)
    if size == len(batch):
        return batch
    return np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), np.float32)])
