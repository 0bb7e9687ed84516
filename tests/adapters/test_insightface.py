"""The same networks on the same images give what InsightFace's own program gives."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny
from packs import NO_SCRFD, SCRFD
from pictures import LFW_DEV, NO_LFW

from face_organizer.adapters.models import Pack, load_pack
from face_organizer.adapters.networks import network_at
from face_organizer.adapters.session import open_sessions
from face_organizer.ports import Session
from face_organizer.types import Detection, FaceAttributes, Float32, UInt8
from face_organizer.vision import align, attributes, detect, embed

insightface = pytest.importorskip("insightface.app", reason="insightface is not installed: the dev extra has it")
from insightface.app.common import Face  # noqa: E402
from insightface.model_zoo import get_model  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # insightface calls what its own dependencies call old

SIDE_PX = 640
DEVICES = ["openvino", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack that both can run: a real SCRFD, and the default pack's SFace in a form that ONNX Runtime takes."""
    folder = tmp_path_factory.mktemp("both")
    sface = load_pack("opencv-zoo", tmp_path_factory.mktemp("models")).recogniser_path
    shutil.copy(SCRFD / "scrfd_2.5g_kps.onnx", folder)
    shutil.copy(sface, folder / "sface.onnx")
    return folder


@pytest.fixture(scope="module")
def pack(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return load_pack(str(folder), tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    app = insightface.FaceAnalysis(name=str(folder), providers=["CPUExecutionProvider"])
    app.prepare(ctx_id=-1, det_thresh=0.5, det_size=(SIDE_PX, SIDE_PX))
    return app


def photos() -> list[UInt8]:
    """Of LFW's people, where they lie beside the checkout; and the group that insightface itself shows around (RGB)."""
    people = sorted(LFW_DEV.glob("*/*.jpg"))[::300]
    files = [*people, Path(insightface.__file__).parents[1] / "data" / "images" / "t1.jpg"]
    return [np.ascontiguousarray(cv2.imread(str(file))[..., ::-1]) for file in files]


def seen(picture: UInt8, pack: Pack, detector: Session, recogniser: Session) -> list[tuple[Detection, Float32]]:
    """What we find at the same size, without turning anything, and its embeddings."""
    canvas = detect.letterbox(picture, SIDE_PX)
    outputs = detector.run(detect.network_input([canvas], pack.detector_kind))
    (found,) = detect.decode(outputs, *canvas.pixels.shape[:2], pack.traits.detector)
    faces = [detect.to_image(one, canvas) for one in found]
    aligned = [align.aligned(picture, face.landmarks) for face in faces]
    raw = [recogniser.run(embed.network_input([one], pack.traits.recogniser.scaling))[0] for one in aligned]
    return list(zip(faces, embed.unit_rows(np.concatenate(raw)), strict=True))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.skipif(not SCRFD.is_dir(), reason=NO_SCRFD)
@pytest.mark.skipif(not LFW_DEV.is_dir(), reason=NO_LFW)
def test_boxes_landmarks_and_embeddings_are_insightfaces(pack: Pack, theirs: Any, device: str) -> None:
    (detector,) = open_sessions(pack.detector_path, device, count=1, batch_max=1)  # type: ignore[arg-type]
    (recogniser,) = open_sessions(pack.recogniser_path, device, count=1, batch_max=1)  # type: ignore[arg-type]
    faces = 0
    for picture in photos():
        expected = theirs.get(np.ascontiguousarray(picture[..., ::-1]))
        ours = seen(picture, pack, detector, recogniser)

        assert len(ours) == len(expected)
        for face in expected:
            detection = Detection(face.bbox.astype(np.float32), face.kps.astype(np.float32), float(face.det_score))
            same, embedding = max(ours, key=lambda one: detect.overlap(one[0], detection))
            assert detect.overlap(same, detection) >= 0.98
            assert np.abs(same.landmarks - detection.landmarks).max() <= 0.5
            assert embedding @ face.embedding / np.linalg.norm(face.embedding) >= 0.9999
            faces += 1
    assert faces >= 15


def test_gender_and_age_are_insightfaces(tmp_path: Path) -> None:
    tiny.genderage(tmp_path / "genderage.onnx")
    network = network_at(tmp_path / "genderage.onnx")
    theirs = get_model(str(tmp_path / "genderage.onnx"), providers=["CPUExecutionProvider"])
    (session,) = open_sessions(tmp_path / "genderage.onnx", "cpu", count=1, batch_max=1)
    picture = np.random.default_rng(0).integers(0, 256, (120, 90, 3), np.uint8)
    answers = set()
    for x, y, side in ((10, 20, 40), (-20, 60, 55), (50, 80, 64), (0, 0, 90)):
        box = np.array([x, y, x + side, y + 1.2 * side], np.float32)
        gender, age = theirs.get(np.ascontiguousarray(picture[..., ::-1]), Face(bbox=box))

        portrait = attributes.portrait(picture, Detection(box, np.zeros((5, 2), np.float32), 1.0), 0.0, 96)
        assert network.scaling is not None
        (told,) = attributes.told(session.run(embed.network_input([portrait], network.scaling))[0])

        assert told is not None
        assert told == FaceAttributes("male" if gender else "female", min(120, max(0, age)))
        answers.add(told)
    assert len(answers) > 1
