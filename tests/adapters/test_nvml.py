"""What cards say of themselves. A module stands in for NVIDIA's where there is no card."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from face_organizer.adapters.nvml import Cards


class NVMLError(Exception):
    pass


def fails(*_arguments: Any) -> Any:
    raise NVMLError("Not Supported")


def nvml(**changed: Any) -> SimpleNamespace:
    told = {
        "NVMLError": NVMLError,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetHandleByPciBusId": lambda address: address.decode(),
        "nvmlDeviceGetUtilizationRates": lambda card: SimpleNamespace(gpu=87),
        "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(used=3 << 30, total=8 << 30),
        "nvmlDeviceGetTemperature": lambda card, sensor: 64,
    }
    return SimpleNamespace(**(told | changed))


def test_a_card_says_how_busy_full_and_warm_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml())

    assert Cards().figures("0000:01:00.0") == {
        "utilisation_percent": 87,
        "memory_used_bytes": 3 << 30,
        "memory_total_bytes": 8 << 30,
        "temperature_c": 64,
    }


def test_what_a_card_cannot_tell_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(nvmlDeviceGetUtilizationRates=fails))

    assert set(Cards().figures("0000:01:00.0")) == {"memory_used_bytes", "memory_total_bytes", "temperature_c"}


@pytest.mark.parametrize("changed", [{"nvmlInit": fails}, {"nvmlDeviceGetHandleByPciBusId": fails}])
def test_without_a_driver_or_such_a_card_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(**changed))

    assert Cards().figures("0000:01:00.0") == {}


def test_without_the_package_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)

    assert Cards().figures("0000:01:00.0") == {}
