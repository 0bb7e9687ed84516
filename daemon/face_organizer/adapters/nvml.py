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

    def figures(self, address: str, uuid: str = "") -> dict[str, float]:
        """utilisation_percent, memory_used_bytes, memory_total_bytes, temperature_c of the card at an address on the
        PCI bus, or of the slice of it (MIG) with that uuid; what it does not tell is left out."""
        found: dict[str, float] = {}
        if self._nvml is None or not address:
            return found
        by_uuid, by_address = self._nvml.nvmlDeviceGetHandleByUUID, self._nvml.nvmlDeviceGetHandleByPciBusId
        cards = [*self._handle(by_uuid, f"MIG-{uuid}"), *self._handle(by_address, address)]
        for ask in (self._utilisation, self._memory, self._temperature):
            found |= self._told(ask, cards)
        return found

    def _handle(self, find: Callable[[bytes], Any], name: str) -> list[Any]:
        with suppress(self._nvml.NVMLError):
            return [find(name.encode())]
        return []

    def _told(self, ask: Callable[[Any], dict[str, float]], cards: list[Any]) -> dict[str, float]:
        for card in cards:
            with suppress(self._nvml.NVMLError):  # not every card can tell everything, and a slice only its memory
                return ask(card)
        return {}

    def _utilisation(self, card: Any) -> dict[str, float]:
        return {"utilisation_percent": self._nvml.nvmlDeviceGetUtilizationRates(card).gpu}

    def _memory(self, card: Any) -> dict[str, float]:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(card)
        return {"memory_used_bytes": memory.used, "memory_total_bytes": memory.total}

    def _temperature(self, card: Any) -> dict[str, float]:
        """Old drivers know only the one function, those to come only the other."""
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        with suppress(self._nvml.NVMLError, AttributeError):
            return {"temperature_c": self._nvml.nvmlDeviceGetTemperature(card, sensor)}
        with suppress(AttributeError):  # a package from before it
            return {"temperature_c": self._nvml.nvmlDeviceGetTemperatureV(card, sensor)}
        return {}
