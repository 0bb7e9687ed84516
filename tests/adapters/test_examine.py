"""The doctor's eyes on this machine: what it finds is so."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import pytest

from face_organizer.adapters import child, runtime
from face_organizer.adapters import examine as examining
from face_organizer.adapters.examine import examine
from face_organizer.adapters.sample import small_network
from face_organizer.adapters.trial import loaded_libraries, try_device, version_told
from face_organizer.facts import Driver, Gpu, Trial


def test_this_machine_is_found_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()

    machine = examine(
        "auto", [("inbox", tmp_path / "inbox"), ("library", tmp_path / "not" / "yet")], tmp_path / "models"
    )

    assert machine.packages["onnxruntime"]
    assert machine.packs == {"opencv-zoo": ()}
    trials = {trial.device: trial for trial in machine.trials}
    assert trials["cpu"].error == ""
    assert trials["cpu"].nodes.keys() == {"CPUExecutionProvider"}
    assert trials["cpu"].nodes["CPUExecutionProvider"] > 50
    assert all(trial.runs_per_s > 0 for trial in machine.trials if not trial.error)
    assert any("onnxruntime" in library.path for library in trials["cpu"].libraries)
    inbox, library = machine.folders
    assert inbox.kind == library.kind != ""
    assert inbox.writable
    assert inbox.free_bytes is not None
    assert not list((tmp_path / "inbox").iterdir())
    assert not (tmp_path / "not").exists()


def test_a_gpu_that_is_asked_for_and_not_there_is_an_error_of_its_trial_not_of_the_doctor() -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an NVIDIA GPU")

    machine = examine("cuda", [], None)

    (trial,) = machine.gpu_trials
    assert trial.device == "cuda:0"
    assert trial is not None
    assert "does not run on cuda:0: CUDAExecutionProvider was asked for" in trial.error


def test_a_trial_whose_process_dies_is_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    crash = tmp_path / "python"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr(child, "PYTHON", (str(crash),))

    trial = examining._trial("cpu", tmp_path)

    assert "signal 11 ended the process" in trial.error


def test_a_library_that_is_a_link_to_another_version_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libcublas.so.12.4.5").write_bytes(b"")
    (tmp_path / "libcublas.so.12").symlink_to("libcublas.so.12.4.5")
    (tmp_path / "libcublas.so.11").symlink_to("libcublas.so.12")
    monkeypatch.setenv("LD_LIBRARY_PATH", os.fspath(tmp_path))

    links = [(Path(name).name, Path(target).name) for name, target in examining._links() if str(tmp_path) in name]

    assert links == [("libcublas.so.11", "libcublas.so.12.4.5")]


def test_the_small_network_runs(tmp_path: Path) -> None:
    (tmp_path / "small.onnx").write_bytes(small_network())

    told = try_device("cpu", tmp_path / "small.onnx")

    assert (told["error"], list(told["nodes"])) == ("", ["CPUExecutionProvider"])
    assert all(version == "" for _, version in told["libraries"])


def test_every_card_is_tried_and_tensorrt_with_a_network_that_is_soon_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bool]] = []

    def tried(device: str, model: Path | None) -> Trial:
        asked.append((device, model is None))
        return Trial(device)

    monkeypatch.setattr(examining, "_trial", tried)
    monkeypatch.setattr(examining, "read_driver", lambda: (Driver(), (Gpu("Tesla T4", (7, 5)),) * 2))

    machine = examine("tensorrt:1", [], None)

    assert asked[:3] == [("cuda:0", False), ("cuda:1", False), ("tensorrt", True)]
    assert [trial.device for trial in machine.gpu_trials] == ["cuda:0", "cuda:1", "tensorrt"]


def test_devices_are_tried_also_where_no_pack_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "models").touch()

    machine = examine("cpu", [], tmp_path / "models")

    trial = machine.trial("cpu")
    assert "cannot be written" in machine.packs["opencv-zoo"][0]
    assert trial is not None
    assert (trial.error, list(trial.nodes)) == ("", ["CPUExecutionProvider"])


def test_the_checkout_that_we_run_from_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.sys, "prefix", str(tmp_path / ".venv"))
    assert runtime.checkout() == ""

    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "setup").touch()

    assert runtime.checkout() == str(tmp_path)


def test_a_library_of_cuda_says_its_version_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def cudnnGetProperty(self, part: int, number: Any) -> int:
            number._obj.value = (9, 10, 2)[part]
            return 0

        def cudaRuntimeGetVersion(self, number: Any) -> int:
            number._obj.value = 12090
            return 0

        def getInferLibVersion(self) -> int:
            return 101303

    monkeypatch.setattr(ctypes, "CDLL", lambda path: Library())

    paths = (
        "/nvidia/lib/libcudnn.so.9",
        "/lib/libcudart.so.12",
        "/lib/libnvinfer.so.10",
        "/lib/libcublas.so.12",
        "/a.so",
    )
    assert [version_told(path) for path in paths] == ["9.10.2", "12.9", "10.13.3", "", ""]


def test_where_nvidias_tool_is_at_hand_the_code_in_a_library_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool, named = tmp_path / "cuobjdump", "ELF file    {}: libcudnn_ops.{}.{}.cubin"
    lines = [named.format(row, row, sm) for row, sm in enumerate(("sm_61", "sm_60", "sm_61", "sm_90a", "sm_120f"), 1)]
    tool.write_text("#!/bin/sh\ncat <<END\n" + "\n".join(lines) + "\nEND\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    seen, other = (examining._library(f"/nvidia/{name}", "") for name in ("libcudnn_ops.so.9", "libcudart.so.12"))
    tool.write_text("#!/bin/sh\nexit 1\n")
    failed = examining._library("/nvidia/libcudnn_ops.so.9", "9.10.2")

    assert seen.capabilities == ((6, 0), (6, 1), (9, 0), (12, 0))
    assert (other.capabilities, other.version) == (None, "12")
    assert (failed.capabilities, failed.version) == (None, "9.10.2")


def test_only_libraries_that_matter_are_read_from_a_process_map() -> None:
    maps = (
        "7f00-7f01 r-xp 00000000 fe:00 12 /usr/lib/x86_64-linux-gnu/libc.so.6\n"
        "7f01-7f02 r-xp 00000000 fe:00 13 /opt/my env/nvidia/cudnn/lib/libcudnn.so.9\n"
        "7f02-7f03 rw-p 00000000 fe:00 13 /opt/my env/nvidia/cudnn/lib/libcudnn.so.9\n"
        "7f03-7f04 rw-p 00000000 00:00 0 \n"
        "7f04-7f05 rw-p 00000000 00:00 0 [stack]\n"
        "7f05-7f06 r-xp 00000000 fe:00 14 /usr/lib/libcublasLt.so.12.4.5.8\n"
    )

    assert loaded_libraries(maps) == [
        "/opt/my env/nvidia/cudnn/lib/libcudnn.so.9",
        "/usr/lib/libcublasLt.so.12.4.5.8",
    ]
