"""What else keeps an organizer from working well: networks, folders, limits, packages.

Room:    health (thinks)
Imports: facts, health.versions
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from shlex import quote

from face_organizer.facts import Finding, Folder, Machine
from face_organizer.health.versions import MAXWELL

WATCHES_LOW, INSTANCES_LOW, OPEN_FILES_LOW = 8192, 128, 1024
FREE_LOW_BYTES = 1 << 30
MEMORY_LOW_BYTES = 1 << 30
LINKLESS_KINDS = ("vfat", "exfat", "msdos")
SHIPPED_PACK = "opencv-zoo"


def machine_findings(machine: Machine) -> Iterator[Finding]:
    """All that is to be said about anything but GPUs."""
    for rule in RULES:
        yield from rule(machine)


def _no_runtime(machine: Machine) -> Iterator[Finding]:
    if "openvino" in machine.packages or any(name.startswith("onnxruntime") for name in machine.packages):
        return
    if not any(gpu.capability >= MAXWELL for gpu in machine.gpus):  # else the GPU's rules say which
        yield Finding(
            "no_runtime",
            "neither OpenVINO nor ONNX Runtime is installed",
            "nothing can run the networks",
            "pip install 'face-organizer[cpu]'",
        )


def _no_faiss(machine: Machine) -> Iterator[Finding]:
    if not any(name.startswith("faiss") for name in machine.packages):
        yield Finding(
            "no_faiss",
            "FAISS is not installed",
            "nothing can find similar faces",
            "pip install 'face-organizer[cpu]'   # or [openvino], [cuda], [faiss-gpu], ...",
        )


def _trials(machine: Machine) -> Iterator[Finding]:
    for device in ("openvino", "cpu"):
        trial = machine.trial(device)
        if trial is not None and trial.error:
            yield Finding(
                f"{device}_fails",
                f"the default networks do not run on {device}: {trial.error}",
                "this device cannot be used",
                f"pip install --force-reinstall --no-deps {_package(machine, device)}",
            )


def _package(machine: Machine, device: str) -> str:
    """What is installed for it, as it is: another beside it would be the next fault."""
    names = ("openvino",) if device == "openvino" else ("onnxruntime-gpu", "onnxruntime")
    return next((f"{name}=={machine.packages[name]}" for name in names if name in machine.packages), names[-1])


def _openvino_missing(machine: Machine) -> Iterator[Finding]:
    if "openvino" in machine.packages or machine.gpus or "onnxruntime" not in machine.packages:
        return
    yield Finding(
        "openvino_missing",
        "OpenVINO is not installed, and there is no GPU",
        "on a CPU it runs the recogniser about twice as fast as ONNX Runtime",
        "pip install 'face-organizer[openvino]'",
        problem=False,
    )


def _libgl(machine: Machine) -> Iterator[Finding]:
    for name in machine.missing_libraries:
        yield Finding(
            "library_missing",
            f"{name} is not there, and opencv-python asks for it",
            "importing cv2 fails; the build without windows (opencv-python-headless) needs no such library",
            "pip uninstall -y opencv-python opencv-contrib-python\n"
            "pip install --force-reinstall --no-deps opencv-python-headless",
        )


def _two_opencvs(machine: Machine) -> Iterator[Finding]:
    names = sorted(name for name in machine.packages if name.startswith("opencv-"))
    if len(names) > 1:
        yield Finding(
            "two_opencvs",
            f"{' and '.join(names)} are installed side by side",
            "they are the same folder of files; uninstalling one breaks the others",
            f"pip uninstall -y {' '.join(names)}\npip install --no-deps opencv-python-headless",
            problem=False,
        )


def _there(machine: Machine) -> str:
    """Where packs lie, as an option."""
    return f" --models-dir {quote(machine.models_dir)}" if machine.models_dir else ""


def _packs(machine: Machine) -> Iterator[Finding]:
    there = _there(machine)
    for name, problems in machine.packs.items():
        if name in machine.packs_away:
            yield Finding(
                "pack_away",
                f"the folder of the model pack {name} is not there",
                "it runs from what was made of it; without the folder that cannot be made again",
                f"face-organizer models remove {quote(name)}{there}   # if no library needs it; else bring it back",
                problem=False,
            )
        elif problems:
            yield Finding(
                "pack_damaged",
                f"the model pack {name} is not as it should be: {'; '.join(problems)}",
                "nothing can be recognised with damaged networks",
                _cure_of_pack(name, there),
            )


def _packs_missing(machine: Machine) -> Iterator[Finding]:
    for each in machine.packs_missing:
        other = "NAME" if each.pack == SHIPPED_PACK else SHIPPED_PACK
        move = f"face-organizer reembed --pack {other} --library {quote(each.library)}"
        if "/" in each.pack:
            cure = f"{move}   # or put the folder back as it was"
        else:
            cure = f"face-organizer models pull {each.pack}{_there(machine)}\n{move}   # or this instead"
        yield Finding(
            "pack_missing",
            f"the library {each.library} goes by the model pack {each.pack}, which is not to be had: {each.cause}",
            "no image can be sorted in, and no photo searched by; all else works",
            cure,
        )


def _cure_of_pack(name: str, there: str) -> str:
    if name == SHIPPED_PACK:
        return f"face-organizer models verify{there}"
    if "/" in name:  # what is wrong says what else helps
        return f"face-organizer models remove {quote(name)}{there}   # if no library needs it"
    return f"face-organizer models pull {name}{there}"


def _inotify(machine: Machine) -> Iterator[Finding]:
    limits = machine.limits
    for name, value, low in (
        ("max_user_watches", limits.inotify_watches, WATCHES_LOW),
        ("max_user_instances", limits.inotify_instances, INSTANCES_LOW),
    ):
        if value is not None and value < low:
            yield Finding(
                f"inotify_{name}",
                f"fs.inotify.{name} is {value}",
                "each folder of the inbox takes a watch, and other programs take theirs; beyond the limit new images "
                "are found by walking, later",
                f"echo fs.inotify.{name}={low * 8} | sudo tee /etc/sysctl.d/60-face-organizer.conf\n"
                "sudo sysctl --system",
                problem=False,
            )


def _open_files(machine: Machine) -> Iterator[Finding]:
    count = machine.limits.open_files
    if count is not None and count < OPEN_FILES_LOW:
        yield Finding(
            "open_files",
            f"a process may open {count} files",
            "one that works on many images and answers many questions needs more",
            f"ulimit -n {OPEN_FILES_LOW * 4}   # systemd: LimitNOFILE={OPEN_FILES_LOW * 4}",
        )


def _memory(machine: Machine) -> Iterator[Finding]:
    size = machine.limits.memory_bytes
    if size is not None and size < MEMORY_LOW_BYTES:
        yield Finding(
            "memory",
            f"there are {size / 1e6:,.0f} MB of memory",
            "the networks and the images on their way take about 600 MB",
            "docker run --memory 2g ...   # or a larger machine",
        )


def _folders(machine: Machine) -> Iterator[Finding]:
    for folder in machine.folders:
        if not folder.writable:
            yield _not_writable(folder)
        if folder.role == "state" and folder.shared:
            yield Finding(
                "state_on_network",
                f"the state folder {folder.path} lies on {folder.kind}",
                "the database needs locks and shared memory that only a local disk has",
                'state_dir = "/var/lib/face-organizer"   # in the configuration',
            )
        if folder.role == "inbox" and folder.shared:
            yield Finding(
                "inbox_without_events",
                f"the inbox {folder.path} lies on {folder.kind}, which does not tell of changes",
                "new images are found by walking, every watch.poll_s seconds",
                "[watch]\npoll_s = 0.5   # in the configuration, if you want them sooner",
                problem=False,
            )
        if folder.role == "library" and folder.kind in LINKLESS_KINDS:
            yield Finding(
                "library_without_links",
                f"the library {folder.path} lies on {folder.kind}, which knows no hard links",
                "a photo of several people is copied into each folder, and takes its space each time",
                problem=False,
            )


def _not_writable(folder: Folder) -> Finding:
    why, cure = "", f"sudo chown -R \"$(id -un)\" '{folder.path}'"
    if folder.read_only:
        why = ": its file system is read-only"
        cure = f"sudo mount -o remount,rw \"$(findmnt -no TARGET -T '{folder.path}')\""
    return Finding(
        "folder_not_writable",
        f"the {folder.role} folder {folder.path} cannot be written{why}",
        "images cannot be moved, or nothing can be remembered",
        cure,
    )


def _room(machine: Machine) -> Iterator[Finding]:
    for folder in machine.folders:
        if folder.free_bytes is not None and folder.free_bytes < FREE_LOW_BYTES:
            yield Finding(
                "disk_low",
                f"the {folder.role} folder {folder.path} has {folder.free_bytes / 1e6:,.0f} MB left",
                "intake stops before the disk is full",
                f"df -h '{folder.path}'",
                problem=folder.free_bytes < FREE_LOW_BYTES // 4,
            )


def _systemd(machine: Machine) -> Iterator[Finding]:
    if not machine.systemd:
        yield Finding(
            "no_systemd",
            "systemd does not run here",
            "something else has to start the daemon again when it stops (docker run --restart=unless-stopped, ...)",
            problem=False,
        )


RULES: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    _no_runtime,
    _no_faiss,
    _trials,
    _openvino_missing,
    _libgl,
    _two_opencvs,
    _packs,
    _packs_missing,
    _inotify,
    _open_files,
    _memory,
    _folders,
    _room,
    _systemd,
)
