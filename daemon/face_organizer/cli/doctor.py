"""What ails this machine, and what helps: doctor.

Room:    cli (talks)
Imports: app, config_file, facts, shared
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from face_organizer.cli.shared import EXIT_FAILURE, FOLDER, exits, json_option, main, print_answer
from face_organizer.config_file import load_libraries
from face_organizer.facts import Finding, Library, Machine, Trial


@main.command()
@click.option("--inbox", type=FOLDER, help="Judge this inbox too.  [default: the one that the library was filled from]")
@click.option("--library", type=FOLDER, help="Judge this library, and where its state lies.")
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path, dir_okay=False), help="The daemon's TOML file."
)
@json_option
def doctor(inbox: Path | None, library: Path | None, config_path: Path | None, as_json: bool) -> None:
    """Examine this machine: GPUs, runtimes, folders, limits. What is wrong, why it matters, and what cures it.

    Exit code 0: healthy (notes may remain); 1: something is wrong. Nothing is changed.
    """
    from face_organizer.app.machine import examined, inbox_of

    with exits():
        folders = {"inbox": str(inbox) if inbox else None, "library": str(library) if library else None}
        if library and not inbox and not config_path:
            folders["inbox"] = inbox_of(library)
        machine, findings = examined(load_libraries(config_path, **folders))
        healthy = not any(finding.problem for finding in findings)
        answer = {"healthy": healthy, "findings": findings, "machine": machine}
        print_answer(answer, _in_words(machine, findings), as_json)
        sys.exit(0 if healthy else EXIT_FAILURE)


def _in_words(machine: Machine, findings: list[Finding]) -> str:
    lines = [*_examined(machine), ""]
    for finding in findings:
        lines.append(f"{'PROBLEM' if finding.problem else 'note'}: {finding.what}")
        lines += [f"    why: {finding.why}"] if finding.why else []
        lines += [f"    $ {command}" for command in finding.cure.splitlines()]
    if not any(finding.problem for finding in findings):
        lines.append("healthy")
    return "\n".join(lines)


def _examined(machine: Machine) -> list[str]:
    """What was looked at, so that silence about a thing means that it is well."""
    driver = machine.driver
    cards = ", ".join(f"{gpu.name} ({gpu.capability[0]}.{gpu.capability[1]})" for gpu in machine.gpus) or "none"
    packs = ", ".join(f"{name} {_pack(machine, name)}" for name in machine.packs)
    lines = [
        f"Python {machine.python}; " + ", ".join(f"{name} {version}" for name, version in machine.packages.items()),
        f"GPUs: {cards}; driver: {driver.version or driver.problem if driver else 'none'}",
        f"model packs: {packs}",
    ]
    for trial in machine.trials:
        lines.append(f"{trial.device}: {_trial(trial)}")
        if trial in machine.gpu_trials:
            lines += [
                f"    {f'{each.name} {each.version}'.strip()}{_code(each)}: {each.path}" for each in trial.libraries
            ]
    lines += [
        f"{folder.role}: {folder.path}, {folder.kind or 'unknown file system'}"
        + ("" if folder.free_bytes is None else f", {folder.free_bytes / 1e9:,.1f} GB free")
        for folder in machine.folders
    ]
    limits = machine.limits
    return [
        *lines,
        f"limits: {limits.inotify_watches} inotify watches, {limits.open_files} open files; "
        f"systemd: {machine.systemd or 'not here'}",
    ]


def _code(library: Library) -> str:
    """What it holds code for, where that could be seen."""
    seen = sorted(set(library.capabilities or ()))
    return f" (code for {', '.join(f'{major}.{minor}' for major, minor in seen)})" if seen else ""


def _pack(machine: Machine, name: str) -> str:
    if name in machine.packs_away:
        return "away"
    return "damaged" if machine.packs[name] else "as it should be"


def _trial(trial: Trial) -> str:
    nodes = ", ".join(f"{count} steps on {name}" for name, count in trial.nodes.items())
    return trial.error or f"runs, {trial.runs_per_s:.0f} faces a second in one thread" + (f", {nodes}" if nodes else "")
