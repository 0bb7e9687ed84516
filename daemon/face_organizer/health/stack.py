"""What the software under a GPU is, as far as it showed itself: the build, its libraries, the code in them.

Room:    health (thinks)
Imports: facts, health.versions
"""

from __future__ import annotations

from dataclasses import replace

from face_organizer.facts import Capability, Gpu, Library, Machine
from face_organizer.health.versions import MAXWELL, Build, build_of, parsed

RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-training")
CUDNN_ABSENT = ("cudnn is not available", "cudnn is unavailable", "cudnn library was not found")
"""Since 1.28 cuDNN is looked for when it is needed, and not by the loader."""


def weakest(machine: Machine) -> Gpu | None:
    """The card that is hardest to please, of those that any build serves."""
    served = [gpu for gpu in machine.gpus if gpu.capability >= MAXWELL]
    return min(served or machine.gpus, key=lambda gpu: gpu.capability, default=None)


def installed(machine: Machine) -> list[str]:
    """The packages that each bring an onnxruntime folder."""
    return [name for name in RUNTIMES if name in machine.packages]


def cuda_build(machine: Machine) -> Build | None:
    return build_of(parsed(machine.packages.get("onnxruntime-gpu", "")))


def cudnn(machine: Machine) -> Library | None:
    """The cuDNN that a trial on a GPU loaded."""
    return next((each for each in _loaded(machine) if each.name.startswith("libcudnn.so")), None)


def seen_code(machine: Machine, name: str) -> tuple[Capability, ...]:
    """What is seen in all libraries whose names begin so. cuDNN's own hands on to its parts, which hold the code."""
    parts = [each.capabilities or () for each in _loaded(machine) if each.name.startswith(name)]
    return tuple(capability for part in parts for capability in part)


def _loaded(machine: Machine) -> list[Library]:
    return [each for trial in machine.gpu_trials for each in trial.libraries]


def cudnn_version(machine: Machine) -> str:
    """Of the library that was loaded, else of the package that would bring it."""
    loaded = cudnn(machine)
    if loaded is not None and loaded.version.count(".") > 0:
        return loaded.version
    return next(
        (version for name, version in sorted(machine.packages.items()) if name.startswith("nvidia-cudnn-cu")), ""
    )


def serves(machine: Machine, build: Build, card: Gpu) -> bool:
    """By the code that was seen in it, else by what is known of its version."""
    seen = seen_code(machine, "libonnxruntime_providers_cuda")
    return replace(build, native=seen).runs_on(card.capability) if seen else build.runs_on(card.capability)


def lacked_library(error: str) -> str:
    """The library in "libcublasLt.so.11: cannot open shared object file"; "" if that is not what an error says."""
    if says(error, CUDNN_ABSENT):
        return "libcudnn.so.9"
    before, found, _ = error.partition(": cannot open shared object file")
    return before.split()[-1].rpartition("/")[2] if found and before.split() else ""


def cuda_majors(machine: Machine) -> set[int]:
    """Of the CUDA runtimes that are installed as packages, or were loaded."""
    suffixes = [name.rpartition("-cu")[2] for name in machine.packages if name.startswith("nvidia-c")]
    loaded = [each.name for trial in machine.trials for each in trial.libraries if each.name.startswith("libcudart")]
    return {int(each) for each in suffixes if each.isdecimal()} | {major_of(name) for name in loaded}


def major_of(library: str) -> int:
    """11 for "libcublas.so.11" or "/usr/lib/libcublas.so.11.5"; 0 where there is none."""
    number = library.rpartition(".so.")[2].partition(".")[0]
    return int(number) if number.isdecimal() else 0


def says(error: str, words: tuple[str, ...]) -> bool:
    return any(each in error.lower() for each in words)
