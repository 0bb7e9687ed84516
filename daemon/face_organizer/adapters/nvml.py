"""What NVIDIA cards say of themselves: how busy, how full, how warm. Where nobody can be asked, they say nothing.

Room:    adapters (touches NVML)
Imports: stdlib, pynvml
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Cards:
    """NVML, if nvidia-ml-py and a driver are there."""

    def __init__(self) -> None:
        self._nvml: Any = None
        with suppress(Exception):  # no package, no driver, no right to: all mean that there is nothing to tell
            import pynvml

            pynvml.nvmlInit()
            self._nvml = pynvml

    def figures(self, address: str) -> dict[str, float]:
        """utilisation_percent, memory_used_bytes, memory_total_bytes, temperature_c of the card at an address on the
        PCI bus; what it does not tell is left out."""
        found: dict[str, float] = {}
        if self._nvml is None or not address:
            return found
        with suppress(self._nvml.NVMLError):
            card = self._nvml.nvmlDeviceGetHandleByPciBusId(address.encode())
            for ask in (self._utilisation, self._memory, self._temperature):
                found |= self._told(ask, card)
        return found

    def _told(self, ask: Callable[[Any], dict[str, float]], card: Any) -> dict[str, float]:
        with suppress(self._nvml.NVMLError):  # not every card can tell everything
            return ask(card)
        return {}

    def _utilisation(self, card: Any) -> dict[str, float]:
        return {"utilisation_percent": self._nvml.nvmlDeviceGetUtilizationRates(card).gpu}

    def _memory(self, card: Any) -> dict[str, float]:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(card)
        return {"memory_used_bytes": memory.used, "memory_total_bytes": memory.total}

    def _temperature(self, card: Any) -> dict[str, float]:
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        older = getattr(self._nvml, "nvmlDeviceGetTemperature", None)  # newer drivers only know the other one
        return {"temperature_c": (older or self._nvml.nvmlDeviceGetTemperatureV)(card, sensor)}
