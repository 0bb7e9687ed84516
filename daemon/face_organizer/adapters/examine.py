"""Finds out what is so on this machine. Reads only; what may crash or load libraries happens in a process of its own.

Room:    adapters (touches the driver, the loader, /proc and the package folders)
Imports: errors, facts, child, disk, driver, file_systems, models, runtime, writable, stdlib
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import platform
import re
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from face_organizer.adapters.child import ChildError, answer_of
from face_organizer.adapters.disk import free_bytes
from face_organizer.adapters.driver import read_driver, read_text
from face_organizer.adapters.file_systems import is_shared, kind_at
from face_organizer.adapters.models import Pack, describe_pack, is_away, known_addresses, load_pack, verify_pack
from face_organizer.adapters.runtime import checkout
from face_organizer.adapters.writable import lies_on_read_only
from face_organizer.errors import ModelError
from face_organizer.facts import Capability, Folder, Library, Limits, Machine, Trial

PACKAGES = re.compile(
    r"(onnxruntime|openvino|opencv|insightface|faiss|tensorrt|torch)(-.*)?|nvidia-(cudnn|cublas|cuda-runtime|cufft|curand).*"
)
TRIAL_WITHIN_S = 180.0
LINKED = ("libcublas.so", "libcublasLt.so", "libcudart.so", "libcudnn.so", "libcufft.so", "libcurand.so")
LOADER_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local/cuda/lib64", "/usr/lib64")
SM = re.compile(r"\.sm_(\d+)[af]?\.")


def examine(devices: str, folders: Iterable[tuple[str, Path]], models_dir: Path | None) -> Machine:
    """Everything that the doctor asks for; a few seconds. folders: with their roles; those that do not exist yet are
    judged by what they would lie in."""
    driver, gpus = read_driver()
    packages = dict(_packages())
    pack, packs, away = _packs(models_dir)
    trials = tuple(_trials(pack.recogniser_path if pack else None, packages, devices, len(gpus)))
    files = tuple(sorted(str(path) for path in Path("/dev").glob("nvidia*") if path.is_char_device()))
    return Machine(
        python=platform.python_version(),
        devices_wanted=devices,
        gpus=gpus,
        driver=driver,
        device_files=files,
        denied=tuple(path for path in files if not os.access(path, os.R_OK | os.W_OK)),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        pip=f"{shlex.quote(sys.executable)} -m pip",
        checkout=checkout(),
        pci_gpus=_pci_gpus(),
        container=_in_container(),
        packages=packages,
        trials=trials,
        links=tuple(_links()),
        missing_libraries=tuple(_missing(packages)),
        folders=tuple(_folder(role, path) for role, path in folders),
        limits=_limits(),
        packs=packs,
        packs_away=away,
        models_dir=str(models_dir or ""),
        systemd=_systemd(),
    )


# the bus


def _pci_gpus() -> int:
    """Display controllers and accelerators by NVIDIA on the bus, whether or not a driver serves them."""
    count = 0
    for device in Path("/sys/bus/pci/devices").glob("*"):
        if read_text(device / "vendor").strip() == "0x10de" and read_text(device / "class").startswith("0x03"):
            count += 1
    return count


def _in_container() -> bool:
    return Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() or "container" in os.environ


# packages and libraries


def _packages() -> Iterator[tuple[str, str]]:
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
        if PACKAGES.fullmatch(name):
            yield name, distribution.version


def _packs(models_dir: Path | None) -> tuple[Pack | None, dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The default pack, ready to run; what is wrong with each; whose folder is not there, and they run all the same."""
    ready, problems = None, {}
    away = []
    for address in known_addresses(models_dir):
        try:
            ready = ready or load_pack(address, models_dir)
            problems[address] = tuple(verify_pack(address, models_dir))
            if is_away(describe_pack(address, models_dir), models_dir):
                away.append(address)
        except ModelError as error:
            problems[address] = (str(error),)
    return ready, problems, tuple(away)


def _missing(packages: Mapping[str, str]) -> Iterator[str]:
    """Libraries of the system that the build of OpenCV with windows needs."""
    if "opencv-python" in packages or "opencv-contrib-python" in packages:
        for name in ("libGL.so.1", "libxcb.so.1"):
            try:
                ctypes.CDLL(name)
            except OSError:
                yield name


def _links() -> Iterator[tuple[str, str]]:
    """Links on the loader's path that lead from one major version of a CUDA library to another."""
    folders = [*LOADER_FOLDERS, *filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":"))]
    for folder in dict.fromkeys(folders):
        for name in LINKED:
            for path in sorted(Path(folder).glob(f"{name}.*")):
                if path.is_symlink() and _major(path.name) != _major(path.resolve().name):
                    yield str(path), str(path.resolve())


def _major(name: str) -> str:
    return name.rpartition(".so.")[2].partition(".")[0]


# trials


def _trials(model: Path | None, packages: Mapping[str, str], devices: str, gpus: int) -> Iterator[Trial]:
    """The recogniser, or a small network where there is none, on each device that is installed or asked for."""
    if "onnxruntime-gpu" in packages or "cuda" in devices or "tensorrt" in devices:
        for number in range(max(1, gpus)):
            yield _trial(f"cuda:{number}", model)
    if "tensorrt" in devices:
        yield _trial("tensorrt", None)
    if "openvino" in packages:
        yield _trial("openvino", model)
    if any(name.startswith("onnxruntime") for name in packages):
        yield _trial("cpu", model)


def _trial(device: str, model_path: Path | None) -> Trial:
    """A process that loads the runtime, runs the network, or a small one, and tells; whatever becomes of it is an
    answer."""
    arguments = [device, *([str(model_path)] if model_path else [])]
    try:
        answer = answer_of("face_organizer.adapters.trial", *arguments, within_s=TRIAL_WITHIN_S)
    except ChildError as error:
        return Trial(device, str(error))
    told = json.loads(answer.splitlines()[-1])
    libraries = tuple(_library(path, version) for path, version in told["libraries"])
    return Trial(device, told["error"], told["nodes"], libraries, told["runs_per_s"])


def _library(path: str, version: str) -> Library:
    real = os.path.realpath(path)
    name = path.rpartition("/")[2]
    return Library(name, real, version or (real.rpartition(".so.")[2] if ".so." in real else ""), _capabilities(real))


def _capabilities(path: str) -> tuple[Capability, ...] | None:
    """The native code in a library, where NVIDIA's cuobjdump is at hand to look."""
    tool = shutil.which("cuobjdump")
    if tool is None or not any(name in path for name in ("libcudnn", "libonnxruntime_providers_cuda")):
        return None
    try:
        told = subprocess.run([tool, "--list-elf", path], capture_output=True, text=True, timeout=60, check=False)
    except (subprocess.TimeoutExpired, OSError):
        return None
    numbers = sorted({int(number) for number in SM.findall(told.stdout)})
    return tuple((number // 10, number % 10) for number in numbers) or None


# folders and limits


def _folder(role: str, path: Path) -> Folder:
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    kind = kind_at(there)
    return Folder(
        role,  # type: ignore[arg-type]
        str(path),
        kind,
        free_bytes(there),
        os.access(there, os.W_OK | os.X_OK),
        is_shared(kind),
        lies_on_read_only(there),
    )


def _limits() -> Limits:
    return Limits(
        _number("/proc/sys/fs/inotify/max_user_watches"),
        _number("/proc/sys/fs/inotify/max_user_instances"),
        resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        _memory(),
    )


def _memory() -> int | None:
    """What the machine has, or its control group allows."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed = _number("/sys/fs/cgroup/memory.max")
    return min(total, allowed) if allowed else total


def _systemd() -> str:
    """The version, where systemd is the machine's first process."""
    if not Path("/run/systemd/system").is_dir():
        return ""
    tool = shutil.which("systemctl")
    if tool is None:
        return "unknown"
    told = subprocess.run([tool, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    return (told.split() or ["", "unknown"])[1]


def _number(path: str) -> int | None:
    text = read_text(path).strip()
    return int(text) if text.isdecimal() else None
