"""Faces that are one person's without anybody having said so."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image, ImageOps
from test_gallery import D, Desk
from test_recluster import Bench
from test_see import see_with

from face_organizer.adapters.columns import look_table
from face_organizer.adapters.models import load_pack
from face_organizer.adapters.session import open_sessions
from face_organizer.demo import vary_people
from face_organizer.errors import FaceOrganizerError
from face_organizer.identity.copies import mirrored
from face_organizer.pipeline.positives import positives_of
from face_organizer.pipeline.see import See
from face_organizer.records import ImageRecord
from face_organizer.types import DecodedImage, Detection, ImageRef, Impostors, SeenFace, SeenImage, Signature
from face_organizer.vision.decode import content_digest, decode

LOOK = bytes(range(1, 241, 15))
"""Bits enough set and unset for a picture."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.store.close()


def dropped(desk: Desk, number: int, look: bytes, *left_px: float, size_px: tuple[int, int] = (100, 100)) -> None:
    """An image with a face 20 % wide at each of these places, and the vector of its number."""
    width_px, height_px = size_px
    faces = []
    for place, left in enumerate(left_px):
        box = np.array([left, 0.4 * height_px, left + 0.2 * width_px, 0.6 * height_px], np.float32)
        vector = np.eye(D, dtype=np.float32)[number % 4 * 4 + place]
        faces.append(SeenFace(Detection(box, np.zeros((5, 2), np.float32), 0.9), vector, 0.9, founder=True))
    ref = ImageRef(Path(f"/in/{number}.jpg"), Signature(1, number, 1))
    desk.gallery.handle([SeenImage(ref, number.to_bytes(16, "big"), width_px, height_px, tuple(faces), look)])


def pairs(desk: Desk) -> list[list[int]]:
    with desk.store.read() as txn:
        ids = txn.face_table().face_ids
        return [ids[rows].tolist() for rows in positives_of(txn, ids, 0)]


def flipped(look: bytes) -> bytes:
    return mirrored(np.frombuffer(look, np.uint8)[None])[0].tobytes()


def test_faces_at_the_same_place_of_two_copies_are_positives_whatever_their_size(desk: Desk) -> None:
    dropped(desk, 1, LOOK, 10, 60)
    dropped(desk, 2, LOOK, 120, 20, size_px=(200, 200))
    dropped(desk, 3, bytes(reversed(LOOK)), 10, 60)

    assert pairs(desk) == [[1, 4], [2, 3]]


def test_in_the_mirror_left_is_right(desk: Desk) -> None:
    dropped(desk, 1, LOOK, 10, 50)
    dropped(desk, 2, flipped(LOOK), 70, 30)

    assert pairs(desk) == [[1, 3], [2, 4]]


def test_pictures_of_another_shape_and_those_without_a_look_are_no_copies(desk: Desk) -> None:
    dropped(desk, 1, LOOK, 10)
    dropped(desk, 2, LOOK, 10, size_px=(100, 140))
    dropped(desk, 3, b"", 10)
    dropped(desk, 4, b"", 10)

    assert pairs(desk) == []


def test_an_image_that_an_older_version_recorded_has_no_look_and_is_read() -> None:
    old = {"digest": b"x" * 16, "width_px": 9, "height_px": 9, "face_ids": (), "file_ids": ()}
    value = msgspec.msgpack.encode(old)

    ids, looks = look_table([([(1).to_bytes(8, "big")], [value])])

    assert msgspec.msgpack.decode(value, type=ImageRecord).look == b""
    assert (len(ids), looks.shape) == (0, (0, 16))


def test_a_run_tells_what_share_of_the_copies_its_bound_parts(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    impostors = Impostors(0.0, 0.1, (1e-1, 1e-3, 1e-5), (1.3, 3.1, 4.3))
    bench.recluster.rules = replace(bench.recluster.rules, impostors=impostors)
    dropped(bench.desk, 1, LOOK, 10)
    dropped(bench.desk, 5, LOOK, 10)  # the same vector
    dropped(bench.desk, 2, LOOK, 10)  # another: a copy too poor to be known

    found = bench.run().found["calibration"]
    told = bench.desk.log.lines[-1][1]
    bench.desk.store.close()

    assert (found["positive_pairs"], found["false_split_rate"]) == (2, 0.5)
    assert told["false_split_rate"] == 0.5


# real pictures


@pytest.fixture(scope="module")
def see(tmp_path_factory: pytest.TempPathFactory) -> See:
    pack = load_pack("opencv-zoo", tmp_path_factory.mktemp("models"))
    detector, recogniser = (
        open_sessions(path, "openvino", count=1, batch_max=4)[0] for path in (pack.detector_path, pack.recogniser_path)
    )
    return see_with((detector, recogniser))


def jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def read(data: bytes, number: int) -> DecodedImage:
    made = decode(data, pixels_max=10**8, side_max_px=2048)
    ref = ImageRef(Path(f"/in/{number}.jpg"), Signature(len(data), number, number))
    return DecodedImage(ref, content_digest(data), made.pixels, made.width_px, made.height_px)


def test_a_mirrored_and_a_smaller_copy_of_a_real_face_are_known_and_look_like_it(see: See, tmp_path: Path) -> None:
    """Three people, each once as it is and once saved anew; the first smaller, the others in the mirror."""
    try:
        first_of = dict(reversed(list(vary_people(seed=1))))
    except FaceOrganizerError as error:
        pytest.skip(str(error))
    originals = [first_of[person] for person in sorted(first_of)][:3]
    width, height = originals[0].size
    copies = [originals[0].resize((width * 3 // 4, height * 3 // 4)), *map(ImageOps.mirror, originals[1:])]
    coded = [jpeg(image, 92) for image in originals] + [jpeg(image, 60) for image in copies]
    seen = see([read(data, number) for number, data in enumerate(coded, 1)])
    desk = Desk(tmp_path, dimension=len(seen[0].faces[0].embedding))
    desk.gallery.handle(list(seen))

    found = pairs(desk)
    with desk.store.read() as txn:
        vectors = txn.vectors([face_id for pair in found for face_id in pair]).reshape(len(found), 2, -1)
    desk.store.close()

    assert [len(image.faces) for image in seen] == [1] * 6
    assert found == [[1, 4], [2, 5], [3, 6]]
    assert np.einsum("nd,nd->n", vectors[:, 0], vectors[:, 1]).min() > 0.6
