"""scripts/setup: an environment is for the processor or for one kind of GPU, never for two.

A shell script stands in for Python and pip."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
FAKE = """#!/bin/bash
case "$*" in
*"-m venv"*)
    rm -rf .venv && mkdir -p .venv/bin && cp "$0" .venv/bin/python
    echo 'echo run "$@"' >.venv/bin/face-organizer && chmod +x .venv/bin/face-organizer
    echo "venv" >>asked ;;
*"pip install"*) echo "$*" | grep -o 'requirements/[a-z-]*' >>asked; exit 0 ;;
*sys.prefix*) echo one 3 11 ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """With the real scripts, and requirements of all sets."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    for name in ("cpu", "dev", "demo", "cuda", "cuda-pascal"):
        (tmp_path / "requirements").mkdir(exist_ok=True)
        (tmp_path / "requirements" / f"{name}.txt").write_text(name)
    (tmp_path / "daemon" / "face_organizer").mkdir(parents=True)
    (tmp_path / "daemon" / "face_organizer" / "__init__.py").touch()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "python").write_text(FAKE)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def asked(checkout: Path, script: str, *arguments: str) -> list[str]:
    """What a script has Python do, in a few words each."""
    (checkout / "asked").write_text("")
    environment = {"PYTHON": str(checkout / "python"), "PATH": "/usr/bin:/bin"}
    command = [checkout / "scripts" / script, *arguments]
    subprocess.run(command, cwd=checkout, env=environment, check=True, timeout=60, capture_output=True, text=True)
    return (checkout / "asked").read_text().split()


def test_an_environment_is_made_anew_for_another_kind_of_processor_and_run_keeps_to_it(checkout: Path) -> None:
    assert asked(checkout, "run", "doctor") == ["venv", "requirements/cpu"]
    assert asked(checkout, "setup", "cuda") == ["venv", "requirements/cuda"]
    assert asked(checkout, "run", "doctor") == []
    assert asked(checkout, "run", "demo") == ["requirements/demo"]
    assert asked(checkout, "setup", "cuda-pascal") == ["venv", "requirements/cuda-pascal"]
    assert asked(checkout, "setup", "cpu") == ["venv", "requirements/cpu"]
    assert asked(checkout, "setup", "--anew", "cpu") == ["venv", "requirements/cpu"]
    assert asked(checkout, "setup", "dev", "demo") == ["requirements/dev", "requirements/demo"]
    assert asked(checkout, "run", "doctor") == []


def test_an_environment_whose_python_was_replaced_is_made_anew_for_what_it_was_for(checkout: Path) -> None:
    asked(checkout, "setup", "cuda")
    (checkout / ".venv" / "made-for").write_text("another")

    assert asked(checkout, "run", "doctor") == ["venv", "requirements/cuda"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_somebody_elses_environment_is_never_made_anew(checkout: Path) -> None:
    asked(checkout, "setup", "cpu")
    (checkout / ".venv" / "made-for").write_text("another")
    os.chown(checkout / ".venv", 65534, 65534)

    with pytest.raises(subprocess.CalledProcessError) as refused:
        asked(checkout, "run", "doctor")

    assert "is nobody's, and root cannot run its Python" in refused.value.stderr
    assert (checkout / ".venv" / "bin" / "python").exists()


def test_what_was_chosen_is_known_also_where_its_installation_broke_off(checkout: Path) -> None:
    asked(checkout, "setup", "cuda")
    (checkout / ".venv" / "done-cuda").unlink()

    assert asked(checkout, "run", "doctor") == ["requirements/cuda"]
