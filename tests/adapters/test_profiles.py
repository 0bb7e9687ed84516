"""Every way to install it can be solved by pip, and brings exactly one ONNX Runtime and one FAISS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROFILES = {
    "cpu": ("onnxruntime", "", "faiss-cpu"),
    "openvino": ("", "", "faiss-cpu"),
    "cuda": ("onnxruntime-gpu", "nvidia-cudnn-cu13", "faiss-cpu"),
    "cuda12": ("onnxruntime-gpu", "nvidia-cudnn-cu12", "faiss-cpu"),
    "cuda-pascal": ("onnxruntime-gpu", "nvidia-cudnn-cu12", "faiss-cpu"),
    "faiss-gpu": ("onnxruntime-gpu", "nvidia-cudnn-cu12", "faiss-gpu"),
    "tensorrt": ("onnxruntime-gpu", "nvidia-cudnn-cu13", "faiss-cpu"),
}


def resolved(profile: str, report: Path) -> dict[str, str]:
    """What pip would install, by name. Nothing is installed; only metadata is fetched."""
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][profile]]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report"]
    done = subprocess.run([*command, report, *wanted], capture_output=True, text=True, timeout=110, check=False)
    said = done.stderr
    if "tensorrt" in said and "not reachable" in said:
        pytest.skip("TensorRT's wheels come from NVIDIA's own index, which is not within reach")
    if done.returncode != 0 and ("Connection" in said or "No matching distribution found for setuptools" in said):
        pytest.skip("no package registry is within reach")
    assert done.returncode == 0, said
    found = json.loads(report.read_text())["install"]
    return {each["metadata"]["name"].lower().replace("_", "-"): each["metadata"]["version"] for each in found}


def test_every_profile_is_tested() -> None:
    assert set(PROFILES) == set(PROJECT["optional-dependencies"]) - {"dev", "heic", "parquet", "web"}


def test_whoever_installed_no_profile_is_told_which_there_are(tmp_path: Path) -> None:
    (tmp_path / "faiss.py").write_text('raise ModuleNotFoundError("No module named \'faiss\'", name="faiss")')
    folders = ["--inbox", tmp_path / "inbox", "--library", tmp_path / "library"]

    done = subprocess.run(
        [sys.executable, "-m", "face_organizer", "run", "--once", *folders],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("face-organizer: FAISS is not installed: pip install 'face-organizer[cpu]'")


@pytest.mark.long
@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_can_be_solved_and_holds_exactly_one_onnx_runtime_and_one_faiss(profile: str, tmp_path: Path) -> None:
    runtime, cudnn, faiss = PROFILES[profile]

    found = resolved(profile, tmp_path / "report.json")

    assert [name for name in found if name.startswith("onnxruntime")] == ([runtime] if runtime else [])
    assert [name for name in found if name.startswith("nvidia-cudnn")] == ([cudnn] if cudnn else [])
    assert [name for name in found if name.startswith("faiss")] == [faiss]
    assert [name for name in found if name.startswith("opencv")] == ["opencv-python-headless"]
    if profile == "cuda-pascal":
        assert found[cudnn] == "9.10.2.21"
        assert found[runtime] <= "1.26.9"
