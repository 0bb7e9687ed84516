"""Which devices there are to run networks on.

Room:    adapters (touches the driver)
Imports: errors, driver, runtime, session, stdlib
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from face_organizer.adapters.driver import read_driver
from face_organizer.adapters.runtime import Device
from face_organizer.adapters.session import is_offered
from face_organizer.errors import ModelError

CAPABILITY_MIN = (5, 2)
"""No build of ONNX Runtime serves older cards."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The devices to open, their names told apart, and why these. passed_over: what their user should know of others,
    "" where there is nothing."""

    devices: tuple[Device, ...]
    reason: str
    passed_over: str = ""


def choose_devices(wanted: Sequence[str]) -> Choice:
    """Every device that was asked for: "cuda" is every GPU that the driver shows; "auto" is that where ONNX Runtime has
    CUDA, else the processor. Nothing is tried. Raises ModelError: nothing is installed.
    """
    devices: list[Device] = []
    reason, passed_over = "asked for", ""
    for name in wanted:
        if name == "auto":
            found, reason, passed_over = _best()
            devices += found
        else:
            devices += _expanded(name)
    return Choice(_told_apart(devices), reason, passed_over)


def processor() -> Device:
    """The fastest way to run networks on the processor: OpenVINO is 2.3 times as fast as ONNX Runtime with SFace.

    Raises ModelError: nothing is installed.
    """
    for kind in ("openvino", "cpu"):
        if is_offered(kind):
            return kind
    raise ModelError(
        "no runtime for the networks is installed: pip install 'face-organizer[cpu]' (or [cuda], [cuda-pascal])"
    )


def _best() -> tuple[list[Device], str, str]:
    """The devices of "auto", why these, and what was passed over: a GPU, or what was installed for one."""
    driver, gpus = read_driver()
    if is_offered("cuda"):
        if gpus:
            devices = [f"cuda:{number}" for number in range(len(gpus))]
            return devices, "ONNX Runtime has CUDA, and the driver shows a GPU", ""
        found, why = processor(), (driver.problem if driver else "") or "the driver shows no GPU"
        return [found], f"{found} is installed", f"CUDA is installed, and not used: {why}{_ASK_DOCTOR}"
    found = processor()
    if any(gpu.capability >= CAPABILITY_MIN for gpu in gpus):
        names = " and ".join(dict.fromkeys(gpu.name for gpu in gpus))
        return [found], f"{found} is installed", f"{names} is not used: CUDA is not installed{_ASK_DOCTOR}"
    return [found], f"{found} is installed, CUDA is not", ""


_ASK_DOCTOR = '. `face-organizer doctor` says what helps; faces.devices = "openvino" or "cpu" says that it should be so'


def _expanded(name: str) -> list[Device]:
    """cuda, tensorrt: one for each GPU; the first in any case, whose refusal says what is wrong."""
    if name not in ("cuda", "tensorrt"):
        return [name]
    return [f"{name}:{number}" for number in range(max(1, len(read_driver()[1])))]


def _told_apart(devices: Sequence[Device]) -> tuple[Device, ...]:
    """A GPU counts once; the processor may be there several times, with sessions of its own each."""
    names: list[Device] = []
    for device in devices:
        if device in ("openvino", "cpu"):
            names.append(device if devices.count(device) == 1 else f"{device}:{len(names)}")
        elif device not in names:
            names.append(device)
    return tuple(names)
