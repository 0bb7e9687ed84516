"""The see stage on drawn faces and the real networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from packs import PLAIN, RAW
from pictures import LFW_DEV, NO_LFW, decoded, draw_face, drawn_face, lfw_pictures

from face_organizer.adapters.models import load_pack
from face_organizer.adapters.session import open_sessions
from face_organizer.app.parts import make_eyes
from face_organizer.config import FacesConfig
from face_organizer.pipeline.find import DETECTION_BATCH_PX
from face_organizer.pipeline.see import See
from face_organizer.ports import Session
from face_organizer.traits import AttributeTraits
from face_organizer.types import Detection, Float32, UInt8, Whitening
from face_organizer.vision.align import TEMPLATE_PX
from face_organizer.vision.yunet import STRIDES_PX


class Watched:
    """A session that remembers the shapes it was sent."""

    def __init__(self, session: Session) -> None:
        self.batch_max = session.batch_max
        self.shapes: list[tuple[int, ...]] = []
        self._session = session

    def run(self, batch: Float32) -> list[Float32]:
        self.shapes.append(batch.shape)
        return self._session.run(batch)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Session, Session]:
    pack = load_pack("opencv-zoo", tmp_path_factory.mktemp("models"))
    paths: tuple[Path, Path] = (pack.detector_path, pack.recogniser_path)
    detector, recogniser = (open_sessions(path, "openvino", count=1, batch_max=4)[0] for path in paths)
    return detector, recogniser


def see_with(networks: tuple[Session, Session], **changed: Any) -> See:
    values: dict[str, Any] = {
        "pre_cropped": "auto",
        "crop_side_max_px": 256,
        "detection_side_px": 640,
        "face_side_min_px": 20,
        "founder_quality_min": 0.3,
        "traits": PLAIN,
    }
    return See(*networks, **(values | changed))


def blank(side: int = 150) -> UInt8:
    return np.full((side, side, 3), 128, np.uint8)


def two_faces(side: int) -> UInt8:
    """A large face in the middle and a smaller one in a corner."""
    picture = blank(side)
    draw_face(picture, side / 2, side / 2, 1.0)
    draw_face(picture, 30, 35, 0.5)
    return picture


def test_embeddings_are_whitened_as_the_pack_says(networks: tuple[Session, Session]) -> None:
    detector, recogniser = networks
    rng = np.random.default_rng(0)
    whitening = Whitening(rng.normal(0, 0.02, 128).astype(np.float32), rng.normal(size=(128, 128)).astype(np.float32))
    (plain,) = see_with(networks)([decoded(drawn_face())])[0].faces

    (eyes,) = make_eyes([detector], [recogniser], FacesConfig(), replace(PLAIN, whitening=whitening))
    (face,) = eyes([decoded(drawn_face())])[0].faces

    expected = (plain.embedding - whitening.mean) @ whitening.matrix
    np.testing.assert_allclose(face.embedding, expected / np.linalg.norm(expected), atol=1e-5)


def test_every_image_comes_back_in_its_place(networks: tuple[Session, Session]) -> None:
    sizes = (0.8, 0.9, 1.0, 1.1, 1.2)
    images = [decoded(drawn_face(size=size)) for size in sizes]
    images.insert(2, decoded(blank()))
    images.insert(4, decoded(drawn_face(700, size=3)))

    seen = see_with(networks)(images)

    assert [one.digest for one in seen] == [image.digest for image in images]
    assert [len(one.faces) for one in seen] == [1, 1, 0, 1, 1, 1, 1]
    widths = [seen[row].faces[0].detection.box[2] - seen[row].faces[0].detection.box[0] for row in (0, 1, 3, 5, 6)]
    assert widths == sorted(widths)
    assert see_with(networks)([]) == []


def test_a_face_has_a_unit_embedding_and_lies_where_it_was_drawn(networks: tuple[Session, Session]) -> None:
    (seen,) = see_with(networks)([decoded(drawn_face(200, centre=(110, 90)))])

    (face,) = seen.faces
    assert face.embedding.shape == (128,)
    assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-5)
    assert not face.embedding.flags.writeable
    assert face.founder
    assert face.quality > 0.8
    eyes = face.detection.landmarks[:2]
    np.testing.assert_allclose(eyes, [[96, 82], [124, 82]], atol=10)


def test_a_face_is_the_same_alone_and_in_company(networks: tuple[Session, Session]) -> None:
    see = see_with(networks)
    images = [decoded(drawn_face(size=0.7 + 0.1 * row)) for row in range(7)]

    together = see(images)

    for image, seen in zip(images, together, strict=True):
        (alone,) = see([image])
        assert alone.faces[0].embedding @ seen.faces[0].embedding > 1 - 1e-5
        np.testing.assert_allclose(alone.faces[0].detection.box, seen.faces[0].detection.box, atol=1e-2)


def test_a_crop_shows_one_person_and_a_photo_all_of_them(networks: tuple[Session, Session]) -> None:
    picture = decoded(two_faces(256))

    (as_crop,) = see_with(networks)([picture])
    (as_photo,) = see_with(networks, pre_cropped=False)([picture])

    (main,) = as_crop.faces
    assert np.abs(main.detection.box.reshape(2, 2).mean(axis=0) - 128).max() < 12
    assert len(as_photo.faces) == 2


def test_one_pixel_more_than_the_bound_makes_a_photo(networks: tuple[Session, Session]) -> None:
    crop, photo = see_with(networks)([decoded(two_faces(256)), decoded(two_faces(257))])

    assert (len(crop.faces), len(photo.faces)) == (1, 2)


def test_faces_narrower_than_the_bound_do_not_count_in_a_photo_but_do_in_a_crop(
    networks: tuple[Session, Session],
) -> None:
    picture = decoded(two_faces(256))

    (photo,) = see_with(networks, pre_cropped=False, face_side_min_px=50)([picture])
    (crop,) = see_with(networks, pre_cropped=True, face_side_min_px=200)([picture])

    assert len(photo.faces) == 1
    assert len(crop.faces) == 1


def test_a_face_that_fills_its_crop_is_found(networks: tuple[Session, Session]) -> None:
    tight = drawn_face(150)[28:124, 38:112]

    (seen,) = see_with(networks)([decoded(np.ascontiguousarray(tight))])

    assert len(seen.faces) == 1
    assert seen.faces[0].founder


class OnlyPadded:
    """A detector that sees one face, and only with black around the picture."""

    batch_max = 4

    def run(self, batch: Float32) -> list[Float32]:
        n, _, h, w = batch.shape
        outputs = [np.zeros((n, (h // s) * (w // s), c), np.float32) for c in (1, 1, 4, 10) for s in STRIDES_PX]
        padded = batch[:, :, 0, 0].max(axis=1) == 0
        middle = (h // 64) * (w // 32) + w // 64
        for head in (2, 5):
            outputs[head][padded, middle] = 0.9
        outputs[8][:, :, 2:] = np.log(3)
        outputs[11][:, middle] = np.float32([-1, -1, 1, -1, 0, 0, -1, 1, 1, 1])
        return outputs


def test_a_crop_in_which_nothing_is_found_is_looked_at_again_with_room_around_it(
    networks: tuple[Session, Session],
) -> None:
    detector = Watched(OnlyPadded())

    (seen,) = see_with((detector, networks[1]))([decoded(blank(100))])

    first, *turned, second, third = detector.shapes
    assert [first, second, third] == [(1, 3, side, side) for side in (160, 320, 320)]
    assert sum(n for n, *_ in turned) == 8
    (face,) = seen.faces  # 96 px at the middle of a canvas on which the picture has 160 px
    np.testing.assert_allclose(face.detection.box, [20, 20, 80, 80], atol=1e-3)


def test_a_portrait_larger_than_the_detector_expects_is_found(networks: tuple[Session, Session]) -> None:
    (seen,) = see_with(networks)([decoded(drawn_face(900, size=8))])

    assert len(seen.faces) == 1


def test_a_crop_without_a_face_has_none_unless_it_was_declared_to_be_one(networks: tuple[Session, Session]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (150, 200, 3), np.uint8)

    (guessed,) = see_with(networks)([decoded(picture)])
    (declared,) = see_with(networks, pre_cropped=True, founder_quality_min=0.0)([decoded(picture)])

    assert guessed.faces == ()
    (face,) = declared.faces
    assert not face.founder
    assert face.quality == 0
    assert face.detection.detection_score == 0
    assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(face.detection.box, [25, 0, 175, 150])
    np.testing.assert_allclose(face.detection.landmarks, TEMPLATE_PX * (150 / 112) + [25, 0], atol=1e-3)


def test_a_face_below_the_quality_bound_founds_nobody(networks: tuple[Session, Session]) -> None:
    small = decoded(drawn_face(size=0.5))

    (distrusted,) = see_with(networks, founder_quality_min=0.95)([small])
    (trusted,) = see_with(networks, founder_quality_min=0.3)([small])

    assert 0.3 < distrusted.faces[0].quality < 0.95
    assert not distrusted.faces[0].founder
    assert trusted.faces[0].founder


def test_boxes_are_those_of_the_original_where_the_decode_was_reduced(networks: tuple[Session, Session]) -> None:
    pixels = drawn_face(400)

    whole, reduced = see_with(networks)([decoded(pixels.copy()), decoded(pixels.copy(), reduced=4)])

    np.testing.assert_allclose(reduced.faces[0].detection.box, whole.faces[0].detection.box * 4, rtol=1e-5)
    np.testing.assert_allclose(reduced.faces[0].detection.landmarks, whole.faces[0].detection.landmarks * 4, rtol=1e-5)


def test_no_network_is_sent_more_than_it_takes(networks: tuple[Session, Session]) -> None:
    detector, recogniser = Watched(networks[0]), Watched(networks[1])
    crowd = np.full((640, 640, 3), 128, np.uint8)
    for x in (100, 260, 420, 560):
        for y in (100, 320, 540):
            draw_face(crowd, x, y, 1.0)

    few = [decoded(drawn_face(size=0.8 + 0.05 * row)) for row in range(6)]
    seen = see_with((detector, recogniser))([decoded(crowd), *few, decoded(crowd.copy())])

    assert [len(one.faces) for one in seen] == [12, 1, 1, 1, 1, 1, 1, 12]
    assert max(shape[0] for shape in recogniser.shapes) == 4
    assert sum(shape[0] for shape in recogniser.shapes) == 30
    assert all(n <= 4 and n * h * w <= DETECTION_BATCH_PX for n, _, h, w in detector.shapes)
    assert (4, 3, 160, 160) in detector.shapes


def test_a_dark_face_is_lit_before_it_is_looked_for(networks: tuple[Session, Session]) -> None:
    day = drawn_face()
    night = (day * 0.15).astype(np.uint8)

    by_day, by_night = see_with(networks)([decoded(day), decoded(night)])

    assert by_night.faces[0].embedding @ by_day.faces[0].embedding > 0.9
    np.testing.assert_allclose(by_night.faces[0].detection.box, by_day.faces[0].detection.box, atol=4)


def test_a_poor_face_is_looked_at_in_the_mirror_too(networks: tuple[Session, Session]) -> None:
    recogniser = Watched(networks[1])
    noise = np.random.default_rng(1).integers(0, 256, (150, 150, 3), np.uint8)
    see = see_with((networks[0], recogniser), pre_cropped=True)

    see([decoded(drawn_face()), decoded(noise), decoded(drawn_face(size=1.1))])

    assert recogniser.shapes == [(3, 3, 112, 112), (1, 3, 112, 112)]


@pytest.mark.skipif(not LFW_DEV.is_dir(), reason=NO_LFW)
def test_a_face_worthy_to_found_a_person_is_seen_in_every_photo_of_a_sample(networks: tuple[Session, Session]) -> None:
    seen = see_with(networks)([decoded(picture) for picture in lfw_pictures(48)])

    assert [len(one.faces) for one in seen] == [1] * 48
    assert all(one.faces[0].founder for one in seen)


def test_a_pack_with_such_a_network_tells_gender_and_age_of_the_faces_it_finds(
    networks: tuple[Session, Session], tmp_path: Path
) -> None:
    tiny.genderage(tmp_path / "genderage.onnx")
    (session,) = open_sessions(tmp_path / "genderage.onnx", "cpu", count=1, batch_max=1)
    traits = replace(PLAIN, attributes=AttributeTraits(scaling=RAW))
    pictures = [decoded(two_faces(256)), decoded(blank()), decoded(drawn_face())]

    (eyes,) = make_eyes([networks[0]], [networks[1]], FacesConfig(pre_cropped=False), traits, [session])
    (without,) = make_eyes([networks[0]], [networks[1]], FacesConfig(pre_cropped=False), traits)

    seen = eyes(pictures)
    assert [len(image.faces) for image in seen] == [2, 0, 1]
    assert all(face.attributes is not None for image in seen for face in image.faces)
    assert all(face.attributes is None for image in without(pictures) for face in image.faces)


def lying(face: Any, dx: float = 0.0) -> Detection:
    """A face as it was known: so many px further to the right."""
    off = np.array([dx, 0], np.float32)
    known = face.detection
    return Detection(known.box + np.tile(off, 2), known.landmarks + off, known.detection_score)


def test_a_known_face_comes_first_as_it_is_found_now_and_a_new_one_after_it(networks: tuple[Session, Session]) -> None:
    see = see_with(networks)
    picture = decoded(two_faces(400))
    large, small = sorted(
        see([picture])[0].faces, key=lambda face: -float(face.detection.box[2] - face.detection.box[0])
    )

    (again,) = see([picture], [[lying(small, 3)]])

    np.testing.assert_array_equal(again.faces[0].detection.box, small.detection.box)
    np.testing.assert_allclose(again.faces[0].embedding, small.embedding, atol=1e-5)
    np.testing.assert_array_equal(again.faces[1].detection.box, large.detection.box)
    assert [face.found for face in again.faces] == [True, True]


def test_a_known_face_that_is_not_found_is_embedded_where_it_lay(networks: tuple[Session, Session]) -> None:
    see = see_with(networks)
    picture = decoded(two_faces(400))
    large = max(see([picture])[0].faces, key=lambda face: float(face.detection.box[2]))

    (again,) = see_with(networks, face_side_min_px=390)([picture], [[lying(large)]])

    (face,) = again.faces
    assert face.found is False
    np.testing.assert_allclose(face.embedding, large.embedding, atol=1e-4)


def test_a_crop_whose_face_is_known_shows_no_other(networks: tuple[Session, Session]) -> None:
    see = see_with(networks)
    crop = decoded(drawn_face())
    (face,) = see([crop])[0].faces
    side = float(face.detection.box[2] - face.detection.box[0])

    (again,) = see([crop], [[lying(face, 2 * side)]])

    assert [each.found for each in again.faces] == [False]
