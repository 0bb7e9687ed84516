"""Sessions: one answer, whatever runs it, however it is batched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
from pictures import drawn_face
from process import environment

from face_organizer.adapters import onnx_runtime, open_vino
from face_organizer.adapters.models import Pack, load_pack
from face_organizer.adapters.runtime import Device
from face_organizer.adapters.session import is_offered, nodes_by_provider, open_sessions, steps_run
from face_organizer.errors import DeviceError, ModelError
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

    with pytest.raises(ModelError, match=r"CUDAExecutionProvider.*\[cuda\]"):
        open_sessions(pack.recogniser_path, "cuda", count=1, batch_max=1)


def test_a_runtime_that_falls_back_by_itself_is_refused(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    fallen_back = SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])
    runtime = SimpleNamespace(SessionOptions=SimpleNamespace, InferenceSession=lambda *_args, **_named: fallen_back)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)

    with pytest.raises(ModelError, match="CUDAExecutionProvider was asked for and CPUExecutionProvider is active"):
        open_sessions(pack.recogniser_path, "cuda", count=1, batch_max=1)


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


def test_tensorrt_is_asked_for_half_precision_one_engine_and_a_cache(
    pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, str]]] = []

    def opened(path: str, options: object, providers: list[tuple[str, dict[str, str]]]) -> SimpleNamespace:
        asked.extend(providers)
        return SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])

    runtime = SimpleNamespace(SessionOptions=SimpleNamespace, InferenceSession=opened)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)

    with pytest.raises(ModelError, match="TensorrtExecutionProvider was asked for and CPUExecutionProvider is active"):
        open_sessions(pack.recogniser_path, "tensorrt:1", count=1, batch_max=16)

    (provider, options), (beside, _) = asked
    assert (provider, beside) == ("TensorrtExecutionProvider", "CUDAExecutionProvider")
    assert (options["device_id"], options["trt_fp16_enable"]) == ("1", "True")
    assert options["trt_profile_min_shapes"].endswith(":1x3x112x112")
    assert options["trt_profile_max_shapes"].endswith(":16x3x112x112")
    assert Path(options["trt_engine_cache_path"]).is_dir()
    assert Path(options["trt_engine_cache_path"]).parent == pack.recogniser_path.parent


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


def test_the_runtimes_keep_no_notes_of_their_use_in_anybodys_home(tmp_path: Path) -> None:
    program = (
        "from face_organizer.adapters import onnx_runtime, open_vino\n"
        "open_vino.load_openvino().Core()\n"
        "onnx_runtime.load_onnx_runtime().SessionOptions()\n"
    )
    homes = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_CONFIG_HOME": str(tmp_path / "c")}

    subprocess.run([sys.executable, "-c", program], env=environment() | homes, check=True, timeout=100)

    assert list(tmp_path.iterdir()) == []
