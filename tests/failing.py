"""The real program on painted pictures (numbered.py), with devices that fail: python failing.py a:2,b:5,c ARGS...

a fails at its second batch, b at its fifth, c never.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from numbered import Painted

from face_organizer.app import devices
from face_organizer.cli import main as command
from face_organizer.errors import DeviceError


class Failing(Painted):
    def __init__(self, name: str, last: int) -> None:
        super().__init__()
        self._name, self._left = name, last

    def __call__(self, images: list[Any], known: Sequence[Sequence[Any]] = ()) -> list[Any]:
        self._left -= 1
        if self._left == 0:
            raise DeviceError(f"{self._name}: CUDNN_STATUS_EXECUTION_FAILED")
        return super().__call__(images, known)


def opened(described: str) -> list[devices.Device]:
    parts = [each.partition(":") for each in described.split(",")]
    return [devices.Device(name, [Failing(name, int(last or -1))]) for name, _, last in parts]


if __name__ == "__main__":
    described, *arguments = sys.argv[1:]
    devices.open_devices = lambda config, log: opened(described)
    command(arguments, prog_name="face-organizer")
