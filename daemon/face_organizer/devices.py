"""Opens what the networks run on.

Room:    devices (wires)
Imports: parts, adapters, pipeline, names
"""

from __future__ import annotations

import os
from dataclasses import replace

from face_organizer.adapters.models import load_pack
from face_organizer.adapters.session import choose_device
from face_organizer.config import Config
from face_organizer.parts import (
    make_eyes,
    models_folder,
    open_attributes,
    open_detectors,
    open_recognisers,
    pack_of,
)
from face_organizer.pipeline.engine import Device, Engine
from face_organizer.ports import Log


def make_engine(config: Config, log: Log) -> Engine:
    """What runs the networks, for all libraries of a process; it opens them when it is started."""
    return Engine(
        lambda: open_devices(config, log),
        batch_max=config.flow.batch_max,
        linger_s=config.flow.linger_s,
        log=log,
    )


def open_devices(config: Config, log: Log) -> list[Device]:
    """The networks on the device that was asked for. Raises ModelError."""
    faces = config.faces
    pack = load_pack(pack_of(faces).address, models_folder(faces))
    choice = choose_device(faces.devices, pack.recogniser_path)
    workers = 1 if choice.device == "cuda" else faces.threads or len(os.sched_getaffinity(0))
    detectors = open_detectors(pack, choice.device, count=workers, batch_max=config.flow.batch_max)
    recognisers = open_recognisers(pack, choice.device, count=workers, batch_max=config.flow.batch_max)
    wanted = pack if faces.attributes else replace(pack, attributes_path=None)
    attributes = open_attributes(wanted, choice.device, count=workers, batch_max=config.flow.batch_max)
    log.info("networks_ready", pack=pack.name, device=choice.device, reason=choice.reason, workers=workers)
    return [Device(choice.device, make_eyes(detectors, recognisers, faces, pack.traits, attributes))]
