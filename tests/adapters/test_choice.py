"""Which devices are opened, by what is installed and what the driver shows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from face_organizer.adapters import choice
from face_organizer.adapters.choice import choose_devices, processor
from face_organizer.errors import ModelError
from face_organizer.facts import Driver, Gpu

CARD = Gpu("Tesla T4", (7, 5))


def machine(monkeypatch: pytest.MonkeyPatch, installed: Sequence[str], gpus: int = 0) -> None:
    monkeypatch.setattr(choice, "is_offered", lambda kind: kind in installed)
    monkeypatch.setattr(choice, "read_driver", lambda: (Driver(), (CARD,) * gpus))


@pytest.mark.parametrize(
    ("installed", "gpus", "chosen"),
    [
        (("cpu", "openvino"), 0, ("openvino",)),
        (("cpu",), 0, ("cpu",)),
        (("cpu", "openvino"), 2, ("openvino",)),
        (("cpu", "cuda"), 2, ("cuda:0", "cuda:1")),
        (("cpu", "openvino", "cuda"), 0, ("openvino",)),
    ],
)
def test_auto_is_every_gpu_that_can_be_used_else_the_processor(
    monkeypatch: pytest.MonkeyPatch, installed: Sequence[str], gpus: int, chosen: tuple[str, ...]
) -> None:
    machine(monkeypatch, installed, gpus)

    assert choose_devices(["auto"]).devices == chosen


def test_auto_says_that_cuda_was_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, ("cpu", "cuda"))
    assert choose_devices(["auto"]).passed_over.startswith("CUDA is installed, and not used: the driver shows no GPU")

    monkeypatch.setattr(choice, "read_driver", lambda: (Driver(problem="CUDA_ERROR_UNKNOWN"), ()))
    assert "CUDA_ERROR_UNKNOWN" in choose_devices(["auto"]).passed_over


def test_auto_says_that_a_gpu_was_passed_over_unless_nothing_could_serve_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, ("cpu", "openvino"), gpus=2)
    assert choose_devices(["auto"]).passed_over.startswith("Tesla T4 is not used: CUDA is not installed")
    assert choose_devices(["openvino"]).passed_over == ""

    monkeypatch.setattr(choice, "read_driver", lambda: (Driver(), (Gpu("GT 710", (3, 5)),)))
    assert choose_devices(["auto"]).passed_over == ""

    machine(monkeypatch, ("cpu", "openvino"))
    assert choose_devices(["auto"]).passed_over == ""


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (["cuda:1"], ("cuda:1",)),
        (["cuda"], ("cuda:0", "cuda:1")),
        (["tensorrt:0", "cuda:1"], ("tensorrt:0", "cuda:1")),
        (["cuda:0", "cuda"], ("cuda:0", "cuda:1")),
        (["cpu", "cpu"], ("cpu:0", "cpu:1")),
        (["cpu", "openvino"], ("cpu", "openvino")),
    ],
)
def test_what_is_asked_for_is_chosen_and_told_apart(
    monkeypatch: pytest.MonkeyPatch, wanted: list[str], chosen: tuple[str, ...]
) -> None:
    machine(monkeypatch, ("cpu", "openvino", "cuda"), gpus=2)

    assert choose_devices(wanted).devices == chosen


def test_a_gpu_that_nobody_shows_is_asked_for_all_the_same_for_its_refusal_tells_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine(monkeypatch, ("cpu",))

    assert choose_devices(["cuda"]).devices == ("cuda:0",)


def test_without_any_runtime_the_extras_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, ())

    with pytest.raises(ModelError, match=r"face-organizer\[cpu\]"):
        processor()
