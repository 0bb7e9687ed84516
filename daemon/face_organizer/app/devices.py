"""Opens what the networks run on, and lets each device prove itself first.

Room:    app (wires)
Imports: parts, proving, adapters, pipeline, names

A device is used only if the runtime's own account says that it ran every step of weight, and if it sees in the faces of
the proof what the processor sees. What does not prove itself is refused, with the way out, or, where that is allowed,
replaced by the processor, which every status then says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from time import perf_counter

from face_organizer.adapters.choice import choose_devices, processor
from face_organizer.adapters.driver import read_driver
from face_organizer.adapters.models import Pack, load_pack
from face_organizer.adapters.nvml import Cards
from face_organizer.adapters.runtime import detector_device, is_gpu, kind_of, number_of
from face_organizer.adapters.session import How, steps_run
from face_organizer.app.parts import (
    make_eyes,
    models_folder,
    open_attributes,
    open_detectors,
    open_recognisers,
    pack_of,
)
from face_organizer.app.proving import answer_of, check_answer, check_steps, expected_of, speed_of, told
from face_organizer.config import Config
from face_organizer.errors import ModelError
from face_organizer.pipeline.engine import Device, Engine
from face_organizer.pipeline.pulse import at_length
from face_organizer.ports import Log
from face_organizer.types import Float32

GPU_WORKERS = 2
"""While one prepares pictures, the other keeps the GPU busy."""

SPARE_WORKERS = 1
"""With OpenVINO, beyond its threads: one more prepares pictures while those compute. 1.95 of 2 cores work, not 1.86."""


def make_engine(config: Config, log: Log) -> Engine:
    """What runs the networks, for all libraries of a process; it opens them when it is started."""
    return Engine(
        lambda: open_devices(config, log),
        batch_max=config.flow.batch_max,
        linger_s=config.flow.linger_s,
        log=log,
        gauge=_gauge(),
    )


def _gauge() -> Callable[[str], Mapping[str, float]]:
    """What the card behind a device says of itself; the driver is asked when the first one is wanted."""
    cards, gpus = cache(Cards), cache(lambda: read_driver()[1])

    def figures(name: str) -> Mapping[str, float]:
        if not is_gpu(name) or number_of(name) >= len(gpus()):
            return {}
        gpu = gpus()[number_of(name)]
        return cards().figures(gpu.address, gpu.uuid)

    return figures


def open_devices(config: Config, log: Log) -> list[Device]:
    """The devices that were asked for, each proven. Raises ModelError."""
    faces = config.faces
    pack = load_pack(pack_of(faces).address, models_folder(faces))
    choice = choose_devices(faces.wanted)
    opener = _Opener(config, pack, log, expected_of(pack, models_folder(faces)))
    devices: list[Device] = []
    causes = [choice.passed_over] if choice.passed_over else []
    for name in choice.devices:
        try:
            devices.append(opener.open(name, beside=choice.devices))
        except ModelError as error:
            if not (faces.allow_cpu_fallback or "auto" in faces.wanted) or kind_of(name) == processor():
                raise
            causes.append(f"{name} is not used: {error}")
            log.error("device_refused", device=name, cause=str(error))
    if not devices:
        devices.append(opener.open(processor(), beside=()))
    devices[0].notices = tuple(causes)
    names = ", ".join(device.name for device in devices)
    log.info(
        "networks_ready",
        pack=pack.name,
        device=names,
        reason="; ".join([choice.reason, *causes]),
        workers=sum(len(device.workers) for device in devices),
    )
    return devices


class _Opener:
    """Opens and tries one device after the other. expected: what the processor answers to the proof."""

    def __init__(self, config: Config, pack: Pack, log: Log, expected: Float32) -> None:
        self._config, self._pack, self._log, self._expected = config, pack, log, expected

    def open(self, name: str, beside: Sequence[str]) -> Device:
        """beside: all devices that are opened, for those on the processor share its cores. Raises ModelError."""
        began = perf_counter()
        faces, batch_max = self._config.faces, self._config.flow.batch_max
        on_processor = [each for each in beside if not is_gpu(each)]
        cores = faces.threads or len(os.sched_getaffinity(0))
        threads = max(1, cores // max(1, len(on_processor)))
        workers = threads + SPARE_WORKERS if kind_of(name) == "openvino" else GPU_WORKERS if is_gpu(name) else threads
        how = How(profiled=True, threads=threads, log=self._log)
        with at_length():  # TensorRT builds an engine at the first start, which takes minutes
            detectors = open_detectors(self._pack, name, count=workers, batch_max=batch_max, **how)
            recognisers = open_recognisers(self._pack, name, count=workers, batch_max=batch_max, **how)
            wanted = self._pack if faces.attributes else replace(self._pack, attributes_path=None)
            attributes = open_attributes(wanted, name, count=workers, batch_max=batch_max, **how)
        answer = answer_of(recognisers[0], self._pack)
        steps = [steps_run(recognisers[0]), *(steps_run(each) for each in (detectors[0], attributes[0]) if each)]
        similarity = check_answer(name, answer, self._expected)
        check_steps(name, steps[0])
        for others in steps[1:]:
            check_steps(detector_device(name), others)
        self._log.info(
            "device_ready",
            device=name,
            faces_per_s=round(speed_of(recognisers[0], self._pack, fully=is_gpu(name)), 1),
            similarity=round(similarity, 6),
            workers=workers,
            steps=told(steps),
            seconds=round(perf_counter() - began, 3),
        )
        return Device(name, make_eyes(detectors, recognisers, faces, self._pack.traits, attributes))
