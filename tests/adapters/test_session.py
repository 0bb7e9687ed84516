"""Sessions: one answer, whatever runs it, however it is batched."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from pictures import drawn_face
from process import environment

from face_organizer.adapters import onnx_runtime, open_vino, providers
from face_organizer.adapters.models import Pack, load_pack
from face_organizer.adapters.runtime import Device, way_out
from face_organizer.adapters.sample import small_network
from face_organizer.adapters.session import is_offered, nodes_by_provider, open_sessions, steps_run
from face_organizer.errors import DeviceError, ModelError
from face_organizer.facts import Driver, Gpu
from face_organizer.types import Float32
from face_organizer.vision import detect

RUNTIMES = ["openvino", "cpu"]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return load_pack("opencv-zoo", tmp_path_factory.mktemp("models"))


def aligned_faces(n: int) -> Float32:
    return np.random.default_rng(n).uniform(0, 255, (n, 3, 112, 112)).astype(np.float32)


def canvases(n: int, side: int = 160) -> Float32:
    pictures = [drawn_face(side, centre=(side / 2 + 3 * row, side / 2), size=0.7 + 0.1 * row) for row in range(n)]
    return detect.network_input([detect.letterbox(picture, side) for picture in pictures], "yunet")


@pytest.mark.parametrize("device", RUNTIMES)
def test_a_batch_of_n_equals_n_batches_of_one(pack: Pack, device: Device) -> None:
    for path, batch in ((pack.recogniser_path, aligned_faces(5)), (pack.detector_path, canvases(5))):
        session = open_sessions(path, device, count=1, batch_max=8)[0]

        together = session.run(batch)
        alone = [session.run(batch[row : row + 1]) for row in range(5)]

        for output, parts in zip(together, zip(*alone, strict=True), strict=True):
            np.testing.assert_allclose(output, np.concatenate(parts), atol=2e-5 * max(1, np.abs(output).max()))


def test_openvino_and_onnx_runtime_agree(pack: Pack) -> None:
    for path, batch in (
        (pack.recogniser_path, aligned_faces(3)),
        (pack.detector_path, canvases(2)),
        (pack.detector_path, canvases(1, side=320)[..., :192]),
    ):
        openvino, onnxruntime = (
            open_sessions(path, device, count=1, batch_max=4)[0].run(batch) for device in ("openvino", "cpu")
        )
        for one, other in zip(openvino, onnxruntime, strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, atol=2e-5 * max(1, np.abs(one).max()))


@pytest.mark.parametrize("device", RUNTIMES)
@pytest.mark.parametrize("rows", [1, 3, 4, 6])
def test_a_recurring_shape_answers_as_any_other(pack: Pack, device: Device, rows: int) -> None:
    shapes = [(4, 3, 160, 160), (2, 3, 160, 160)]
    free = open_sessions(pack.detector_path, device, count=1, batch_max=8)[0]
    fixed = open_sessions(pack.detector_path, device, count=1, batch_max=8, recurring=shapes)[0]

    for batch in (canvases(rows), canvases(rows, side=96), canvases(rows)):
        for output, expected in zip(fixed.run(batch), free.run(batch), strict=True):
            assert output.shape == expected.shape
            np.testing.assert_allclose(output, expected, atol=2e-5 * max(1, np.abs(expected).max()))


def test_recurring_shapes_have_networks_of_their_own_and_make_up_larger_batches(pack: Pack) -> None:
    shapes = [(4, 3, 160, 160), (1, 3, 160, 160), (4, 3, 96, 96)]
    session = open_sessions(pack.detector_path, "openvino", count=1, batch_max=8, recurring=shapes)[0]
    assert isinstance(session, open_vino.OpenVinoSession)
    sent: list[tuple[int, ...]] = []
    infer = session._infer

    def counted(batch: Float32) -> list[Float32]:
        sent.append(batch.shape)
        return infer(batch)

    session._infer = counted  # type: ignore[method-assign]
    session.run(canvases(6))
    session.run(canvases(3, side=96))

    assert sent == [(4, 3, 160, 160), (1, 3, 160, 160), (1, 3, 160, 160), (3, 3, 96, 96)]
    assert set(session._fixed) == set(shapes[:2])


@pytest.mark.parametrize("device", RUNTIMES)
def test_sessions_of_one_network_work_side_by_side(pack: Pack, device: Device) -> None:
    batches = [aligned_faces(n) for n in (1, 2, 3)]
    shapes = [(2, 3, 112, 112)]
    pair = open_sessions(pack.recogniser_path, device, count=3, batch_max=8, recurring=shapes)
    expected = [pair[0].run(batch)[0] for batch in batches]
    got: list[list[Float32]] = [[], [], []]

    def work(row: int) -> None:
        got[row] = [pair[row].run(batches[row])[0] for _ in range(4)]

    threads = [Thread(target=work, args=(row,), name=f"session {row}") for row in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    for row in range(3):
        assert len(got[row]) == 4
        for answer in got[row]:
            np.testing.assert_allclose(answer, expected[row], atol=1e-4)


@pytest.mark.parametrize("device", RUNTIMES)
def test_an_answer_is_not_overwritten_by_the_next_run(pack: Pack, device: Device) -> None:
    session = open_sessions(pack.recogniser_path, device, count=1, batch_max=8)[0]
    first = session.run(aligned_faces(1))[0]
    kept = first.copy()

    session.run(aligned_faces(2)[:1])

    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("device", RUNTIMES)
def test_more_than_batch_max_is_a_bug_of_the_caller(pack: Pack, device: Device) -> None:
    session = open_sessions(pack.recogniser_path, device, count=1, batch_max=2)[0]

    with pytest.raises(AssertionError):
        session.run(aligned_faces(3))


@pytest.mark.parametrize("device", RUNTIMES)
def test_a_file_that_is_no_network_is_refused_by_name(tmp_path: Path, device: Device) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not a network")

    with pytest.raises(ModelError, match=r"broken\.onnx"):
        open_sessions(tmp_path / "broken.onnx", device, count=1, batch_max=1)


def test_cuda_is_never_replaced_in_silence(pack: Pack) -> None:
    if is_offered("cuda"):
        pytest.skip("this ONNX Runtime has CUDA")

    with pytest.raises(ModelError, match=r"CUDAExecutionProvider.*(\[cuda\]|setup --anew cuda)"):
        open_sessions(pack.recogniser_path, "cuda", count=1, batch_max=1)


CUDA = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


def pretended(
    tmp_path: Path, open_session: Callable[..., Any], providers: Sequence[str] = CUDA, **more: Any
) -> SimpleNamespace:
    """An ONNX Runtime that says that it was built for GPUs."""
    return SimpleNamespace(
        __file__=str(tmp_path / "__init__.py"),
        SessionOptions=SimpleNamespace,
        InferenceSession=open_session,
        get_available_providers=lambda: providers,
        **more,
    )


def fallen_back(*_arguments: Any, **_named: Any) -> SimpleNamespace:
    return SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])


def test_a_runtime_that_falls_back_by_itself_is_refused_with_what_the_loader_says(
    pack: Pack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi" / "libonnxruntime_providers_cuda.so").write_bytes(b"not a library")
    monkeypatch.setitem(sys.modules, "onnxruntime", pretended(tmp_path, fallen_back))

    with pytest.raises(
        ModelError, match=r"CUDAExec.* was asked for and CPUExec.* is active \(the loader says: .*cuda.so"
    ):
        open_sessions(pack.recogniser_path, "cuda", count=1, batch_max=1)


def test_what_a_runtime_prints_while_it_looks_for_libraries_does_not_spoil_an_answer(
    pack: Pack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def preload_dlls() -> None:
        sys.stdout.write("Failed to load libcublasLt.so.13\n")

    monkeypatch.setitem(sys.modules, "onnxruntime", pretended(tmp_path, fallen_back, preload_dlls=preload_dlls))

    with pytest.raises(ModelError):
        open_sessions(pack.recogniser_path, "cuda", count=1, batch_max=1)

    assert capsys.readouterr().out == ""


def test_a_network_that_does_not_run_is_not_run_by_another_provider_behind_our_back(
    pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime's own session, whose provider fails as TensorRT's does: it would take the next one, and answer."""
    failure = onnx_runtime.load_onnx_runtime().capi.onnxruntime_pybind11_state.EPFail
    session = open_sessions(pack.recogniser_path, "cpu", count=1, batch_max=1)[0]
    inference = session._inference  # type: ignore[attr-defined]

    class Failing:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def run(self, *_arguments: Any) -> Any:
            raise failure("TensorRT EP failed to create engine")

    monkeypatch.setattr(inference, "_sess", Failing(inference._sess))

    with pytest.raises(DeviceError, match="TensorRT EP failed"):
        session.run(aligned_faces(1))


def test_a_gpu_beyond_those_that_the_driver_shows_is_refused_by_name(
    pack: Pack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", pretended(tmp_path, fallen_back))
    monkeypatch.setattr(providers, "read_driver", lambda: (Driver(), (Gpu("Tesla T4", (7, 5)),) * 2))

    with pytest.raises(ModelError, match="does not run on cuda:2: the driver shows cuda:0 to cuda:1 only"):
        open_sessions(pack.recogniser_path, "cuda:2", count=1, batch_max=1)


def test_nothing_is_left_behind_by_a_session_that_was_to_be_watched_and_did_not_open(
    pack: Pack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "broken.onnx").write_bytes(b"not a network")

    with pytest.raises(ModelError):
        open_sessions(tmp_path / "broken.onnx", "cpu", count=1, batch_max=1, profiled=True)
    open_sessions(pack.detector_path, "cpu", count=1, batch_max=1, profiled=True)  # and nobody asks
    gc.collect()

    assert [path.name for path in tmp_path.iterdir()] == ["broken.onnx"]


def test_a_session_says_what_it_ran_where(pack: Pack) -> None:
    ort, openvino = (
        open_sessions(pack.recogniser_path, device, count=2, batch_max=2, profiled=True)[0]
        for device in ("cpu", "openvino")
    )
    ort.run(aligned_faces(2))

    (of_cpu,) = steps_run(ort).values()
    assert sum(count for operator, count in of_cpu.items() if "Conv" in operator) >= 2 * 20
    assert steps_run(ort) == {}
    assert list(steps_run(openvino)) == ["CPU"]
    assert nodes_by_provider(pack.recogniser_path, "cpu")["CPUExecutionProvider"] > 50
    assert ort.run(aligned_faces(1))[0].shape == (1, 128)


@pytest.mark.parametrize("device", RUNTIMES)
def test_what_a_runtime_raises_at_work_is_the_devices_failure(pack: Pack, device: Device) -> None:
    session = open_sessions(pack.recogniser_path, device, count=1, batch_max=2)[0]

    with pytest.raises(DeviceError, match=f"^{device}: "):
        session.run(np.zeros((1, 4, 112, 112), np.float32))


def options_asked(
    path: Path, device: Device, batch_max: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> list[tuple[str, dict[str, str]]]:
    """What the providers are told when a network is opened."""
    asked: list[tuple[str, dict[str, str]]] = []

    def opened(_path: str, _options: object, *, providers: list[Any], enable_fallback: bool) -> SimpleNamespace:
        assert not enable_fallback
        asked.extend(providers)
        return fallen_back()

    monkeypatch.setitem(sys.modules, "onnxruntime", pretended(tmp_path, opened))
    monkeypatch.setattr(providers, "read_driver", lambda: (None, ()))
    with pytest.raises(ModelError, match="was asked for and CPUExecutionProvider is active"):
        open_sessions(path, device, count=1, batch_max=batch_max)
    assert all(isinstance(value, str) for _, options in asked for value in options.values())
    return asked


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    path.write_bytes(small_network())
    return path


def test_tensorrt_is_asked_for_half_precision_one_engine_and_a_cache(
    small: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (provider, options), (beside, _) = options_asked(small, "tensorrt:1", 16, monkeypatch, tmp_path)

    assert (provider, beside) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert (options["device_id"], options["trt_fp16_enable"]) == ("1", "True")
    assert options["trt_profile_min_shapes"] == "data:1x3x112x112"
    assert options["trt_profile_max_shapes"] == options["trt_profile_opt_shapes"] == "data:16x3x112x112"
    assert Path(options["trt_engine_cache_path"]).is_dir()
    assert Path(options["trt_engine_cache_path"]).is_relative_to(tmp_path)


def test_an_engine_of_other_weights_or_batches_is_never_taken_for_this_ones(
    small: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """TensorRT's provider names an engine by the graph alone. Older exports list their weights among the inputs."""
    network = onnx.load(str(small))
    weights = network.graph.initializer[0]
    weights.CopyFrom(onnx.numpy_helper.from_array(2 * onnx.numpy_helper.to_array(weights), weights.name))
    listed = onnx.helper.make_tensor_value_info(weights.name, weights.data_type, list(weights.dims))
    network.graph.input.insert(0, listed)
    other = tmp_path / "other.onnx"
    onnx.save(network, str(other))

    folders = [
        options_asked(path, "tensorrt:0", batch, monkeypatch, tmp_path)[0][1]["trt_engine_cache_path"]
        for path, batch in ((small, 8), (small, 16), (other, 8), (small, 8))
    ]

    assert folders[0] == folders[3]
    assert len(set(folders)) == 3


def test_cudnn_tries_all_ways_only_where_few_shapes_occur(
    pack: Pack, small: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    searches = [
        options_asked(path, "cuda:0", 8, monkeypatch, tmp_path)[0][1]["cudnn_conv_algo_search"]
        for path in (small, pack.detector_path)
    ]

    assert searches == ["EXHAUSTIVE", "HEURISTIC"]


def test_a_missing_runtime_is_named_with_the_way_out(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)

    with pytest.raises(ModelError, match=r"not installed.*\[openvino\]"):
        open_sessions(pack.recogniser_path, "openvino", count=1, batch_max=1)


def test_batches_for_cuda_come_in_few_sizes_and_the_filling_is_cut_off() -> None:
    sizes: list[int] = []

    def run(_outputs: None, feed: dict[str, Float32]) -> list[Float32]:
        sizes.append(len(feed["data"]))
        return [feed["data"][:, :, 0, 0]]

    inference = SimpleNamespace(run=run, get_inputs=lambda: [SimpleNamespace(name="data", shape=["n", 3, 112, 112])])
    session = onnx_runtime.OrtSession(inference, "cuda:0", batch_max=12)

    answers = [session.run(aligned_faces(n))[0] for n in (1, 2, 3, 5, 9, 12)]

    assert sizes == [1, 2, 4, 8, 12, 12]
    assert [len(answer) for answer in answers] == [1, 2, 3, 5, 9, 12]


class Cramped:
    """An inference that has memory for so many rows at once."""

    def __init__(self, rows_max: int, says: str) -> None:
        self.rows_max, self.says, self.tried = rows_max, says, list[int]()

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="data", shape=["n", 3, 112, 112])]

    def run(self, _outputs: None, feed: dict[str, Float32]) -> list[Float32]:
        self.tried.append(len(feed["data"]))
        if len(feed["data"]) > self.rows_max:
            raise RuntimeError(self.says)
        return [feed["data"][:, :, 0, 0]]


FULL = "bfc_arena.cc:376 AllocateRawInternal Failed to allocate memory for requested buffer of size 1073741824"


def test_a_batch_too_large_for_a_cards_memory_is_run_in_halves_from_then_on_and_that_is_told() -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    log = SimpleNamespace(warning=lambda event, **fields: told.append((event, fields)))
    inference = Cramped(4, FULL)
    session = onnx_runtime.OrtSession(inference, "cuda:0", batch_max=16, log=log)  # type: ignore[arg-type]
    faces = aligned_faces(13)

    (answer,) = session.run(faces)
    np.testing.assert_array_equal(answer, faces[:, :, 0, 0])
    (again,) = session.run(faces[:5])

    np.testing.assert_array_equal(again, faces[:5, :, 0, 0])
    assert inference.tried == [16, 8, 4, 4, 4, 1, 4, 1]
    assert [event for event, _ in told] == ["device_short_of_memory"] * 2
    assert [fields["images_max"] for _, fields in told] == [8, 4]
    assert "1073741824" in told[0][1]["cause"]


@pytest.mark.parametrize(
    ("rows_max", "says"), [(0, FULL), (4, "CUDNN failure 5000:\n CUDNN_STATUS_EXECUTION_FAILED\n")]
)
def test_a_card_without_room_for_one_or_with_another_fault_fails(rows_max: int, says: str) -> None:
    session = onnx_runtime.OrtSession(Cramped(rows_max, says), "cuda:0", batch_max=8)

    with pytest.raises(DeviceError, match=r"^cuda:0: [^\n]+\Z"):
        session.run(aligned_faces(8))


def test_the_runtimes_keep_no_notes_of_their_use_in_anybodys_home(tmp_path: Path) -> None:
    program = (
        "from face_organizer.adapters import onnx_runtime, open_vino\n"
        "open_vino.load_openvino().Core()\n"
        "onnx_runtime.load_onnx_runtime().SessionOptions()\n"
    )
    homes = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_CONFIG_HOME": str(tmp_path / "c")}

    subprocess.run([sys.executable, "-c", program], env=environment() | homes, check=True, timeout=100)

    assert list(tmp_path.iterdir()) == []


def test_what_helps_a_card_is_said_as_it_is_done_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert way_out("cuda").startswith("install the [cuda] extra")

    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "setup").touch()

    assert way_out("cuda").startswith(f"`{tmp_path}/scripts/setup --anew cuda` (Pascal cards: cuda-pascal)")
