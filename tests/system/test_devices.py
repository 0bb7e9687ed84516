"""Devices prove themselves before they are used, and may fail later. Proofs with real networks, on the processor;
failures in the real process, on pictures of numbers."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest
import tiny
from numbered import paint
from process import files_below, organizer
from support import Notes

from face_organizer.adapters.models import load_pack
from face_organizer.adapters.session import steps_run
from face_organizer.app import devices
from face_organizer.app.devices import SPARE_WORKERS, open_devices
from face_organizer.app.figures import _devices, figures_of
from face_organizer.app.opening import open_organizer
from face_organizer.app.proving import check_steps, expected_of
from face_organizer.config import Config, FacesConfig
from face_organizer.errors import ModelError
from face_organizer.facts import Gpu
from face_organizer.pipeline.pulse import Pulses
from face_organizer.pipeline.timing import Timings


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def config(models_dir: Path, *wanted: str, **values: Any) -> Config:
    return Config(faces=FacesConfig(devices=wanted, models_dir=str(models_dir), threads=2, **values))


def test_two_devices_on_the_processor_prove_themselves_and_share_its_cores(models_dir: Path) -> None:
    log = Notes()

    opened = open_devices(config(models_dir, "cpu", "openvino"), log)

    assert [(device.name, len(device.workers)) for device in opened] == [("cpu", 1), ("openvino", 1 + SPARE_WORKERS)]
    ready = log.of("device_ready")
    assert [line["device"] for line in ready] == ["cpu", "openvino"]
    assert all(line["similarity"] > 0.9999 and line["faces_per_s"] > 0 for line in ready)
    assert ready[0]["steps"]["CPUExecutionProvider"] > 100
    assert log.of("networks_ready")[0]["device"] == "cpu, openvino"


def test_a_device_that_takes_long_to_open_is_not_taken_for_hung(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd is asked for more time only while the start is not hung: TensorRT builds its first engine for minutes."""
    now, hung, opened = [0.0], list[Any](), devices.open_recognisers
    pulses = Pulses(lambda: now[0])

    def slow(*arguments: Any, **how: Any) -> Any:
        now[0] += 3000
        hung.extend(pulses.hung(300))
        return opened(*arguments, **how)

    monkeypatch.setattr(devices, "open_recognisers", slow)
    with pulses.watching("main"):
        open_devices(config(models_dir, "cpu"), Notes())
        assert hung == pulses.hung(300) == []
        now[0] += 301
        assert [each.thread for each in pulses.hung(300)] == ["main"]


def test_the_answer_of_the_processor_is_kept_beside_the_packs(models_dir: Path) -> None:
    pack = load_pack("opencv-zoo", models_dir)
    made = expected_of(pack, models_dir)
    (kept,) = (models_dir / "proofs").iterdir()
    kept.write_bytes(kept.read_bytes()[:200])

    np.testing.assert_array_equal(expected_of(pack, models_dir), made)
    np.testing.assert_array_equal(np.load(kept), made)


def test_a_device_that_sees_something_else_is_refused_with_the_way_out(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = devices.answer_of

    def wrong(session: Any, pack: Any) -> Any:
        answer = right(session, pack).copy()
        answer[1, :64] *= -1
        return answer

    expected_of(load_pack("opencv-zoo", models_dir), models_dir)
    monkeypatch.setattr(devices, "answer_of", wrong)

    with pytest.raises(ModelError, match=r"openvino does not see what the processor sees.*faces.devices"):
        open_devices(config(models_dir, "openvino"), Notes())


def test_the_network_that_tells_gender_and_age_proves_itself_too(
    models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = load_pack("opencv-zoo", models_dir)
    shutil.copy(pack.detector_path, tmp_path / "find.onnx")
    tiny.recogniser(tmp_path / "recognise.onnx")
    tiny.genderage(tmp_path / "genderage.onnx")
    own, opened = config(models_dir, "cpu", pack=str(tmp_path)), devices.open_attributes
    log = Notes()
    assert open_devices(own, log)[0].name == "cpu"
    third: list[Any] = []

    def kept(*arguments: Any, **how: Any) -> Any:
        third.extend(opened(*arguments, **how))
        return third

    def elsewhere(session: Any) -> Any:
        return {"OtherProvider": {"Conv": 2}} if session in third else steps_run(session)

    monkeypatch.setattr(devices, "open_attributes", kept)
    monkeypatch.setattr(devices, "steps_run", elsewhere)

    with pytest.raises(ModelError, match="cpu was asked for and OtherProvider ran the network"):
        open_devices(own, log)


def test_each_gpu_tells_its_own_cards_figures_counted_as_cuda_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML counts otherwise: a card is asked for by its place on the bus."""
    gpus = (Gpu("T4", (7, 5), 0, "0000:82:00.0", "u-1"), Gpu("P4", (6, 1), 0, "0000:03:00.0", "u-2"))
    asked: list[tuple[str, str]] = []

    class Cards:
        def figures(self, address: str, uuid: str) -> dict[str, float]:
            asked.append((address, uuid))
            return {"temperature_c": 40 + len(asked)}

    monkeypatch.setattr(devices, "read_driver", lambda: (None, gpus))
    monkeypatch.setattr(devices, "Cards", Cards)
    gauge = devices._gauge()

    told = [gauge(name) for name in ("tensorrt:1", "cuda:0", "cuda:2", "cpu", "openvino:1")]

    assert asked == [("0000:03:00.0", "u-2"), ("0000:82:00.0", "u-1")]
    assert told == [{"temperature_c": 41}, {"temperature_c": 42}, {}, {}, {}]
    rows = [{"device": "cuda:0", "state": "working", "working": 1} | told[1]]
    assert _devices(rows)["device_temperature_c"][1] == {"cuda:0": 42.0}


def test_a_gpu_that_is_not_there_is_refused_unless_the_processor_may_stand_in(models_dir: Path) -> None:
    log = Notes()
    with pytest.raises(ModelError, match="does not run on cuda:0"):
        open_devices(config(models_dir, "cuda:0"), log)

    (stand_in,) = open_devices(config(models_dir, "cuda:0", allow_cpu_fallback=True), log)

    assert stand_in.name == "openvino"
    assert "cuda:0 is not used: detector.onnx does not run on cuda:0" in stand_in.notices[0]
    assert [line["device"] for line in log.of("device_refused")] == ["cuda:0"]


def test_every_status_says_that_the_processor_stands_in_for_a_gpu(models_dir: Path, tmp_path: Path) -> None:
    faces = FacesConfig(devices="cuda:0", allow_cpu_fallback=True, models_dir=str(models_dir))
    settings = Config(inbox=str(tmp_path / "inbox"), library=str(tmp_path / "library"), people="auto", faces=faces)
    organizer_there = open_organizer(settings, Notes())
    try:
        organizer_there.start(watching=True)

        told = organizer_there.status.answer()
        assert told["device"] == "openvino"
        assert [each["device"] for each in told["devices"]] == ["openvino"]
        assert told["notices"][0].startswith("cuda:0 is not used: ")
        assert organizer_there.status.line().startswith("on openvino only (cuda:0 is not used: ")
        assert figures_of(told, Timings(monotonic), 0)["gauges"]["notices"][2] == 1
    finally:
        organizer_there.stop()


@pytest.mark.parametrize(
    ("device", "steps", "problem"),
    [
        ("cuda:0", {"CUDAExecutionProvider": {"Conv": 50}, "CPUExecutionProvider": {"Shape": 3}}, ""),
        (
            "cuda:0",
            {"CUDAExecutionProvider": {"Add": 5}, "CPUExecutionProvider": {"FusedConv": 50}},
            "50 FusedConv on CPU",
        ),
        ("cuda:0", {"CPUExecutionProvider": {"Conv": 50}}, "CPUExecutionProvider ran the network"),
        ("cuda:0", {}, "nothing ran the network"),
        ("tensorrt:0", {"TensorrtExecutionProvider": {"TRTKernel": 1}, "CUDAExecutionProvider": {"Cast": 1}}, ""),
        (
            "tensorrt:0",
            {"TensorrtExecutionProvider": {"TRTKernel": 1}, "CUDAExecutionProvider": {"Gemm": 1}},
            "1 Gemm on CUDA",
        ),
        ("openvino", {"CPU": {}}, ""),
        ("openvino", {"GPU.0": {}}, "GPU.0 ran the network"),
    ],
)
def test_every_step_of_weight_has_to_run_on_the_device(
    device: str, steps: dict[str, dict[str, int]], problem: str
) -> None:
    if not problem:
        check_steps(device, steps)
        return
    with pytest.raises(ModelError, match=problem):
        check_steps(device, steps)


FAILING = Path(__file__).parents[1] / "failing.py"
PICTURES = 120


def run_on(described: str, folder: Path, expect: int = 0) -> tuple[list[dict[str, Any]], str]:
    """Sort painted pictures of five people on such devices; the log's lines, and the last thing said."""
    for number in range(PICTURES):
        paint(folder / "inbox" / f"{number:03}.png", [number % 5], number)
    arguments = ["run", "--once", "--inbox", folder / "inbox", "--library", folder / "library"]
    done = organizer(*arguments, expect=expect, command=[sys.executable, str(FAILING), described])
    lines = done.stderr.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")], lines[-1]


def test_several_devices_make_the_library_that_one_makes_also_when_one_fails(tmp_path: Path) -> None:
    run_on("a", tmp_path / "one")
    log, _ = run_on("a:1,b,c", tmp_path / "several")

    assert files_below(tmp_path / "several" / "library") == files_below(tmp_path / "one" / "library")
    retired = [line for line in log if line["event"] == "device_retired"]
    assert [line["device"] for line in retired] == ["a"]
    assert "CUDNN_STATUS_EXECUTION_FAILED" in retired[0]["cause"]


def test_without_a_device_left_the_process_stops_with_a_sentence_and_nothing_is_lost(tmp_path: Path) -> None:
    log, said = run_on("a:2,b:2", tmp_path, expect=1)

    assert "no device is left for the networks" in said or "brought down 2 devices" in said
    assert len([line for line in log if line["event"] == "device_retired"]) == 2
    arguments = ["run", "--once", "--inbox", tmp_path / "inbox", "--library", tmp_path / "library"]
    organizer(*arguments, command=[sys.executable, str(FAILING), "a"])
    assert len([path for path in files_below(tmp_path / "library") if path.suffix == ".png"]) == PICTURES
