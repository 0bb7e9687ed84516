"""The doctor's eyes on this machine: what it finds is so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from face_organizer.adapters import examine as examining
from face_organizer.adapters.examine import examine
from face_organizer.adapters.trial import loaded_libraries


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

    trial = machine.trial("cuda")
    assert trial is not None
    assert "does not run on cuda: CUDAExecutionProvider was asked for" in trial.error


def test_a_trial_whose_process_dies_is_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    crash = tmp_path / "python"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o755)
    monkeypatch.setattr(examining.sys, "executable", str(crash))

    trial = examining._trial("cpu", tmp_path)

    assert "the process ended with -11" in trial.error


def test_a_library_that_is_a_link_to_another_version_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libcublas.so.12.4.5").write_bytes(b"")
    (tmp_path / "libcublas.so.12").symlink_to("libcublas.so.12.4.5")
    (tmp_path / "libcublas.so.11").symlink_to("libcublas.so.12")
    monkeypatch.setenv("LD_LIBRARY_PATH", os.fspath(tmp_path))

    links = [(Path(name).name, Path(target).name) for name, target in examining._links() if str(tmp_path) in name]

    assert links == [("libcublas.so.11", "libcublas.so.12.4.5")]


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
