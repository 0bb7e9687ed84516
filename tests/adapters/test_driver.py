"""What the CUDA driver says. Functions stand in for libcuda where there is no card."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from face_organizer.adapters import driver
from face_organizer.adapters.driver import read_driver
from face_organizer.facts import Gpu

NO_DEVICE, MISMATCH = 100, 803


class Cuda:
    """libcuda.so.1 of a box with Tesla P4s: what each function writes through its pointers, and gives back."""

    init, cards, older = 0, 2, False

    def __getattribute__(self, name: str) -> Any:
        if name == "cuDeviceGetUuid_v2" and object.__getattribute__(self, "older"):
            raise AttributeError(name)
        return object.__getattribute__(self, name)

    def cuInit(self, _flags: int) -> int:
        return self.init

    def cuGetErrorName(self, code: int, text: Any) -> int:
        text._obj.value = b"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" if code == MISMATCH else None
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 12020
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        if self.cards < 0:
            return 999
        count._obj.value = self.cards
        return 0

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:
        device._obj.value = ordinal
        return 0

    def cuDeviceGetName(self, name: Any, size: int, _device: Any) -> int:
        name.value = b"Tesla P4"
        return 0

    def cuDeviceTotalMem_v2(self, size: Any, _device: Any) -> int:
        size._obj.value = 8 << 30
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, _device: Any) -> int:
        value._obj.value = {75: 6, 76: 1}[attribute]
        return 0

    def cuDeviceGetPCIBusId(self, address: Any, size: int, device: Any) -> int:
        address.value = f"0000:{device.value:02X}:00.0".encode()
        return 0

    def cuDeviceGetUuid_v2(self, uuid: Any, device: Any) -> int:
        uuid.raw = bytes([*range(15), device.value])
        return 0


def read(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> Any:
    cuda = Cuda()
    for name, value in changed.items():
        setattr(cuda, name, value)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: cuda)
    monkeypatch.setattr(
        driver, "read_text", lambda path: "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun"
    )
    return read_driver()


def test_each_card_is_found_with_what_decides_what_runs_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found, gpus = read(monkeypatch)

    assert (found.version, found.cuda, found.problem) == ("535.183.01", (12, 2), "")
    uuid = "00010203-0405-0607-0809-0a0b0c0d0e{:02}"
    assert gpus == tuple(Gpu("Tesla P4", (6, 1), 8 << 30, f"0000:0{row}:00.0", uuid.format(row)) for row in range(2))


def test_a_driver_from_before_slices_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [gpu.uuid for gpu in read(monkeypatch, older=True)[1]] == ["", ""]


def test_a_driver_that_works_and_shows_no_card_has_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    found, gpus = read(monkeypatch, init=NO_DEVICE)

    assert (found.version, found.cuda, found.problem, gpus) == ("535.183.01", (12, 2), "", ())


@pytest.mark.parametrize(
    ("changed", "problem"),
    [({"init": MISMATCH}, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"), ({"cards": -1}, "CUDA's error 999")],
)
def test_a_driver_that_cannot_be_used_says_why_and_shows_no_card(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, int], problem: str
) -> None:
    found, gpus = read(monkeypatch, **changed)

    assert (found.problem, gpus) == (problem, ())


def test_without_a_driver_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)

    assert read_driver() == (None, ())
