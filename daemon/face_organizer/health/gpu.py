"""Why a GPU is not used, or not as it could be, and what to do about it.

Room:    health (thinks)
Imports: facts, health

Each rule knows one fault. The classic ones say nothing by themselves: ONNX Runtime falls back to the CPU in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from face_organizer.facts import Finding, Gpu, Machine, Trial
from face_organizer.health.driver import may_use_gpu, no_driver, no_such_gpu, wants_cuda
from face_organizer.health.stack import (
    cuda_build,
    cuda_majors,
    cudnn,
    cudnn_version,
    installed,
    lacked_library,
    major_of,
    says,
    seen_code,
    serves,
    weakest,
)
from face_organizer.health.versions import (
    CUDNN_CAPABILITY_MIN,
    CUDNN_PASCAL_LAST,
    DRIVER_MIN,
    FAISS_GPU_CAPABILITY_MIN,
    MAXWELL,
    PASCAL,
    PASCAL_LAST,
    TENSORRT_CAPABILITY_MIN,
    parsed,
    runs_on,
    written,
)

FAISSES = ("faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cuvs", "faiss-cpu")
PROFILE_PASCAL = "pip install 'face-organizer[cuda-pascal]'"
PROFILES = {11: PROFILE_PASCAL, 12: "pip install 'face-organizer[cuda12]'", 13: "pip install 'face-organizer[cuda]'"}
TENSORRT = ("libnvinfer", "libnvonnxparser")
OTHERS = (*TENSORRT, "libcuda.so")
"""Libraries that are no part of CUDA's own: the last is the driver's."""
NO_KERNEL = ("no kernel image", "cudaerrornokernelimagefordevice")
DRIVER_OLD = ("driver version is insufficient", "cuda_error_insufficient_driver", "forward compatibility")
CUDNN_FAILED = ("cudnn_status_execution_failed", "cudnn_status_arch_mismatch", "cudnn_status_not_supported")


def gpu_findings(machine: Machine) -> Iterator[Finding]:
    """All that is to be said about GPUs, causes before what follows from them. Where the configuration has only the
    processor work, what is wrong with a GPU is no problem."""
    for rule in RULES:
        for finding in rule(machine):
            yield finding if may_use_gpu(machine) or rule in ANYWHERE else replace(finding, problem=False)


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


def _cpu_package_only(machine: Machine) -> Iterator[Finding]:
    names, card = installed(machine), weakest(machine)
    if card is not None and card.capability >= MAXWELL and "onnxruntime-gpu" not in names:
        told = f"only {' and '.join(names)} is installed" if names else "no onnxruntime is installed"
        cure = f"pip uninstall -y {' '.join(names)}\n" if names else ""
        yield Finding(
            "cpu_package_only",
            f"there is a GPU ({card.name}), and {told}",
            "it knows no GPU: everything runs on the CPU",
            cure + _profile_for(machine, card),
        )


def _gpu_package_alone(machine: Machine) -> Iterator[Finding]:
    if "onnxruntime-gpu" in machine.packages and not wants_cuda(machine):
        yield Finding(
            "gpu_package_alone",
            "ONNX Runtime for GPUs is installed, and this machine has none",
            'the processor does all the work, which every status says unless faces.devices = "cpu" says that it should',
            "pip uninstall -y onnxruntime-gpu\npip install 'face-organizer[cpu]'   # smaller, and quicker here",
            problem=False,
        )


def _no_code_for_card(machine: Machine) -> Iterator[Finding]:
    build, card = cuda_build(machine), weakest(machine)
    if build is None or card is None or serves(machine, build, card):
        return
    version = machine.packages["onnxruntime-gpu"]
    yield Finding(
        "no_code_for_card",
        f"onnxruntime-gpu {version} holds no code for {card.name} (compute capability {written(card.capability)})",
        f"it was built for {', '.join(written(each) for each in build.native)} and later; since "
        f"{written((PASCAL_LAST[0], PASCAL_LAST[1] + 1))} (CUDA 13) nothing before Turing (7.5) is served, and no "
        "setting can bring missing kernels back",
        ("pip uninstall -y onnxruntime-gpu\n" if card.capability >= MAXWELL else "") + _profile_for(machine, card),
    )


def _driver_too_old(machine: Machine) -> Iterator[Finding]:
    build, driver = cuda_build(machine), machine.driver
    if build is None or driver is None or not driver.cuda or driver.cuda[0] >= build.cuda:
        return
    card = weakest(machine)
    alternative = ""
    if driver.cuda[0] >= 12:
        alternative = (_profile_for(machine, card) if card else PROFILES[12]) + "   # or this, with the old driver"
    yield Finding(
        "driver_too_old",
        f"the driver {driver.version or 'here'} runs CUDA up to {written(driver.cuda)}, and onnxruntime-gpu "
        f"{machine.packages['onnxruntime-gpu']} needs CUDA {build.cuda}",
        "a driver runs programs of its own CUDA major version and older ones",
        f"apt-get install nvidia-driver   # at least {DRIVER_MIN[build.cuda]}\n{alternative}".rstrip(),
    )


def _wrong_cuda_libraries(machine: Machine) -> Iterator[Finding]:
    """The loader names the library that it lacks, with the major version that it should have."""
    build = cuda_build(machine)
    lacking = next((name for trial in machine.gpu_trials if (name := lacked_library(trial.error))), "")
    if build is None or not lacking or lacking.startswith(OTHERS) or not wants_cuda(machine):
        return
    is_cudnn = lacking.startswith("libcudnn")
    package = f"nvidia-cudnn-cu{build.cuda}" if is_cudnn else f"the CUDA {build.cuda} libraries"
    version = machine.packages["onnxruntime-gpu"]
    others = sorted({each for each in cuda_majors(machine) if each != build.cuda})
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
            f"rm {name}\nldconfig\n{PROFILES.get(major_of(name), PROFILES[12])}",
        )


def _cudnn_without_code(machine: Machine) -> Iterator[Finding]:
    """The trap of Pascal: loads, starts, and fails at the first convolution."""
    card, build = weakest(machine), cuda_build(machine)
    if card is None or build is None or card.capability >= CUDNN_CAPABILITY_MIN or build.cudnn < 9:
        return
    if not serves(machine, build, card):
        return  # another build is needed first, and brings its own
    version, loaded, code = cudnn_version(machine), cudnn(machine), seen_code(machine, "libcudnn")
    without_code = bool(code) and not runs_on(code, card.capability)
    if not without_code and not (version and parsed(version)[:3] > CUDNN_PASCAL_LAST[:3]):
        return
    where = f" ({loaded.path})" if loaded else ""
    failed = any(says(trial.error, CUDNN_FAILED) for trial in machine.gpu_trials)
    said = " That is what it said here." if failed else ""
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
        return
    trial = machine.trial("tensorrt")
    lacking = lacked_library(trial.error) if trial else ""
    if lacking.startswith(TENSORRT) or (
        not trial and not any(name.startswith("tensorrt") for name in machine.packages)
    ):
        yield Finding(
            "tensorrt_missing",
            f"TensorRT is asked for, and {lacking or 'it'} is not there",
            "ONNX Runtime brings the provider, not the library, and needs the major version that it was built for",
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
    if not wants_cuda(machine):
        return
    if any(finding.problem for rule in RULES if rule is not _unexplained for finding in rule(machine)):
        return
    for trial in machine.gpu_trials:
        yield from _unexplained_trial(trial)


def _unexplained_trial(trial: Trial) -> Iterator[Finding]:
    on_cpu = trial.nodes.get("CPUExecutionProvider", 0)
    if trial.error:
        known = (
            "the build has no code for this card"
            if says(trial.error, NO_KERNEL)
            else "the driver is too old for the CUDA that was loaded"
            if says(trial.error, DRIVER_OLD)
            else "no rule here knows this error"
        )
        yield Finding(
            "gpu_fails",
            f"a trial on {trial.device} failed: {trial.error}",
            known,
            "nvidia-smi\nface-organizer doctor --json   # attach it to a report",
        )
    elif on_cpu and len(trial.nodes) == 1:
        yield Finding(
            "gpu_not_used",
            f"a trial on {trial.device} ran all of its {on_cpu} steps on the CPU",
            "ONNX Runtime fell back in silence",
            "face-organizer doctor --json   # attach it to a report",
        )


RULES: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    _two_runtimes,
    _two_faisses,
    no_driver,
    no_such_gpu,
    _cpu_package_only,
    _gpu_package_alone,
    _no_code_for_card,
    _driver_too_old,
    _linked_libraries,
    _wrong_cuda_libraries,
    _cudnn_without_code,
    _tensorrt,
    _faiss_gpu,
    _unexplained,
)


ANYWHERE = (_two_runtimes, _two_faisses)
"""Faults also where only the processor works."""


def _profile_for(machine: Machine, card: Gpu) -> str:
    """What to install for a card and its driver."""
    if card.capability < MAXWELL:
        return 'devices = "openvino"   # in the configuration, under [faces]: no build serves this card'
    if card.capability < PASCAL:
        return f"pip install 'onnxruntime-gpu[cuda,cudnn]==1.20.*' nvidia-cudnn-cu12=={written(CUDNN_PASCAL_LAST)}"
    if card.capability < CUDNN_CAPABILITY_MIN:
        return PROFILE_PASCAL
    newest = machine.driver.cuda[0] if machine.driver and machine.driver.cuda else 13
    return PROFILES[min(13, max(12, newest))]
