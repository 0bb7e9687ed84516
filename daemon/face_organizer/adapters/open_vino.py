"""The Session port over OpenVINO, on the CPU.

Room:    adapters (touches openvino)
Imports: types, runtime, numpy, openvino, stdlib
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from face_organizer.adapters.runtime import Device, Shape, Steps, Tried, as_device_error, smallest
from face_organizer.types import Float32

_OPENVINO_BATCH_MAX = 8
"""Each face of a batch holds 12-23 MB while SFace runs, and beyond 8 one thread gains no speed."""


def open_openvino(
    model_path: Path, device: Device, count: int, threads: int, batch_max: int, recurring: Sequence[Shape]
) -> Sequence[Tried]:
    network = Network(model_path, threads, recurring)
    return [OpenVinoSession(network, device, min(batch_max, _OPENVINO_BATCH_MAX)) for _ in range(count)]


class Network:
    """A network with free axes, and copies of it whose axes are fixed to shapes that recur. Shared by its sessions.

    threads: in which it computes, each for one session at a time.
    """

    def __init__(self, model_path: Path, threads: int, recurring: Sequence[Shape]) -> None:
        openvino = load_openvino()

        self._core = openvino.Core()
        self._settings = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": str(threads),
            "INFERENCE_NUM_THREADS": str(threads),
            "ENABLE_CPU_PINNING": False,  # two networks pinned to the same cores: 50 images/s instead of 84
            "INFERENCE_PRECISION_HINT": "f32",  # the default is bfloat16 where the CPU has it: other embeddings
        }
        self._model = self._core.read_model(str(model_path))
        self.free = self._compiled(self._model)
        self.recurring = frozenset(recurring)
        self._fixed: dict[Shape, Any] = {}
        self._making = Lock()

    def devices(self) -> list[str]:
        """That execute the network, as OpenVINO says."""
        return list(self.free.get_property("EXECUTION_DEVICES"))

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


class OpenVinoSession:
    """Infer requests of one network: one with free axes, one for each recurring shape. A stream is one thread."""

    def __init__(self, network: Network, device: Device, batch_max: int) -> None:
        self._device = device
        self.batch_max = batch_max
        self.smallest_shape = smallest(
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
        with as_device_error(self._device):
            while start < len(batch):
                left = len(batch) - start
                rows = max((size for size in sizes if size <= left), default=left)
                pieces.append(self._infer(batch[start : start + rows]))
                start += rows
        return pieces[0] if len(pieces) == 1 else [np.concatenate(parts) for parts in zip(*pieces, strict=True)]

    def steps_run(self) -> Steps:
        return {device: {} for device in self._network.devices()}

    def _infer(self, batch: Float32) -> list[Float32]:
        request = self._free
        if batch.shape in self._network.recurring:
            if batch.shape not in self._fixed:
                self._fixed[batch.shape] = self._network.request(batch.shape)
            request = self._fixed[batch.shape]
        request.infer({0: batch}, share_inputs=True)
        # copied: the request's own memory is overwritten by the next run
        return [np.array(request.get_output_tensor(index).data) for index in range(self._outputs)]


def load_openvino() -> Any:
    """The library without the reports of its use: its import alone writes a client's id to ~/intel. It makes do without
    the package that would report."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino
