"""The doctor on everything but GPUs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from face_organizer.facts import Driver, Folder, Gpu, Limits, Machine, PackMissing, Trial
from face_organizer.health.diagnose import diagnose

WELL = Machine(
    packages={
        "faiss-cpu": "1.15.1",
        "onnxruntime": "1.32.0",
        "openvino": "2026.4.1",
        "opencv-python-headless": "5.0.0",
    },
    trials=(Trial("openvino", runs_per_s=50), Trial("cpu", nodes={"CPUExecutionProvider": 113}, runs_per_s=30)),
    folders=(Folder("inbox", "/srv/inbox", "ext4", 1 << 40), Folder("state", "/srv/state", "ext4", 1 << 40)),
    limits=Limits(65536, 512, 20000, 8 << 30),
    packs={"opencv-zoo": ()},
    systemd="252",
)


def test_a_machine_that_is_well_hears_nothing() -> None:
    assert diagnose(WELL) == []


DVD = Folder("library", "/media/dvd", "udf", writable=False, read_only=True)


@pytest.mark.parametrize(
    ("facts", "name", "problem"),
    [
        (replace(WELL, packages={"faiss-cpu": "1.15.1"}), "no_runtime", True),
        (replace(WELL, packages={"openvino": "2026.4.1"}), "no_faiss", True),
        (replace(WELL, packages={"faiss-cpu": "1.15.1", "onnxruntime": "1.32.0"}), "openvino_missing", False),
        (replace(WELL, trials=(Trial("cpu", "illegal instruction"),)), "cpu_fails", True),
        (replace(WELL, missing_libraries=("libGL.so.1",)), "library_missing", True),
        (replace(WELL, packages={**WELL.packages, "opencv-python": "5.0.0"}), "two_opencvs", False),
        (replace(WELL, packs={"opencv-zoo": ("detector.onnx is missing or altered",)}), "pack_damaged", True),
        (replace(WELL, packs={"/mnt/own": ("gone",)}, packs_away=("/mnt/own",)), "pack_away", False),
        (replace(WELL, packs_missing=(PackMissing("/lib", "/mnt/own", "gone"),)), "pack_missing", True),
        (replace(WELL, limits=replace(WELL.limits, inotify_watches=100)), "inotify_max_user_watches", False),
        (replace(WELL, limits=replace(WELL.limits, inotify_instances=8)), "inotify_max_user_instances", False),
        (replace(WELL, limits=replace(WELL.limits, open_files=256)), "open_files", True),
        (replace(WELL, limits=replace(WELL.limits, memory_bytes=1 << 29)), "memory", True),
        (replace(WELL, folders=(Folder("state", "/mnt/nas", "nfs4", shared=True),)), "state_on_network", True),
        (replace(WELL, folders=(Folder("inbox", "/mnt/nas", "cifs", shared=True),)), "inbox_without_events", False),
        (replace(WELL, folders=(Folder("library", "/media/stick", "exfat"),)), "library_without_links", False),
        (replace(WELL, folders=(Folder("inbox", "/srv", "ext4", writable=False),)), "folder_not_writable", True),
        (replace(WELL, folders=(DVD,)), "folder_not_writable", True),
        (replace(WELL, folders=(Folder("library", "/srv", "ext4", 1 << 20),)), "disk_low", True),
        (replace(WELL, folders=(Folder("library", "/srv", "ext4", 1 << 29),)), "disk_low", False),
        (replace(WELL, systemd=""), "no_systemd", False),
    ],
)
def test_what_is_wrong_is_named_and_weighed(facts: Machine, name: str, problem: bool) -> None:
    (finding,) = diagnose(facts)

    assert (finding.name, finding.problem) == (name, problem)
    assert finding.why


def test_nobody_is_told_to_give_away_files_on_a_read_only_file_system() -> None:
    (finding,) = diagnose(replace(WELL, folders=(DVD,)))

    assert finding.what.endswith("cannot be written: its file system is read-only")
    assert "chown" not in finding.cure
    assert "remount,rw" in finding.cure


def test_the_cure_of_one_finding_is_not_the_cause_of_the_next() -> None:
    """Two ONNX Runtimes side by side are the classic fault: no cure may bring a second one."""
    gpu = Gpu("NVIDIA L4", (8, 9))
    bare = replace(WELL, packages={"faiss-cpu": "1.15.1"}, trials=(), gpus=(gpu,), driver=Driver("580.95", (13, 0)))
    on_gpu = {"faiss-cpu": "1.15.1", "openvino": "2026.4.1", "onnxruntime-gpu": "1.31.1"}
    broken = replace(WELL, packages=on_gpu, trials=(Trial("cpu", "illegal instruction"),))

    (finding,) = diagnose(bare)
    other = diagnose(broken)[0]

    assert (finding.name, finding.cure) == ("cpu_package_only", "pip install 'face-organizer[cuda]'")
    assert other.cure == "pip install --force-reinstall --no-deps onnxruntime-gpu==1.31.1"


def test_problems_come_before_notes() -> None:
    facts = replace(WELL, systemd="", limits=replace(WELL.limits, open_files=256))

    assert [finding.problem for finding in diagnose(facts)] == [True, False]


def test_a_folder_of_networks_that_is_gone_is_not_cured_by_verifying_it_again() -> None:
    (finding,) = diagnose(replace(WELL, packs={"/mnt/own": ("det.onnx cannot be read; put it back, or delete ...",)}))

    assert "verify" not in finding.cure
    assert "put it back" in finding.what


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("buffalo_l", "face-organizer models pull buffalo_l --models-dir '/my models'"),
        (
            "/mnt/my own",
            "face-organizer models remove '/mnt/my own' --models-dir '/my models'   # if no library needs it",
        ),
    ],
)
def test_the_cure_of_a_damaged_pack_is_a_command_that_mends_or_removes_it(name: str, cure: str) -> None:
    (finding,) = diagnose(replace(WELL, packs={name: ("det.onnx is missing",)}, models_dir="/my models"))

    assert (finding.name, finding.cure) == ("pack_damaged", cure)


@pytest.mark.parametrize(
    ("pack", "cure"),
    [
        (
            "/mnt/own",
            "face-organizer reembed --pack opencv-zoo --library '/my lib'   # or put the folder back as it was",
        ),
        (
            "buffalo_l",
            "face-organizer models pull buffalo_l\n"
            "face-organizer reembed --pack opencv-zoo --library '/my lib'   # or this instead",
        ),
    ],
)
def test_a_library_whose_pack_is_gone_gets_it_back_or_is_moved(pack: str, cure: str) -> None:
    (finding,) = diagnose(replace(WELL, packs_missing=(PackMissing("/my lib", pack, "gone"),)))

    assert finding.cure == cure
    assert finding.what == f"the library /my lib goes by the model pack {pack}, which is not to be had: gone"
