"""What is so on a machine, as far as it decides whether and how fast the organizer runs: found here, judged elsewhere.

Room:    names
Imports: stdlib

Everything here can be recorded on one machine and judged on another; that is how the tests know GPUs they never saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Version = tuple[int, ...]
Capability = tuple[int, int]
"""A GPU's compute capability: (6, 1) is a Tesla P4."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A card that the driver shows, or a slice of one (MIG). address: of the card on the PCI bus,
    domain:bus:device.function; uuid: of the card or the slice."""

    name: str
    capability: Capability
    memory_bytes: int = 0
    address: str = ""
    uuid: str = ""


@dataclass(frozen=True, slots=True)
class Driver:
    """NVIDIA's driver. cuda: the newest CUDA it can run. problem: why it cannot be used, in its own words."""

    version: str = ""
    cuda: Version = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library that a trial loaded. path: where it was found, with links followed; version: as it says itself,
    else from its file name.

    capabilities: the compute capabilities that it holds native code for; None where nobody could look.
    """

    name: str
    path: str
    version: str = ""
    capabilities: tuple[Capability, ...] | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """A network that was run on a device, in a process of its own.

    error: "" where it worked, else what the runtime or the loader said. nodes: how many steps of the network ran where.
    """

    device: str
    error: str = ""
    nodes: Mapping[str, int] = field(default_factory=dict)
    libraries: tuple[Library, ...] = ()
    runs_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that we work in. kind: of its file system, as the kernel names it; shared: that lives elsewhere;
    read_only: nobody may write to it."""

    role: Literal["inbox", "library", "state", "models"]
    path: str
    kind: str = ""
    free_bytes: int | None = None
    writable: bool = True
    shared: bool = False
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What the kernel allows. None where it does not say."""

    inotify_watches: int | None = None
    inotify_instances: int | None = None
    open_files: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class PackMissing:
    """The model pack that a library goes by is not to be had: which, and why."""

    library: str
    pack: str
    cause: str


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything that was found. packages: installed Python packages that matter, by their normal name.

    devices_wanted: those of the configuration, with commas. container: are we in one? device_files: NVIDIA's; denied:
    those of them that we may not use. visible: CUDA_VISIBLE_DEVICES, None where nobody has set it. pip: how the pip of
    this Python is called. checkout: the folder whose scripts/run runs us, "" where we were installed otherwise.
    links: names of libraries beside others' on the loader's path that lead elsewhere than they say, as (name, target).
    packs: model pack -> what is wrong with its files. packs_away: those whose folder is not there; they run from what
    was made of it. packs_missing: those that a library goes by, and are not to be had. models_dir: where packs lie, ""
    at the usual place. systemd: its version, "" where it does not run.
    """

    python: str = ""
    devices_wanted: str = "auto"
    gpus: tuple[Gpu, ...] = ()
    driver: Driver | None = None
    device_files: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    visible: str | None = None
    pip: str = "pip"
    checkout: str = ""
    pci_gpus: int = 0
    container: bool = False
    packages: Mapping[str, str] = field(default_factory=dict)
    trials: tuple[Trial, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    missing_libraries: tuple[str, ...] = ()
    folders: tuple[Folder, ...] = ()
    limits: Limits = Limits()
    packs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    packs_away: tuple[str, ...] = ()
    packs_missing: tuple[PackMissing, ...] = ()
    models_dir: str = ""
    systemd: str = ""

    @property
    def gpu_trials(self) -> tuple[Trial, ...]:
        """One for each card on CUDA; one with TensorRT, if that is asked for."""
        return tuple(trial for trial in self.trials if trial.device.startswith(("cuda", "tensorrt")))

    def trial(self, device: str) -> Trial | None:
        """The trial of a device, if there was one."""
        return next((trial for trial in self.trials if trial.device == device), None)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the doctor has to say. what: the fact. why: what follows from it. cure: commands, one a line.

    problem: it keeps something from working, or from working as fast as it could; a note only tells.
    """

    name: str
    what: str
    why: str = ""
    cure: str = ""
    problem: bool = True
