"""All that a machine suffers from, worst first.

Room:    health (thinks)
Imports: facts, health
"""

from __future__ import annotations

import re
from dataclasses import replace

from face_organizer.facts import Finding, Machine
from face_organizer.health.gpu import gpu_findings
from face_organizer.health.machine import machine_findings


def diagnose(machine: Machine) -> list[Finding]:
    """Problems before notes; among them GPUs first, causes before consequences."""
    found = [*gpu_findings(machine), *machine_findings(machine)]
    here = [replace(finding, cure=_as_called_here(finding.cure, machine)) for finding in found]
    return sorted(here, key=lambda finding: not finding.problem)


def _as_called_here(cure: str, machine: Machine) -> str:
    """With the pip of the Python that we run in, which is not the one that a shell finds. In a checkout its
    scripts/setup takes away what is there and installs what fits together, pinned; the rest is installed from it, for
    no registry has us."""
    if machine.checkout:
        cure = re.sub(r"pip install 'face-organizer\[([\w-]+)\]'", lambda found: _set_up(found[1], machine), cure)
    return re.sub(r"^pip ", f"{machine.pip} ", cure, flags=re.MULTILINE)


PINNED = {"cpu": "cpu", "openvino": "cpu", "cuda": "cuda", "cuda12": "cuda-pascal", "cuda-pascal": "cuda-pascal"}
"""Extra -> the set of requirements that serves it; the one for Pascal is of CUDA 12, and serves later cards too."""


def _set_up(extra: str, machine: Machine) -> str:
    if extra in PINNED:
        return f"{machine.checkout}/scripts/setup --anew {PINNED[extra]}"
    return f"pip install --editable '{machine.checkout}[{extra}]'"
