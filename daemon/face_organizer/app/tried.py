"""One image through decoder and networks, in a process that may die of it: `python -m face_organizer.app.tried`.

Room:    app (wires)
Imports: devices, parts, adapters, pipeline, names, stdlib

What it reads on stdin is a pickle between a process and its child, nothing from outside.
"""

from __future__ import annotations

import pickle
import sys

from face_organizer.adapters.child import ChildError, answer_of
from face_organizer.adapters.log import open_log
from face_organizer.app.devices import open_devices
from face_organizer.app.parts import Reader, limits_of
from face_organizer.config import Config
from face_organizer.errors import ItemError, ModelError
from face_organizer.pipeline.read import Decode
from face_organizer.types import ImageRef


def why_deadly(config: Config, ref: ImageRef) -> str:
    """What becomes of a process that looks at this image and no other, in a sentence; "" where it lives on, or could
    not begin."""
    try:
        answer_of("face_organizer.app.tried", within_s=config.flow.hung_after_s, given=pickle.dumps((config, ref)))
    except ChildError as error:
        could_begin = not isinstance(error.__cause__, OSError)
        return f"it brings the program down, and did so by itself, too: {error}" if could_begin else ""
    return ""


def _look(config: Config, ref: ImageRef) -> str:
    """Raises SystemExit where no device survives it."""
    try:
        devices = open_devices(config, open_log("json", "critical"))
    except ModelError as error:
        return f"no device is there for it: {error}"
    try:
        image = Decode(Reader(lambda: config), lambda: limits_of(config))([ref])[0]
    except ItemError as error:
        return f"rejected: {error}"
    causes = []
    for device in devices:
        try:
            device.workers[0]([image])
        except ModelError as error:
            causes.append(f"{device.name} failed: {error}")
        except ItemError as error:
            return f"rejected: {error}"
        else:
            return f"seen by {device.name}"
    raise SystemExit("; ".join(causes))


if __name__ == "__main__":
    sys.stdout.write(_look(*pickle.load(sys.stdin.buffer)) + "\n")
