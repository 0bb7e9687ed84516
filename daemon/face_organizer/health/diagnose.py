"""All that a machine suffers from, worst first.

Room:    health (thinks)
Imports: facts, health
"""

from __future__ import annotations

from face_organizer.facts import Finding, Machine
from face_organizer.health.gpu import gpu_findings
from face_organizer.health.machine import machine_findings


def diagnose(machine: Machine) -> list[Finding]:
    """Problems before notes; among them GPUs first, causes before consequences."""
    found = [*gpu_findings(machine), *machine_findings(machine)]
    return sorted(found, key=lambda finding: not finding.problem)
