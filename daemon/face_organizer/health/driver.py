"""Whether a GPU is wanted, and whether the driver shows it.

Room:    health (thinks)
Imports: facts
"""

from __future__ import annotations

from collections.abc import Iterator

from face_organizer.facts import Finding, Machine


def names_gpu(machine: Machine) -> bool:
    return "cuda" in machine.devices_wanted or "tensorrt" in machine.devices_wanted


def may_use_gpu(machine: Machine) -> bool:
    return names_gpu(machine) or "auto" in machine.devices_wanted


def wants_cuda(machine: Machine) -> bool:
    """Does anybody expect a GPU to be used: because there is one, or because the configuration names one?"""
    driver = machine.driver
    return bool(machine.gpus or machine.pci_gpus or (driver and driver.problem)) or names_gpu(machine)


def no_driver(machine: Machine) -> Iterator[Finding]:
    if machine.gpus or not wants_cuda(machine):
        return
    driver = machine.driver
    if machine.container and not machine.device_files:
        yield Finding(
            "container_without_gpu",
            "this container was started without a GPU: there is no /dev/nvidia0"
            + (f" ({driver.problem})" if driver and driver.problem else ""),
            "the image's own CUDA is of no use without the host's driver and device files",
            "docker run --gpus all ...   # compose: deploy.resources.reservations.devices\n"
            "nvidia-ctk runtime configure --runtime=docker && systemctl restart docker   # once, on the host",
        )
    elif driver is None:
        yield Finding(
            "no_driver",
            "NVIDIA's driver cannot be used: libcuda.so.1 is not there",
            "nothing can run on a GPU",
            "apt-get install nvidia-driver   # then reboot; nvidia-smi must show the card",
        )
    elif driver.problem:
        why, cure = DRIVER_PROBLEMS.get(driver.problem, ("nothing can run on a GPU", "nvidia-smi   # says more"))
        yield Finding("driver_fails", f"NVIDIA's driver cannot be used: {driver.problem}", why, cure)
    else:
        yield _no_gpu_shown(machine)


DRIVER_PROBLEMS = {
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": (
        "the driver was updated, and the kernel still runs the one of before",
        "sudo reboot",
    ),
    "CUDA_ERROR_UNKNOWN": (
        "the module nvidia_uvm is usually not loaded then, or was lost when the machine slept",
        "sudo modprobe -r nvidia_uvm; sudo modprobe nvidia_uvm && sudo nvidia-modprobe -u -c 0",
    ),
    "CUDA_ERROR_SYSTEM_NOT_READY": (
        "cards that are joined by NVSwitch need NVIDIA's fabric manager, of the driver's own version",
        "sudo systemctl enable --now nvidia-fabricmanager",
    ),
    "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE": (
        "the libcuda of a cuda-compat package was loaded, which serves data centre cards only",
        "apt-get remove 'cuda-compat-*'   # or take its folder out of LD_LIBRARY_PATH",
    ),
    "CUDA_ERROR_STUB_LIBRARY": (
        "the libcuda to link with was loaded, not the driver's",
        "unset LD_LIBRARY_PATH   # or take the folder stubs out of it",
    ),
}
"""What cuInit fails with: why, and the cure."""


def _no_gpu_shown(machine: Machine) -> Finding:
    what, why = "NVIDIA's driver is there and shows no GPU", "nothing can run on a GPU"
    if machine.visible is not None:
        return Finding(
            "gpus_hidden",
            f"{what}: CUDA_VISIBLE_DEVICES={machine.visible} hides them",
            why,
            "unset CUDA_VISIBLE_DEVICES   # or name those to show: CUDA_VISIBLE_DEVICES=0",
        )
    if machine.denied:
        return Finding(
            "gpu_denied",
            f"{what}: {' and '.join(machine.denied)} may not be used",
            f"{why} by this user",
            'sudo usermod -aG video,render "$(id -un)"   # then log in anew; ls -l /dev/nvidia* shows whose they are',
        )
    return Finding("no_gpu_shown", what, why, "nvidia-smi   # must show it; dmesg says why it does not")


def no_such_gpu(machine: Machine) -> Iterator[Finding]:
    for name in machine.devices_wanted.split(","):
        kind, _, number = name.partition(":")
        if machine.gpus and kind in ("cuda", "tensorrt") and number and int(number) >= len(machine.gpus):
            shown = ", ".join(f"{kind}:{row} ({gpu.name})" for row, gpu in enumerate(machine.gpus))
            yield Finding(
                "no_such_gpu",
                f"{name} is asked for, and the driver shows {shown}",
                "the daemon refuses to start without what it was asked for. CUDA counts the fastest card first, and not"
                " as nvidia-smi does; CUDA_VISIBLE_DEVICES hides some",
                f'devices = "{kind}"   # in the configuration, under [faces]: all there are',
            )
