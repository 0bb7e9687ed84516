"""Faces are found whichever way up they lie, and upright ones at the first look."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from packs import YUNET

from face_organizer.adapters.models import load_pack
from face_organizer.adapters.session import open_sessions
from face_organizer.demo import GROUP, PEOPLE, locate
from face_organizer.pipeline.find import Find, Found
from face_organizer.ports import Session
from face_organizer.types import Float32, UInt8

SIDE_PX = 200
"""Of the portraits."""


class Counted:
    """A session that counts what it was shown."""

    def __init__(self, session: Session) -> None:
        self.batch_max = session.batch_max
        self.canvases = 0
        self._session = session

    def run(self, batch: Float32) -> list[Float32]:
        self.canvases += len(batch)
        return self._session.run(batch)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Session:
    pack = load_pack("opencv-zoo", tmp_path_factory.mktemp("models"))
    return open_sessions(pack.detector_path, "openvino", count=1, batch_max=8)[0]


def turned(picture: UInt8, degrees: float) -> UInt8:
    """Clockwise, as one sees it, about the middle."""
    h, w = picture.shape[:2]
    around = cv2.getRotationMatrix2D((w / 2 - 0.5, h / 2 - 0.5), -degrees, 1)
    return np.asarray(cv2.warpAffine(picture, around, (w, h), borderMode=cv2.BORDER_REPLICATE))


def off_degrees(one: float, other: float) -> float:
    return abs((one - other + 180) % 360 - 180)


def eyes_degrees(face: Found) -> float:
    """How far the line of its eyes is turned clockwise from level."""
    left, right = face.detection.landmarks[:2]
    return math.degrees(math.atan2(right[1] - left[1], right[0] - left[0]))


def portraits() -> list[UInt8]:
    """Upright crops of SIDE_PX of the people of the demo."""
    crops = []
    for person in PEOPLE:
        picture = cv2.imread(str(locate(person.picture)))[..., ::-1]
        side = person.side_px * 1.6
        level = cv2.getRotationMatrix2D(person.centre_px, person.tilt_degrees, SIDE_PX / side)
        level[:, 2] += SIDE_PX / 2 - np.array(person.centre_px)
        crops.append(np.asarray(cv2.warpAffine(picture, level, (SIDE_PX, SIDE_PX), borderMode=cv2.BORDER_REPLICATE)))
    return crops


@pytest.mark.parametrize("degrees", range(0, 360, 15))
def test_a_turned_face_is_found_upright(detector: Session, degrees: int) -> None:
    find = Find(detector, YUNET, photo_side_px=640)
    crops = portraits()
    upright = find(crops, [True] * len(crops))

    found = find([turned(crop, degrees) for crop in crops], [True] * len(crops))

    assert [len(faces) for faces in found] == [1] * len(crops)
    off = [
        off_degrees(eyes_degrees(face), eyes_degrees(level) + degrees)
        for (face,), (level,) in zip(found, upright, strict=True)
    ]
    assert sorted(off)[-2] < 16  # a tilt of 15 degrees may go unnoticed; more than that in one face of eight, at most


def test_an_upright_crop_costs_one_detection(detector: Session) -> None:
    counted = Counted(detector)

    Find(counted, YUNET, photo_side_px=640)([portraits()[-1]] * 5, [True] * 5)

    assert counted.canvases == 5


def test_a_photo_shows_its_upright_and_its_turned_faces(detector: Session) -> None:
    photo = np.full((600, 800, 3), (96, 120, 150), np.uint8)
    places = {0: (150, 150), 90: (600, 150), 180: (150, 440), 300: (600, 440)}
    for (degrees, (x, y)), portrait in zip(places.items(), portraits(), strict=False):
        photo[y - 100 : y + 100, x - 100 : x + 100] = turned(portrait, degrees)

    (faces,) = Find(detector, YUNET, photo_side_px=640)([photo], [False])

    assert len(faces) == len(places)
    for degrees, place in places.items():
        (face,) = (face for face in faces if math.dist(face.detection.landmarks[2], place) < 50)
        assert off_degrees(eyes_degrees(face), degrees) < 25


@pytest.mark.parametrize("quarters", range(4))
def test_a_group_photo_on_its_side_shows_as_many_people(detector: Session, quarters: int) -> None:
    picture = np.ascontiguousarray(np.rot90(cv2.imread(str(locate(GROUP)))[..., ::-1], quarters))

    (faces,) = Find(detector, YUNET, photo_side_px=640)([picture], [False])

    assert len(faces) == len([person for person in PEOPLE if person.picture == GROUP])
    assert all(off_degrees(eyes_degrees(face), -90 * quarters) < 40 for face in faces)


def test_a_photo_of_nothing_has_no_faces_and_costs_a_bounded_number_of_looks(detector: Session) -> None:
    counted = Counted(detector)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)

    (faces,) = Find(counted, YUNET, photo_side_px=640)([noise], [False])

    assert faces == []
    assert counted.canvases < 30
