"""What cards say of themselves. NVIDIA's own package, on functions that stand in for its library."""

from __future__ import annotations

import sys
from typing import Any

import pynvml
import pytest

from face_organizer.adapters.nvml import Cards

CARD, SLICE = b"0000:01:00.0", b"MIG-8d2b6ff1-0000-0000-0000-000000000007"
NOT_SUPPORTED, NOT_FOUND = pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NOT_FOUND


class Library:
    """libnvidia-ml.so.1 of a box with one card: what each function writes through its pointers, and gives back."""

    def __init__(self) -> None:
        self.handles: list[bytes] = []

    def nvmlInitWithFlags(self, _flags: int) -> int:
        return 0

    def nvmlErrorString(self, _code: int) -> bytes:
        return b"Not Supported"

    def nvmlDeviceGetHandleByPciBusId_v2(self, address: Any, _device: Any) -> int:
        self.handles.append(address.value)
        return 0 if address.value == CARD else NOT_FOUND

    def nvmlDeviceGetHandleByUUID(self, uuid: Any, _device: Any) -> int:
        return NOT_FOUND

    def nvmlDeviceGetUtilizationRates(self, _device: Any, rates: Any) -> int:
        rates._obj.gpu = 87
        return 0

    def nvmlDeviceGetMemoryInfo(self, _device: Any, memory: Any) -> int:
        memory._obj.used, memory._obj.total = 3 << 30, 8 << 30
        return 0

    def nvmlDeviceGetTemperature(self, _device: Any, sensor: Any, degrees: Any) -> int:
        assert sensor.value == pynvml.NVML_TEMPERATURE_GPU
        degrees._obj.value = 64
        return 0


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    there = Library()
    monkeypatch.setattr(pynvml, "nvmlLib", there)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    return there


def fails(*_arguments: Any) -> int:
    return int(NOT_SUPPORTED)


def test_a_card_says_how_busy_full_and_warm_it_is(library: Library) -> None:
    assert Cards().figures("0000:01:00.0", "8d2b6ff1-0000-0000-0000-000000000001") == {
        "utilisation_percent": 87,
        "memory_used_bytes": 3 << 30,
        "memory_total_bytes": 8 << 30,
        "temperature_c": 64,
    }


def test_what_a_card_cannot_tell_is_left_out(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "nvmlDeviceGetUtilizationRates", fails)

    assert set(Cards().figures("0000:01:00.0")) == {"memory_used_bytes", "memory_total_bytes", "temperature_c"}


def test_a_driver_that_has_only_the_newer_function_tells_how_warm_it_is(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def newer(_device: Any, told: Any) -> int:
        told._obj.temperature = 51
        return 0

    monkeypatch.delattr(Library, "nvmlDeviceGetTemperature")
    assert "temperature_c" not in Cards().figures("0000:01:00.0")
    monkeypatch.setattr(library, "nvmlDeviceGetTemperatureV", newer, raising=False)

    assert Cards().figures("0000:01:00.0")["temperature_c"] == 51


def test_a_slice_of_a_card_tells_its_own_memory_and_the_cards_temperature(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    slice_at = pynvml.c_nvmlDevice_t(pynvml.struct_c_nvmlDevice_t())

    def by_uuid(uuid: Any, device: Any) -> int:
        device._obj.contents = slice_at.contents
        return 0 if uuid.value == SLICE else NOT_FOUND

    def memory_of(device: Any, memory: Any) -> int:
        memory._obj.total = (10 if device else 80) << 30
        return 0

    def temperature_of(device: Any, _sensor: Any, degrees: Any) -> int:
        degrees._obj.value = 40
        return NOT_SUPPORTED if device else 0

    monkeypatch.setattr(library, "nvmlDeviceGetHandleByUUID", by_uuid)
    monkeypatch.setattr(library, "nvmlDeviceGetUtilizationRates", fails)
    monkeypatch.setattr(library, "nvmlDeviceGetMemoryInfo", memory_of)
    monkeypatch.setattr(library, "nvmlDeviceGetTemperature", temperature_of)

    figures = Cards().figures("0000:01:00.0", SLICE.decode().removeprefix("MIG-"))

    assert figures == {"memory_used_bytes": 0, "memory_total_bytes": 10 << 30, "temperature_c": 40}


def test_without_a_driver_nothing_is_told(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "nvmlInitWithFlags", fails)

    assert Cards().figures("0000:01:00.0") == {}


def test_of_a_card_that_is_not_there_nothing_is_told(library: Library) -> None:
    assert Cards().figures("0000:02:00.0") == Cards().figures("") == {}
    assert library.handles == [b"0000:02:00.0"]


def test_without_the_package_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)

    assert Cards().figures("0000:01:00.0") == {}
