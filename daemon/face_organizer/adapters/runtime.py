"""What the runtimes of networks have in common: names of devices, a session, what helps where one does not run.

Room:    adapters
Imports: errors, ports, stdlib
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

from face_organizer.errors import DeviceError
from face_organizer.ports import Session

Device = str
"""openvino: OpenVINO on the CPU. cpu, cuda, tensorrt: ONNX Runtime. A number may follow: cuda:1 is the second GPU,
cpu:1 another set of sessions on the same processor."""

Kind = Literal["openvino", "cpu", "cuda", "tensorrt"]

Steps = dict[str, dict[str, int]]
"""Provider -> operator -> how many steps of it ran there."""

Shape = tuple[int, ...]
"""Of an input: (n, c, h, w)."""

_WAYS_OUT: dict[Kind, str] = {
    "openvino": "pip install 'face-organizer[openvino]', or set faces.devices = \"cpu\"",
    "cpu": "pip install 'face-organizer[cpu]', or set faces.devices = \"openvino\"",
    "cuda": "{cuda}, "
    'check the driver with nvidia-smi, or set faces.devices = "auto"; `face-organizer doctor` looks for the cause',
    "tensorrt": 'install the [tensorrt] extra (not for Pascal cards), or set faces.devices = "cuda"; '
    "`face-organizer doctor` looks for the cause",
}


class Tried(Session, Protocol):
    """A session that says which shape its trial run takes: float32 (1, c, h, w)."""

    smallest_shape: tuple[int, ...]


def way_out(kind: Kind) -> str:
    """What helps where a kind of device does not run, as it is done where we run."""
    folder = checkout()
    cuda = (
        f"`{folder}/scripts/setup --anew cuda` (Pascal cards: cuda-pascal) installs what it needs"
        if folder
        else "install the [cuda] extra (Pascal cards: [cuda-pascal]) without the CPU onnxruntime beside it"
    )
    return _WAYS_OUT[kind].replace("{cuda}", cuda)


def checkout() -> str:
    """The folder whose scripts/setup made the environment that we run in, "" where none did."""
    folder = Path(sys.prefix).parent
    return str(folder) if Path(sys.prefix).name == ".venv" and (folder / "scripts" / "setup").is_file() else ""


def kind_of(device: Device) -> Kind:
    return device.partition(":")[0]  # type: ignore[return-value]  # the configuration knows no others


def detector_device(device: Device) -> Device:
    """Where the detector of a device runs. Its input has many shapes, and TensorRT takes minutes for each new one."""
    return device.replace("tensorrt", "cuda")


def is_gpu(device: Device) -> bool:
    return kind_of(device) in ("cuda", "tensorrt")


def number_of(device: Device) -> int:
    return int(device.partition(":")[2] or 0)


@contextmanager
def as_device_error(device: Device) -> Iterator[None]:
    """The runtimes raise plain RuntimeError and classes of their own."""
    try:
        yield
    except Exception as error:
        raise DeviceError(f"{device}: {said_in(error)}") from error


def said_in(error: Exception) -> str:
    """What a runtime's error says, on one line."""
    return " ".join(str(error).split())


def smallest(axes: Sequence[int | None]) -> tuple[int, ...]:
    """A shape for the trial run: one row, free picture sizes at 64 px."""
    return (1, *(64 if size is None else size for size in axes[1:]))
