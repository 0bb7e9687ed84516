"""Run a network: the Session port over OpenVINO and over ONNX Runtime (CPU and CUDA).

Room:    adapters
Imports: types, errors, ports, numpy, onnxruntime or openvino (only the one that is used), stdlib

Nothing falls back in silence: choose_device says what it passed over and why, and a session that does not run on the
device it was opened for raises.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Protocol

import numpy as np

from face_organizer.errors import ModelError
from face_organizer.ports import Session
from face_organizer.types import Float32

Device = Literal["openvino", "cpu", "cuda"]
"""openvino: OpenVINO on the CPU. cpu, cuda: ONNX Runtime."""

Shape = tuple[int, ...]
"""Of an input: (n, c, h, w)."""

_CUDA_OPTIONS = {"cudnn_conv_algo_search": "EXHAUSTIVE"}
"""DEFAULT is a slow fallback since ONNX Runtime 1.20; EXHAUSTIVE pays because batches come in few shapes."""

_OPENVINO_BATCH_MAX = 8
"""Each face of a batch holds 12-23 MB while SFace runs, and beyond 8 one thread gains no speed."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The device the networks will run on, and why: what was passed over is a sentence for the log."""

    device: Device
    reason: str


def choose_device(wanted: Device | Literal["auto"], model_path: Path) -> Choice:
    """The device to use: the one that was asked for, or the fastest here that runs model_path.

    auto: CUDA where ONNX Runtime offers it and a trial run succeeds, else OpenVINO (2.3 times as fast as ONNX Runtime
    with SFace on 2 cores), else ONNX Runtime on the CPU. Raises ModelError: nothing is installed.
    """
    if wanted != "auto":
        return Choice(wanted, "asked for")
    passed_over = ""
    if _offers_cuda():
        try:
            open_sessions(model_path, "cuda", count=1, batch_max=1)
        except ModelError as error:
            passed_over = f"; CUDA was passed over: {error}"
        else:
            return Choice("cuda", "a CUDA device works")
    if importlib.util.find_spec("openvino"):
        return Choice("openvino", f"OpenVINO is installed{passed_over}")
    if importlib.util.find_spec("onnxruntime"):
        return Choice("cpu", f"ONNX Runtime is installed, OpenVINO is not{passed_over}")
    raise ModelError(
        "no runtime for the networks is installed: pip install 'face-organizer[cpu]' (or [cuda], [cuda-pascal])"
    )


def open_sessions(
    model_path: Path, device: Device, *, count: int, batch_max: int, recurring: Sequence[Shape] = ()
) -> list[Session]:
    """`count` sessions of one network, for as many threads; on a CPU each computes in one thread.

    recurring: input shapes that come again and again. OpenVINO prepares a network anew whenever the shape of its input
    changes (YuNet: 2 ms, three looks at a crop), and even without a change a free shape costs it a fifth more. So each
    of these gets a copy of the network, made at its first use, and a batch of such pictures is run in pieces of these
    sizes as far as they go. The other runtimes do not care. For small networks only: a copy has weights of its own.

    But for that the weights are held once. Every session has made a trial run of one. Raises ModelError: the runtime is
    not installed, the network cannot be loaded, or the device that was asked for is not the one that runs it.
    """
    assert min(count, batch_max) >= 1, (count, batch_max)
    openers: dict[Device, Callable[[Path, int, int], Sequence[_Tried]]] = {
        "openvino": partial(_open_openvino, recurring=recurring),
        "cpu": _open_cpu,
        "cuda": _open_cuda,
    }
    try:
        sessions = openers[device](model_path, count, batch_max)
        for session in sessions:
            session.run(np.zeros(session.smallest_shape, np.float32))
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(f"the runtime for {device} is not installed ({error}): {_WAY_OUT[device]}") from error
    except Exception as error:  # the runtimes raise plain RuntimeError and classes of their own; all mean the same
        raise ModelError(f"{model_path.name} does not run on {device}: {error}. {_WAY_OUT[device]}") from error
    return list(sessions)


_WAY_OUT = {
    "openvino": "pip install 'face-organizer[openvino]', or set faces.devices = \"cpu\"",
    "cpu": "pip install 'face-organizer[cpu]', or set faces.devices = \"openvino\"",
    "cuda": "install the [cuda] extra (Pascal cards: [cuda-pascal]) without the CPU onnxruntime beside it, "
    'check the driver with nvidia-smi, or set faces.devices = "auto"',
}


class _Tried(Session, Protocol):
    """A session that says which shape its trial run takes: float32 (1, c, h, w)."""

    smallest_shape: tuple[int, ...]


class _OpenVinoNetwork:
    """A network with free axes, and copies of it whose axes are fixed to shapes that recur. Shared by its sessions."""

    def __init__(self, model_path: Path, count: int, recurring: Sequence[Shape]) -> None:
        openvino = _openvino()

        self._core = openvino.Core()
        self._settings = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": str(count),
            "INFERENCE_NUM_THREADS": str(count),
            "ENABLE_CPU_PINNING": False,  # two networks pinned to the same cores: 50 images/s instead of 84
            "INFERENCE_PRECISION_HINT": "f32",  # the default is bfloat16 where the CPU has it: other embeddings
        }
        self._model = self._core.read_model(str(model_path))
        self.free = self._compiled(self._model)
        self.recurring = frozenset(recurring)
        self._fixed: dict[Shape, Any] = {}
        self._making = Lock()

    def request(self, shape: Shape) -> Any:
        """An infer request of the copy for one of the recurring shapes, which is made when first asked for (.15 s)."""
        with self._making:
            if shape not in self._fixed:
                model = self._model.clone()
                model.reshape(list(shape))
                self._fixed[shape] = self._compiled(model)
            return self._fixed[shape].create_infer_request()

    def _compiled(self, model: Any) -> Any:
        return self._core.compile_model(model, "CPU", self._settings)


class _OpenVinoSession:
    """Infer requests of one network: one with free axes, one for each recurring shape. A stream is one thread."""

    def __init__(self, network: _OpenVinoNetwork, batch_max: int) -> None:
        self.batch_max = batch_max
        self.smallest_shape = _smallest(
            [d.get_length() if d.is_static else None for d in network.free.input(0).partial_shape]
        )
        self._network = network
        self._free = network.free.create_infer_request()
        self._fixed: dict[Shape, Any] = {}
        self._outputs = len(network.free.outputs)

    def run(self, batch: Float32) -> list[Float32]:
        assert len(batch) <= self.batch_max, (len(batch), self.batch_max)
        batch = np.ascontiguousarray(batch)
        sizes = [shape[0] for shape in self._network.recurring if shape[1:] == batch.shape[1:]]
        pieces: list[list[Float32]] = []
        start = 0
        while start < len(batch):
            left = len(batch) - start
            rows = max((size for size in sizes if size <= left), default=left)
            pieces.append(self._infer(batch[start : start + rows]))
            start += rows
        return pieces[0] if len(pieces) == 1 else [np.concatenate(parts) for parts in zip(*pieces, strict=True)]

    def _infer(self, batch: Float32) -> list[Float32]:
        request = self._free
        if batch.shape in self._network.recurring:
            if batch.shape not in self._fixed:
                self._fixed[batch.shape] = self._network.request(batch.shape)
            request = self._fixed[batch.shape]
        request.infer({0: batch}, share_inputs=True)
        # copied: the request's own memory is overwritten by the next run
        return [np.array(request.get_output_tensor(index).data) for index in range(self._outputs)]


class _OrtSession:
    """A session of ONNX Runtime. Its Run is thread-safe, so that sessions on one device may share `inference`."""

    def __init__(self, inference: Any, batch_max: int, *, buckets: bool) -> None:
        (source,) = inference.get_inputs()
        self.batch_max = batch_max
        self.smallest_shape = _smallest([axis if isinstance(axis, int) else None for axis in source.shape])
        self._inference = inference
        self._input = source.name
        self._buckets = buckets

    def run(self, batch: Float32) -> list[Float32]:
        assert len(batch) <= self.batch_max, (len(batch), self.batch_max)
        n = len(batch)
        if self._buckets:
            batch = _padded(batch, self.batch_max)
        return [output[:n] for output in self._inference.run(None, {self._input: batch})]


def nodes_by_provider(model_path: Path, device: Device) -> dict[str, int]:
    """How many steps of a network ONNX Runtime really runs where, by its own profile of a run; {} for OpenVINO.

    What a session offers (get_providers) proves little: a provider may be active and run nothing. Raises ModelError.
    """
    if device == "openvino":
        return {}
    onnxruntime = _onnxruntime()

    provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        inference = onnxruntime.InferenceSession(str(model_path), options, providers=[provider])
        (source,) = inference.get_inputs()
        shape = _smallest([axis if isinstance(axis, int) else None for axis in source.shape])
        inference.run(None, {source.name: np.zeros(shape, np.float32)})
        steps = json.loads(Path(inference.end_profiling()).read_bytes())
    return dict(Counter(step["args"]["provider"] for step in steps if step.get("args", {}).get("provider")))


def _open_openvino(model_path: Path, count: int, batch_max: int, recurring: Sequence[Shape]) -> list[_OpenVinoSession]:
    network = _OpenVinoNetwork(model_path, count, recurring)
    return [_OpenVinoSession(network, min(batch_max, _OPENVINO_BATCH_MAX)) for _ in range(count)]


def _open_cpu(model_path: Path, count: int, batch_max: int) -> list[_OrtSession]:
    inference = _inference(model_path, "CPUExecutionProvider", {})
    return [_OrtSession(inference, batch_max, buckets=False) for _ in range(count)]


def _open_cuda(model_path: Path, count: int, batch_max: int) -> list[_OrtSession]:
    """One inference session each: a session has one CUDA stream."""
    return [
        _OrtSession(_inference(model_path, "CUDAExecutionProvider", _CUDA_OPTIONS), batch_max, buckets=True)
        for _ in range(count)
    ]


def _inference(model_path: Path, provider: str, provider_options: dict[str, str]) -> Any:
    """An InferenceSession whose first provider is the one asked for. Raises ModelError where it is not."""
    onnxruntime = _onnxruntime()

    if provider == "CUDAExecutionProvider" and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # finds CUDA and cuDNN in the pip packages
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    inference = onnxruntime.InferenceSession(str(model_path), options, providers=[(provider, provider_options)])
    active = inference.get_providers()
    if active[:1] != [provider]:
        raise ModelError(
            f"{provider} was asked for and {active[0] if active else 'nothing'} is active: "
            + _WAY_OUT["cuda" if provider == "CUDAExecutionProvider" else "cpu"]
        )
    return inference


def _openvino() -> Any:
    """The library without the reports of its use: its import alone writes a client's id to ~/intel. It makes do without
    the package that would report."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def _onnxruntime() -> Any:
    """The library, told not to report its use: else it keeps a client's id and a database of events in
    ~/.cache/Microsoft, for its maker. It asks the environment once, when it is loaded."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def _offers_cuda() -> bool:
    if not importlib.util.find_spec("onnxruntime"):
        return False
    onnxruntime = _onnxruntime()

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _smallest(axes: Sequence[int | None]) -> tuple[int, ...]:
    """A shape for the trial run: one row, free picture sizes at 64 px."""
    return (1, *(64 if size is None else size for size in axes[1:]))


def _padded(batch: Float32, batch_max: int) -> Float32:
    """The batch filled up with zeros to the next power of two (at most batch_max), so that few shapes occur."""
    size = min(1 << (len(batch) - 1).bit_length(), batch_max)
    if size == len(batch):
        return batch
    return np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), np.float32)])
