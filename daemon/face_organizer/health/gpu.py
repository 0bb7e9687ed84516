"""Why a GPU is not used, or not as it could be, and what to do about it.

Room:    health (thinks)
Imports: facts, health.versions

Each rule knows one fault. The classic ones say nothing by themselves: ONNX Runtime falls back to the CPU in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from face_organizer.facts import Finding, Gpu, Library, Machine
from face_organizer.health.versions import (
    CUDNN_CAPABILITY_MIN,
    CUDNN_PASCAL_LAST,
    DRIVER_MIN,
    FAISS_GPU_CAPABILITY_MIN,
    PASCAL_LAST,
    TENSORRT_CAPABILITY_MIN,
    Build,
    build_of,
    parsed,
    runs_on,
    written,
)

FAISSES = ("faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cuvs", "faiss-cpu")
RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-training")
PROFILE_PASCAL = "pip install 'face-organizer[cuda-pascal]'"
PROFILES = {11: PROFILE_PASCAL, 12: "pip install 'face-organizer[cuda12]'", 13: "pip install 'face-organizer[cuda]'"}
NO_KERNEL = ("no kernel image", "cudaerrornokernelimagefordevice")
DRIVER_OLD = ("driver version is insufficient", "cuda_error_insufficient_driver", "forward compatibility")
CUDNN_FAILED = ("cudnn_status_execution_failed", "cudnn_status_arch_mismatch", "cudnn_status_not_supported")


def gpu_findings(machine: Machine) -> Iterator[Finding]:
    """All that is to be said about GPUs, causes before what follows from them."""
    for rule in RULES:
        yield from rule(machine)


def wants_cuda(machine: Machine) -> bool:
    """Does anybody expect a GPU to be used: because there is one, or because the configuration names one?"""
    return (
        bool(machine.gpus or machine.pci_gpus)
        or "cuda" in machine.devices_wanted
        or "tensorrt" in machine.devices_wanted
    )


def weakest(machine: Machine) -> Gpu | None:
    """The card that is hardest to please."""
    return min(machine.gpus, key=lambda gpu: gpu.capability, default=None)


def installed(machine: Machine) -> list[str]:
    """The packages that each bring an onnxruntime folder."""
    return [name for name in RUNTIMES if name in machine.packages]


def cuda_build(machine: Machine) -> Build | None:
    return build_of(parsed(machine.packages.get("onnxruntime-gpu", "")))


def cudnn(machine: Machine) -> Library | None:
    """The cuDNN that the trial on the GPU loaded."""
    trial = machine.trial("cuda")
    return next((each for each in trial.libraries if each.name.startswith("libcudnn.so")), None) if trial else None


def cudnn_version(machine: Machine) -> str:
    """Of the library that was loaded, else of the package that would bring it."""
    loaded = cudnn(machine)
    if loaded is not None and loaded.version.count(".") > 0:
        return loaded.version
    return next(
        (version for name, version in sorted(machine.packages.items()) if name.startswith("nvidia-cudnn-cu")), ""
    )


def _two_runtimes(machine: Machine) -> Iterator[Finding]:
    """insightface asks for the CPU package, whatever is there: that is how most people get both."""
    names = installed(machine)
    if len(names) < 2:
        return
    kept = "onnxruntime-gpu" if "onnxruntime-gpu" in names else names[0]
    told = " and ".join(f"{name} {machine.packages[name]}" for name in names)
    why = "they are the same folder of files: whichever came last overwrote the others, and a GPU is lost in silence"
    if "insightface" in machine.packages:
        why += " (insightface asks for the CPU package: install it with --no-deps)"
    version = machine.packages[kept]
    yield Finding(
        "two_runtimes",
        f"{told} are installed side by side",
        why,
        f"pip uninstall -y {' '.join(names)}\npip install --force-reinstall --no-deps {kept}=={version}",
    )


def _two_faisses(machine: Machine) -> Iterator[Finding]:
    names = [name for name in FAISSES if name in machine.packages]
    if len(names) > 1:
        kept = names[0] if machine.gpus else names[-1]
        yield Finding(
            "two_faisses",
            f"{' and '.join(f'{name} {machine.packages[name]}' for name in names)} are installed side by side",
            "they are the same folder of files: whichever came last overwrote parts of the others",
            f"pip uninstall -y {' '.join(names)}\n"
            f"pip install --force-reinstall --no-deps {kept}=={machine.packages[kept]}",
        )


def _no_driver(machine: Machine) -> Iterator[Finding]:
    if machine.gpus or not wants_cuda(machine):
        return
    driver = machine.driver
    if driver is not None and not driver.problem:
        yield Finding(
            "no_gpu_shown",
            "NVIDIA's driver is there and shows no GPU",
            "nothing can run on a GPU; CUDA_VISIBLE_DEVICES may hide it",
            "unset CUDA_VISIBLE_DEVICES\nnvidia-smi",
        )
    elif machine.container and not machine.device_files:
        yield Finding(
            "container_without_gpu",
            "this container was started without a GPU: there is no /dev/nvidia0"
            + ("" if driver is None else f" ({driver.problem})"),
            "the image's own CUDA is of no use without the host's driver and device files",
            "docker run --gpus all ...   # compose: deploy.resources.reservations.devices\n"
            "nvidia-ctk runtime configure --runtime=docker && systemctl restart docker   # once, on the host",
        )
    else:
        yield Finding(
            "no_driver",
            "NVIDIA's driver cannot be used" + (f": {driver.problem}" if driver else ": libcuda.so.1 is not there"),
            "nothing can run on a GPU",
            "apt-get install nvidia-driver   # then reboot; nvidia-smi must show the card",
        )


def _cpu_package_only(machine: Machine) -> Iterator[Finding]:
    names = installed(machine)
    if machine.gpus and "onnxruntime-gpu" not in names:
        card = weakest(machine)
        assert card is not None
        told = f"only {' and '.join(names)} is installed" if names else "no onnxruntime is installed"
        cure = f"pip uninstall -y {' '.join(names)}\n" if names else ""
        yield Finding(
            "cpu_package_only",
            f"there is a GPU ({card.name}), and {told}",
            "it knows no GPU: everything runs on the CPU",
            cure + _profile_for(machine, card),
        )


def _no_code_for_card(machine: Machine) -> Iterator[Finding]:
    build, card = cuda_build(machine), weakest(machine)
    if build is None or card is None or build.runs_on(card.capability):
        return
    version = machine.packages["onnxruntime-gpu"]
    yield Finding(
        "no_code_for_card",
        f"onnxruntime-gpu {version} holds no code for {card.name} (compute capability {written(card.capability)})",
        f"it was built for {', '.join(written(each) for each in build.native)} and later; since "
        f"{written((PASCAL_LAST[0], PASCAL_LAST[1] + 1))} (CUDA 13) nothing before Turing (7.5) is served, and no "
        "setting can bring missing kernels back",
        f"pip uninstall -y onnxruntime-gpu\n{_profile_for(machine, card)}",
    )


def _driver_too_old(machine: Machine) -> Iterator[Finding]:
    build, driver = cuda_build(machine), machine.driver
    if build is None or driver is None or not driver.cuda or driver.cuda[0] >= build.cuda:
        return
    card = weakest(machine)
    alternative = "pip install 'onnxruntime-gpu>=1.20,<=1.26'" if build.cuda == 13 else PROFILE_PASCAL
    yield Finding(
        "driver_too_old",
        f"the driver {driver.version} runs CUDA up to {written(driver.cuda)}, and onnxruntime-gpu "
        f"{machine.packages['onnxruntime-gpu']} needs CUDA {build.cuda}",
        "a driver runs programs of its own CUDA major version and older ones",
        f"apt-get install nvidia-driver   # at least {DRIVER_MIN[build.cuda]}\n"
        + (alternative if card is None else f"{_profile_for(machine, card)}   # or this, with the old driver"),
    )


def _wrong_cuda_libraries(machine: Machine) -> Iterator[Finding]:
    """The loader names the library that it lacks, with the major version that it should have."""
    trial, build = machine.trial("cuda"), cuda_build(machine)
    if build is None or trial is None or not trial.error:
        return
    lacking = _lacking(trial.error)
    if not lacking:
        return
    is_cudnn = lacking.startswith("libcudnn")
    package = f"nvidia-cudnn-cu{build.cuda}" if is_cudnn else f"the CUDA {build.cuda} libraries"
    version = machine.packages["onnxruntime-gpu"]
    others = sorted({each for each in _cuda_majors(machine) if each != build.cuda})
    told = f"; what is here is CUDA {' and '.join(map(str, others))}" if others and not is_cudnn else ""
    card = weakest(machine)
    yield Finding(
        "cudnn_missing" if is_cudnn else "cuda_libraries_missing",
        f"onnxruntime-gpu {version} looks for {lacking} and does not find it{told}",
        f"this version was built for CUDA {build.cuda} and cuDNN {build.cudnn}; without {package} it falls back to the "
        "CPU, and says so only in its own warnings. A link to another version under that name does not help",
        (_profile_for(machine, card) if card else PROFILES[build.cuda])
        + f"   # brings them as packages\npip install 'onnxruntime-gpu[cuda,cudnn]=={version}'   # or for this version",
    )


def _linked_libraries(machine: Machine) -> Iterator[Finding]:
    for name, target in machine.links:
        yield Finding(
            "library_links",
            f"{name} is a link to {target}",
            "another major version under the name that is asked for has other functions: it fails later, with "
            "undefined symbols, or computes nonsense",
            f"rm {name}\nldconfig\n{PROFILES.get(_major(name), PROFILES[12])}",
        )


def _cudnn_without_code(machine: Machine) -> Iterator[Finding]:
    """The trap of Pascal: loads, starts, and fails at the first convolution."""
    card, build = weakest(machine), cuda_build(machine)
    if card is None or build is None or card.capability >= CUDNN_CAPABILITY_MIN or build.cudnn < 9:
        return
    version, loaded = cudnn_version(machine), cudnn(machine)
    without_code = bool(loaded and loaded.capabilities) and not runs_on(loaded.capabilities or (), card.capability)  # type: ignore[union-attr]
    if not without_code and not (version and parsed(version) > CUDNN_PASCAL_LAST):
        return
    where = f" ({loaded.path})" if loaded else ""
    trial = machine.trial("cuda")
    said = " That is what it said here." if trial and _says(trial.error, CUDNN_FAILED) else ""
    yield Finding(
        "cudnn_without_code",
        f"cuDNN {version}{where} holds no code for {card.name} (compute capability {written(card.capability)})",
        "since 9.11 it serves Turing (7.5) and later only, and an older card fails at its first convolution with "
        f"CUDNN_STATUS_EXECUTION_FAILED.{said} pip takes the newest, for onnxruntime-gpu asks for any 9.x. Turning "
        "graph optimisation off does not help: the kernels are missing",
        f"pip install --force-reinstall nvidia-cudnn-cu{build.cuda}=={written(CUDNN_PASCAL_LAST)}",
    )


def _tensorrt(machine: Machine) -> Iterator[Finding]:
    card = weakest(machine)
    if "tensorrt" not in machine.devices_wanted or card is None:
        return
    if card.capability < TENSORRT_CAPABILITY_MIN:
        yield Finding(
            "tensorrt_without_code",
            f"TensorRT is asked for, and {card.name} (compute capability {written(card.capability)}) is too old for it",
            "TensorRT 10 serves Turing (7.5) and later; such a card has no half precision to gain from either",
            'devices = "cuda:0"   # in the configuration, under [faces]',
        )
    elif not any(name.startswith("tensorrt") for name in machine.packages):
        yield Finding(
            "tensorrt_missing",
            "TensorRT is asked for, and is not installed",
            "ONNX Runtime brings the provider, not the library",
            "pip install 'face-organizer[tensorrt]'",
        )


def _faiss_gpu(machine: Machine) -> Iterator[Finding]:
    card = weakest(machine)
    name = next((each for each in FAISSES[:-1] if each in machine.packages), None)
    if name and card is not None and card.capability < FAISS_GPU_CAPABILITY_MIN:
        yield Finding(
            "faiss_without_code",
            f"{name} {machine.packages[name]} holds no code for {card.name} "
            f"(compute capability {written(card.capability)})",
            "it serves Volta (7.0) and later; the CPU build does everything here, only slower",
            f"pip uninstall -y {name}\npip install --force-reinstall faiss-cpu",
        )


def _unexplained(machine: Machine) -> Iterator[Finding]:
    """The trial failed, or ran elsewhere, and no rule above says why."""
    trial = machine.trial("cuda")
    if trial is None or not wants_cuda(machine):
        return
    if any(finding.problem for rule in RULES if rule is not _unexplained for finding in rule(machine)):
        return
    on_cpu = trial.nodes.get("CPUExecutionProvider", 0)
    if trial.error:
        known = (
            "the build has no code for this card"
            if _says(trial.error, NO_KERNEL)
            else "the driver is too old for the CUDA that was loaded"
            if _says(trial.error, DRIVER_OLD)
            else "no rule here knows this error"
        )
        yield Finding(
            "gpu_fails",
            f"a trial on the GPU failed: {trial.error}",
            known,
            "nvidia-smi\nface-organizer doctor --json   # attach it to a report",
        )
    elif on_cpu and not trial.nodes.get("CUDAExecutionProvider", 0):
        yield Finding(
            "gpu_not_used",
            f"a trial on the GPU ran all of its {on_cpu} steps on the CPU",
            "ONNX Runtime fell back in silence",
            "face-organizer doctor --json   # attach it to a report",
        )


RULES: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    _two_runtimes,
    _two_faisses,
    _no_driver,
    _cpu_package_only,
    _no_code_for_card,
    _driver_too_old,
    _linked_libraries,
    _wrong_cuda_libraries,
    _cudnn_without_code,
    _tensorrt,
    _faiss_gpu,
    _unexplained,
)


def _profile_for(machine: Machine, card: Gpu) -> str:
    """What to install for a card and its driver."""
    if card.capability < CUDNN_CAPABILITY_MIN:
        return PROFILE_PASCAL
    newest = machine.driver.cuda[0] if machine.driver and machine.driver.cuda else 13
    return PROFILES[min(13, max(12, newest))]


def _lacking(error: str) -> str:
    """The library in "libcublasLt.so.11: cannot open shared object file"; "" if that is not what an error says."""
    before, found, _ = error.partition(": cannot open shared object file")
    return before.split()[-1].rpartition("/")[2] if found and before.split() else ""


def _cuda_majors(machine: Machine) -> set[int]:
    """Of the CUDA runtimes that are installed as packages, or were loaded."""
    suffixes = [name.rpartition("-cu")[2] for name in machine.packages if name.startswith("nvidia-c")]
    loaded = [each.name for trial in machine.trials for each in trial.libraries if each.name.startswith("libcudart")]
    return {int(each) for each in suffixes if each.isdecimal()} | {_major(name) for name in loaded}


def _major(library: str) -> int:
    """11 for "libcublas.so.11" or "/usr/lib/libcublas.so.11.5"; 0 where there is none."""
    number = library.rpartition(".so.")[2].partition(".")[0]
    return int(number) if number.isdecimal() else 0


def _says(error: str, words: tuple[str, ...]) -> bool:
    return any(each in error.lower() for each in words)
