"""A folder of networks is a model pack: what is in it is told from the graphs, and it runs as it would in
InsightFace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny
from packs import NO_SCRFD, SCRFD

from face_organizer.adapters.models import describe_pack, list_packs, load_pack, verify_pack
from face_organizer.adapters.networks import network_at
from face_organizer.adapters.session import open_sessions
from face_organizer.errors import ModelError
from face_organizer.traits import Scaling
from face_organizer.types import Float32

DEVICES = ["openvino", "cpu"]


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.buffalo(tmp_path_factory.mktemp("brought") / "buffalo_x")


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory, brought: Path) -> Path:
    """A models folder in which it has been made."""
    folder = tmp_path_factory.mktemp("models")
    load_pack(str(brought), folder)
    return folder


def test_what_a_network_is_for_is_told_from_its_graph(brought: Path) -> None:
    roles = {path.name: network_at(path).role for path in brought.glob("*.onnx")}

    assert roles == {
        "det_10g.onnx": "detector",
        "w600k_r50.onnx": "recogniser",
        "genderage.onnx": "attributes",
        "2d106det.onnx": "other",
    }


@pytest.mark.parametrize("scales", [False, True])
def test_a_recogniser_that_scales_by_itself_is_fed_raw(tmp_path: Path, scales: bool) -> None:
    tiny.recogniser(tmp_path / "r.onnx", scales=scales)

    assert network_at(tmp_path / "r.onnx").scaling == Scaling(mean=0 if scales else 127.5, std=1 if scales else 127.5)


def test_a_folder_is_a_pack_with_careful_bounds_and_no_known_licence(brought: Path, models_dir: Path) -> None:
    pack = load_pack(str(brought), models_dir)

    made = json.loads((pack.recogniser_path.parent / "manifest.json").read_text())["made"]

    assert made["recogniser.cpu.onnx"]["differs_by_share"] < 1e-5
    assert (pack.name, pack.address, pack.detector_kind, pack.dimension) == ("buffalo_x", str(brought), "scrfd", 16)
    assert pack.traits.attributes is not None
    assert pack.licence.startswith("unknown")
    assert pack.similarity_join_min > 0.5
    assert all(source.startswith("not measured") for source in pack.sources.values())
    assert verify_pack(str(brought), models_dir) == []
    assert [each.address for each in list_packs(models_dir)] == ["opencv-zoo", str(brought)]


def test_nothing_is_written_into_the_folder(brought: Path, models_dir: Path) -> None:
    assert sorted(path.name for path in brought.iterdir()) == sorted(path.name for path in brought.glob("*.onnx"))


def test_a_folder_that_is_away_is_still_known_and_runs(tmp_path: Path) -> None:
    folder = tiny.buffalo(tmp_path / "away")
    before = load_pack(str(folder), tmp_path / "models")
    folder.rename(tmp_path / "elsewhere")

    after = load_pack(str(folder), tmp_path / "models")

    assert after.fingerprint == before.fingerprint
    assert verify_pack(str(folder), tmp_path / "models") != []


def test_another_recogniser_under_the_same_name_is_another_model(tmp_path: Path) -> None:
    folder = tiny.buffalo(tmp_path / "changing")
    before = load_pack(str(folder), tmp_path / "models")
    tiny.recogniser(folder / "w600k_r50.onnx", dimension=24)

    after = load_pack(str(folder), tmp_path / "models")

    assert after.dimension == 24
    assert after.fingerprint != before.fingerprint


def test_a_pack_json_says_what_was_measured_and_the_licence(tmp_path: Path) -> None:
    folder = tiny.buffalo(tmp_path / "measured")
    says = {
        "licence": "ours",
        "bounds": {"similarity_join_min": {"value": 0.33, "false_match_rate": 1e-6, "source": "our own photos"}},
        "detector": {"traits": {"sure_score": 0.75}},
    }
    (folder / "pack.json").write_text(json.dumps(says))

    pack = describe_pack(str(folder), tmp_path / "models")

    assert (pack.licence, pack.similarity_join_min, pack.traits.detector.sure_score) == ("ours", 0.33, 0.75)
    assert pack.sources["similarity_join_min"] == "our own photos"
    assert pack.sources["similarity_link_min"].startswith("not measured")


def test_insightfaces_own_manifest_says_which_files_count_and_how_they_are_fed(tmp_path: Path) -> None:
    folder = tiny.buffalo(tmp_path / "raccoon")
    tiny.recogniser(folder / "a_verifier.onnx", dimension=24)
    tasks = {
        "detection": {"file": "det_10g.onnx"},
        "recognition": {"file": "w600k_r50.onnx", "preprocessing": "embedded"},
    }
    (folder / "manifest.json").write_text(json.dumps({"manifest_version": 2, "tasks": tasks}))

    pack = describe_pack(str(folder), tmp_path / "models")

    assert (pack.dimension, pack.traits.recogniser.scaling) == (16, Scaling(mean=0, std=1))
    assert "MODEL.LICENSE" in pack.licence
    tasks["detection"]["preprocessing"] = "embedded"
    (folder / "manifest.json").write_text(json.dumps({"manifest_version": 2, "tasks": tasks}))
    with pytest.raises(ModelError, match="another scaling"):
        describe_pack(str(folder), tmp_path / "models")


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ("{", "cannot be read"),
        ("[]", "table"),
        ('{"licenses": "x"}', "licenses"),
        ('{"detector": {"traits": {"sure_score": 2}}}', "sure_score"),
    ],
)
def test_a_pack_json_with_a_mistake_is_refused_by_name(tmp_path: Path, says: str, problem: str) -> None:
    folder = tiny.buffalo(tmp_path / "wrong")
    (folder / "pack.json").write_text(says)

    with pytest.raises(ModelError, match=problem):
        load_pack(str(folder), tmp_path / "models")


def test_a_folder_without_a_detector_says_what_its_files_are(tmp_path: Path) -> None:
    tiny.scrfd(tmp_path / "det.onnx", landmarks=False)
    tiny.recogniser(tmp_path / "r.onnx")

    with pytest.raises(ModelError, match=r"no detector in it .*det.onnx: a detector without landmarks"):
        load_pack(str(tmp_path), tmp_path / "models")


def test_who_names_the_folder_around_a_pack_is_told_which_it_is(tmp_path: Path) -> None:
    inner = tiny.buffalo(tmp_path / "antelopev2" / "antelopev2")

    with pytest.raises(ModelError, match=f"no .onnx file; there are some in {inner}"):
        load_pack(str(inner.parent), tmp_path / "models")
    with pytest.raises(ModelError, match=r"holds no \.onnx file\)"):
        load_pack(str(tmp_path), tmp_path / "models")


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x07"])
def test_a_file_that_is_no_network_is_named(tmp_path: Path, content: bytes) -> None:
    tiny.recogniser(tmp_path / "r.onnx")
    (tmp_path / "det.onnx").write_bytes(content)

    with pytest.raises(ModelError, match=r"det\.onnx is not an ONNX network"):
        load_pack(str(tmp_path), tmp_path / "models")


def test_a_name_that_is_neither_a_pack_nor_a_folder_is_refused_with_the_ways_out(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="models pull"):
        load_pack("buffalo_l", tmp_path)
    with pytest.raises(ModelError, match="no folder"):
        load_pack("./buffalo_l", tmp_path)


# batches


def answers(path: Path, device: str, batch: Float32) -> tuple[list[Float32], list[Float32]]:
    """Of a batch, and of its pictures one by one."""
    (session,) = open_sessions(path, device, count=1, batch_max=8)  # type: ignore[arg-type]
    apart = [session.run(batch[row : row + 1]) for row in range(len(batch))]
    return session.run(batch), [np.concatenate(rows) for rows in zip(*apart, strict=True)]


def noise(*shape: int) -> Float32:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("batch_axis", [True, False])
def test_a_batch_through_scrfd_is_as_good_as_single_runs_of_the_original(
    tmp_path: Path, batch_axis: bool, device: str
) -> None:
    tiny.scrfd(tmp_path / "det.onnx", batch_axis=batch_axis)
    tiny.recogniser(tmp_path / "r.onnx")
    original = onnxruntime.InferenceSession(str(tmp_path / "det.onnx"), providers=["CPUExecutionProvider"])
    pictures = noise(3, 3, 640, 640)

    pack = load_pack(str(tmp_path), tmp_path / "models")
    together, apart = answers(pack.detector_path, device, pictures)
    expected = [original.run(None, {"images": pictures[row : row + 1]}) for row in range(3)]

    assert pack.detector_batches
    for output, (one, rows) in enumerate(zip(together, apart, strict=True)):
        np.testing.assert_allclose(one, rows, atol=1e-5)
        theirs = np.concatenate([row[output].reshape(1, -1, one.shape[2]) for row in expected])
        np.testing.assert_allclose(one, theirs, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["scrfd_500m_kps", "scrfd_2.5g_kps"])
@pytest.mark.skipif(not SCRFD.is_dir(), reason=NO_SCRFD)
def test_a_batch_through_a_real_scrfd_is_as_good_as_single_runs(tmp_path: Path, name: str, device: str) -> None:
    shutil.copy(SCRFD / f"{name}.onnx", tmp_path)
    tiny.recogniser(tmp_path / "r.onnx")
    pack = load_pack(str(tmp_path), tmp_path / "models")

    for batch in (noise(4, 3, 160, 160), noise(2, 3, 96, 160)):
        for together, apart in zip(*answers(pack.detector_path, device, batch), strict=True):
            np.testing.assert_allclose(together, apart, atol=2e-5)


def test_a_detector_for_pictures_of_one_size_is_refused(tmp_path: Path) -> None:
    tiny.scrfd(tmp_path / "det.onnx", fixed=True)
    tiny.recogniser(tmp_path / "r.onnx")

    with pytest.raises(ModelError, match=r"one size only|does not run"):
        load_pack(str(tmp_path), tmp_path / "models")


def test_a_recogniser_that_mixes_its_pictures_is_sent_one_at_a_time(tmp_path: Path) -> None:
    tiny.scrfd(tmp_path / "det.onnx")
    tiny.recogniser(tmp_path / "r.onnx", fixed=True)

    pack = load_pack(str(tmp_path), tmp_path / "models")

    assert pack.detector_batches
    assert not pack.recogniser_batches


def test_made_networks_take_any_batch_and_the_detector_any_picture(brought: Path, models_dir: Path) -> None:
    pack = load_pack(str(brought), models_dir)
    free = {
        path.name: [axis.dim_param for axis in onnx.load(path).graph.input[0].type.tensor_type.shape.dim]
        for path in (pack.detector_path, pack.recogniser_path)
    }

    assert free == {"detector.onnx": ["n", "", "h", "w"], "recogniser.onnx": ["n", "", "", ""]}
