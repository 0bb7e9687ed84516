"""The Dockerfile's install steps, each run in a clean virtual environment, so that they cannot rot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("cpu", "cuda", "cuda-pascal")


def stages() -> dict[str, list[str]]:
    """The instructions of each stage, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    found: dict[str, list[str]] = {}
    for line in filter(lambda line: line and not line.startswith("#"), text.splitlines()):
        if line.startswith("FROM "):
            name = line.split(" AS ")[1]
            found[name] = []
        found[name].append(line)
    return found


def installs(stage: str) -> list[str]:
    return [line.removeprefix("RUN ") for line in stages()[stage] if line.startswith("RUN pip install ")]


def test_there_is_a_target_for_each_kind_of_machine_and_the_plain_build_is_the_processor() -> None:
    assert [name for name in stages() if name != "base"] == ["cuda", "cuda-pascal", "cpu"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_copies_what_it_installs_and_runs_as_nobody_special(target: str) -> None:
    lines = stages()[target]

    assert lines[0] == f"FROM base AS {target}"
    assert lines[-1] == "USER face-organizer"
    for line in lines:
        if line.startswith("COPY "):
            *sources, _ = line.removeprefix("COPY ").split()
            assert all((ROOT / source).exists() for source in sources), line
    assert len(installs(target)) == 2


def test_the_health_check_asks_the_daemon() -> None:
    assert any('CMD ["face-organizer", "status"' in line for line in stages()["base"])


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_the_install_steps_of_a_target_work_in_a_clean_environment(target: str, tmp_path: Path) -> None:
    """For a GPU the gigabytes of CUDA are only resolved and checked against their hashes, not fetched."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    packages, project = installs(target)
    path = os.environ | {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def run(command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command], cwd=ROOT, env=path, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    if target != "cpu":
        told = run(f"{packages} --dry-run")
        assert "onnxruntime-gpu" in told
        assert "onnxruntime-1" not in told
        return
    run(packages)
    run(project)
    assert "face-organizer" in run("face-organizer --version")
    assert "healthy" in run("face-organizer doctor")
