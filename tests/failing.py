"""The real program on painted pictures (numbered.py), with devices that fail: python failing.py a:2,b:5,c ARGS...

a fails at its second batch, b at its fifth, c never. d:fails fails with an image of DEADLY, always; e:dies takes the
process with it then.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from typing import Any

from numbered import Painted, run, run_children_by

from face_organizer.app import devices
from face_organizer.errors import DeviceError

DEADLY = 200
"""Somebody whom no device survives."""


class Failing(Painted):
    def __init__(self, name: str, when: str) -> None:
        super().__init__()
        self._name, self._when = name, when
        self._left = int(when) if when.isdecimal() else -1

    def __call__(self, images: list[Any], known: Sequence[Sequence[Any]] = ()) -> list[Any]:
        self._left -= 1
        is_deadly = any((image.pixels[0, :, 0] == DEADLY + 1).any() for image in images)
        if is_deadly and self._when == "dies":
            ctypes.string_at(0)  # a real fault: a signal that is sent leaves time for the rest of the work
        if self._left == 0 or (is_deadly and self._when == "fails"):
            raise DeviceError(f"{self._name}: CUDNN_STATUS_EXECUTION_FAILED")
        return super().__call__(images, known)


def opened(described: str) -> list[devices.Device]:
    parts = [each.partition(":") for each in described.split(",")]
    return [devices.Device(name, [Failing(name, when)]) for name, _, when in parts]


if __name__ == "__main__":
    described, *arguments = sys.argv[1:]
    devices.open_devices = lambda config, log: opened(described)
    run_children_by(__file__, described)
    run(arguments)
