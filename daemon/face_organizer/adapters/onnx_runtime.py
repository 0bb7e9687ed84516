"""The Session port over ONNX Runtime: CPU, CUDA, TensorRT.

Room:    adapters (touches onnxruntime)
Imports: types, errors, ports, providers, runtime, numpy, onnxruntime, stdlib
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from face_organizer.adapters.providers import PROVIDERS, preload, provider_options, refuse_missing, why_inactive
from face_organizer.adapters.runtime import (
    Device,
    Kind,
    Steps,
    Tried,
    as_device_error,
    is_gpu,
    kind_of,
    said_in,
    smallest,
    way_out,
)
from face_organizer.errors import DeviceError, ModelError
from face_organizer.ports import Log
from face_organizer.types import Float32

OUT_OF_MEMORY = ("failed to allocate memory", "out of memory", "alloc_failed", "available memory of", "bad_alloc")
"""What errors say, in small letters, when a batch was too large for what a device has free."""


def open_onnx_runtime(
    model_path: Path, device: Device, count: int, batch_max: int, profiled: bool, log: Log | None = None
) -> Sequence[Tried]:
    """They share an InferenceSession: its Run is thread-safe, and a GPU does one thing at a time anyway."""
    profile = Path(tempfile.mkdtemp(prefix="face-organizer-profile-")) if profiled else None
    try:
        inference = _inference(model_path, device, batch_max, profile)
        return [OrtSession(inference, device, batch_max, None if row else profile, log) for row in range(count)]
    except BaseException:
        if profile is not None:
            shutil.rmtree(profile, ignore_errors=True)
        raise


def _inference(model_path: Path, device: Device, batch_max: int, profile: Path | None) -> Any:
    """An InferenceSession whose first provider is the one asked for. Raises ModelError where it is not."""
    onnxruntime = load_onnx_runtime()

    kind = kind_of(device)
    if is_gpu(device):
        preload(onnxruntime, kind)
        refuse_missing(onnxruntime, device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile / "run")
    providers = provider_options(model_path, device, batch_max)
    try:
        # By itself it would go on with the processor, here and in the midst of work, and only print a line.
        inference = onnxruntime.InferenceSession(str(model_path), options, providers=providers, enable_fallback=False)
    except Exception as error:
        raise DeviceError(f"{device}: {said_in(error)}{_because(onnxruntime, kind)}") from error
    active = inference.get_providers()
    if active[:1] != [PROVIDERS[kind]]:
        told = f"{PROVIDERS[kind]} was asked for and {active[0] if active else 'nothing'} is active"
        raise ModelError(f"{told}{_because(onnxruntime, kind)}: {way_out(kind)}")
    return inference


def _because(onnxruntime: Any, kind: Kind) -> str:
    why = why_inactive(onnxruntime, kind)
    return f" ({why})" if why else ""


class OrtSession:
    """A session of ONNX Runtime. Its Run is thread-safe, so that sessions on one device may share `inference`."""

    def __init__(
        self, inference: Any, device: Device, batch_max: int, profile: Path | None = None, log: Log | None = None
    ) -> None:
        (source,) = inference.get_inputs()
        self._device, self._profile, self._log = device, profile, log
        self.batch_max = self._rows_max = batch_max
        self.smallest_shape = smallest([axis if isinstance(axis, int) else None for axis in source.shape])
        self._inference = inference
        self._input = source.name
        self._buckets = kind_of(device) != "cpu"
        if profile is not None:
            weakref.finalize(self, shutil.rmtree, profile, ignore_errors=True)

    def run(self, batch: Float32) -> list[Float32]:
        """What is too large for the memory that a device has free is run in halves, from then on."""
        assert len(batch) <= self.batch_max, (len(batch), self.batch_max)
        pieces: list[list[Float32]] = []
        start = 0
        while start < len(batch) or not pieces:
            rows = batch[start : start + self._rows_max]
            try:
                with as_device_error(self._device):
                    pieces.append(self._run(rows))
                start += len(rows)
            except DeviceError as error:
                if len(rows) < 2 or not any(words in str(error).lower() for words in OUT_OF_MEMORY):
                    raise
                self._rows_max = (1 << (len(rows) - 1).bit_length()) // 2
                if self._log is not None:
                    told = {"device": self._device, "images": len(rows), "images_max": self._rows_max}
                    self._log.warning("device_short_of_memory", **told, cause=str(error))
        return pieces[0] if len(pieces) == 1 else [np.concatenate(parts) for parts in zip(*pieces, strict=True)]

    def _run(self, batch: Float32) -> list[Float32]:
        filled = _padded(batch, self.batch_max) if self._buckets else batch
        return [output[: len(batch)] for output in self._inference.run(None, {self._input: filled})]

    def steps_run(self) -> Steps:
        """Raises ModelError: the account cannot be read."""
        if self._profile is None:
            return {}
        try:
            told = json.loads(Path(self._inference.end_profiling()).read_bytes())
        except (OSError, ValueError) as error:
            raise ModelError(
                f"what ran where on {self._device} cannot be read: {error}. Is {self._profile.parent} full?"
            ) from error
        steps: Steps = {}
        for step in (each.get("args", {}) for each in told):
            if provider := step.get("provider"):
                of_provider = steps.setdefault(provider, {})
                of_provider[step.get("op_name", "")] = of_provider.get(step.get("op_name", ""), 0) + 1
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
