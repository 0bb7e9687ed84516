"""What NVIDIA's driver says of the cards, through its own interface: it needs nothing that CUDA's toolkit brings.

Room:    adapters (touches libcuda and /proc)
Imports: facts, stdlib

It counts as CUDA does: CUDA_VISIBLE_DEVICES hides cards and orders them.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from face_organizer.facts import Driver, Gpu

_COMPUTE_CAPABILITY = (75, 76)
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of the CUDA driver API."""

_NO_DEVICE = 100
"""CUDA_ERROR_NO_DEVICE, also where CUDA_VISIBLE_DEVICES hides all of them."""


def read_driver() -> tuple[Driver | None, tuple[Gpu, ...]]:
    """What the CUDA driver API says; None where there is no driver. Needs nothing that CUDA's toolkit brings.

    A driver that works and shows no GPU has no problem: the cards are hidden, or not let in.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None, ()
    version, newest, count = _driver_version(), ctypes.c_int(), ctypes.c_int()
    known = cuda.cuDriverGetVersion(ctypes.byref(newest)) == 0
    driver = Driver(version, (newest.value // 1000, newest.value % 1000 // 10) if known else ())
    code = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    if code == _NO_DEVICE:
        return driver, ()
    if code != 0:
        text = ctypes.c_char_p()
        cuda.cuGetErrorName(code, ctypes.byref(text))
        return replace(driver, problem=(text.value or b"").decode() or f"CUDA's error {code}"), ()
    return driver, tuple(_gpu(cuda, ordinal) for ordinal in range(count.value))


def _gpu(cuda: ctypes.CDLL, ordinal: int) -> Gpu:
    device, name, size = ctypes.c_int(), ctypes.create_string_buffer(128), ctypes.c_size_t()
    cuda.cuDeviceGet(ctypes.byref(device), ordinal)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device)
    capability = []
    for attribute in _COMPUTE_CAPABILITY:
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(value.value)
    address, uuid = ctypes.create_string_buffer(32), ctypes.create_string_buffer(16)
    cuda.cuDeviceGetPCIBusId(address, len(address), device)
    if hasattr(cuda, "cuDeviceGetUuid_v2"):  # since 470: of a slice of a card, that slice's own
        cuda.cuDeviceGetUuid_v2(uuid, device)
    return Gpu(
        name.value.decode(errors="replace"),
        (capability[0], capability[1]),
        size.value,
        address.value.decode().lower(),
        str(UUID(bytes=uuid.raw)) if any(uuid.raw) else "",
    )


def _driver_version() -> str:
    """From the kernel's module: "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  ..."."""
    text = read_text("/proc/driver/nvidia/version")
    found = re.search(r"Module\s+(?:for \S+\s+)?(\d+\.[\d.]+)", text)
    return found[1] if found else ""


def read_text(path: str | Path) -> str:
    """A file of the kernel's, "" where it cannot be read."""
    try:
        return Path(path).read_text(errors="surrogateescape")
    except OSError:
        return ""
