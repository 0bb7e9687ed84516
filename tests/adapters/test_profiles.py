"""Every way to install it can be solved by pip, and brings exactly one ONNX Runtime."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PROFILES = {
    "cpu": ("onnxruntime", ""),
    "openvino": ("", ""),
    "cuda": ("onnxruntime-gpu", "nvidia-cudnn-cu13"),
    "cuda12": ("onnxruntime-gpu", "nvidia-cudnn-cu12"),
    "cuda-pascal": ("onnxruntime-gpu", "nvidia-cudnn-cu12"),
    "tensorrt": ("onnxruntime-gpu", "nvidia-cudnn-cu13"),
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


@pytest.mark.long
@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_can_be_solved_and_holds_exactly_one_onnx_runtime(profile: str, tmp_path: Path) -> None:
    runtime, cudnn = PROFILES[profile]

    found = resolved(profile, tmp_path / "report.json")

    assert [name for name in found if name.startswith("onnxruntime")] == ([runtime] if runtime else [])
    assert [name for name in found if name.startswith("nvidia-cudnn")] == ([cudnn] if cudnn else [])
    assert [name for name in found if name.startswith("faiss")] == ["faiss-cpu"]
    assert [name for name in found if name.startswith("opencv")] == ["opencv-python-headless"]
    if profile == "cuda-pascal":
        assert found[cudnn] == "9.10.2.21"
        assert found[runtime] <= "1.26.9"
