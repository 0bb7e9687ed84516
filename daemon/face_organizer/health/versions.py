"""What the published builds of ONNX Runtime, cuDNN and TensorRT can do, by version.

Room:    health (thinks)
Imports: facts

Read from the wheels themselves (cuobjdump on the provider libraries of the PyPI wheels) and from NVIDIA's compatibility
guide. A GPU runs native code of its own major version and an equal or lower minor one, or code that the driver compiles
(PTX) for its own or any lower capability.
"""

from __future__ import annotations

from dataclasses import dataclass

from face_organizer.facts import Capability, Version


@dataclass(frozen=True, slots=True)
class Build:
    """A line of onnxruntime-gpu wheels. first: its first version. cuda, cudnn: the major versions it needs.

    native: capabilities it has code for; ptx: those that a driver can compile further.
    """

    first: Version
    cuda: int
    cudnn: int
    native: tuple[Capability, ...]
    ptx: tuple[Capability, ...]

    def runs_on(self, capability: Capability) -> bool:
        return runs_on(self.native, capability) or any(ptx <= capability for ptx in self.ptx)


_OLD = ((5, 2), (6, 0), (6, 1), (7, 0), (7, 5), (8, 0))
BUILDS = (
    Build((1, 15), 11, 8, _OLD, _OLD),
    Build((1, 19), 12, 9, _OLD, _OLD),
    Build((1, 21), 12, 9, ((6, 0), (7, 0), (7, 5), (8, 0), (8, 6), (9, 0)), ((9, 0),)),
    Build((1, 27), 13, 9, ((7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (12, 0)), ()),
)

MAXWELL, PASCAL = (5, 2), (6, 0)
"""The least that any build holds code for, and the least that those since 1.21 do."""

PASCAL_LAST: Version = (1, 26)
"""The last onnxruntime-gpu with code that a Pascal card (and a Volta card) can run."""

CUDNN_PASCAL_LAST: Version = (9, 10, 2, 21)
"""The last cuDNN for CUDA 12 with code for Maxwell, Pascal and Volta; 9.11 has none in its kernels, and fails late."""

CUDNN_CAPABILITY_MIN: Capability = (7, 5)
TENSORRT_CAPABILITY_MIN: Capability = (7, 5)
FAISS_GPU_CAPABILITY_MIN: Capability = (7, 0)

DRIVER_MIN = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
"""The oldest Linux driver of a CUDA major version (minor version compatibility)."""


def build_of(version: Version) -> Build | None:
    """The line that an onnxruntime-gpu belongs to; None for one older than we know."""
    return next((build for build in reversed(BUILDS) if version >= build.first), None)


def runs_on(native: tuple[Capability, ...], capability: Capability) -> bool:
    """Is there native code that this card can run: of its major version, and no higher minor one?"""
    return any(major == capability[0] and minor <= capability[1] for major, minor in native)


def parsed(version: str) -> Version:
    """The leading numbers of a version: "9.10.2.21" is (9, 10, 2, 21), "1.27.0rc1" (1, 27, 0), "" ()."""
    numbers: list[int] = []
    for part in version.replace("+", ".").split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)


def written(version: Version) -> str:
    return ".".join(map(str, version))
