"""Pictures that were saved twice, and the faces in them."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from face_organizer.identity.copies import DIFFERING_MAX, mirrored, near_copies, same_places
from face_organizer.types import UInt8
from face_organizer.vision.look import look


def scene(seed: int, side: int = 240) -> UInt8:
    """A picture of soft blots, as unlike any other as photos are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 7, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def saved(pixels: UInt8, quality: int) -> UInt8:
    coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def looks_of(*pictures: UInt8) -> UInt8:
    return np.stack([np.frombuffer(look(picture), np.uint8) for picture in pictures])


def differing(one: UInt8, other: UInt8) -> int:
    return int(np.bitwise_count(one ^ other).sum())


@pytest.mark.parametrize("seed", range(5))
def test_a_picture_saved_anew_smaller_or_brighter_looks_the_same_and_another_does_not(seed: int) -> None:
    picture = scene(seed)
    smaller = cv2.resize(picture, (150, 150), interpolation=cv2.INTER_AREA)
    brighter = cv2.convertScaleAbs(picture, alpha=1.1, beta=6)
    original, *copies, other = looks_of(picture, saved(picture, 40), smaller, brighter, scene(seed + 100))

    assert max(differing(original, copy) for copy in copies) <= DIFFERING_MAX
    assert differing(original, other) > 2 * DIFFERING_MAX


def test_a_look_in_the_mirror_is_the_look_of_the_mirrored_picture() -> None:
    picture = scene(1)
    plain, flipped = looks_of(picture, np.ascontiguousarray(picture[:, ::-1]))

    assert differing(mirrored(plain[None])[0], flipped) <= 4
    assert differing(plain, flipped) > 2 * DIFFERING_MAX
    assert np.array_equal(mirrored(mirrored(plain[None])), plain[None])


def test_a_large_picture_looks_like_its_small_copy() -> None:
    large = scene(2, side=1600)

    assert differing(*looks_of(large, cv2.resize(large, (200, 200), interpolation=cv2.INTER_AREA))) <= DIFFERING_MAX


def test_copies_are_found_among_many_pictures_each_with_whether_it_is_mirrored() -> None:
    pictures = [scene(seed) for seed in range(40)]
    pictures += [saved(pictures[3], 50), np.ascontiguousarray(saved(pictures[8], 60)[:, ::-1])]

    a, b, flipped = near_copies(looks_of(*pictures))

    assert list(zip(a.tolist(), b.tolist(), flipped.tolist(), strict=True)) == [(3, 40, 0), (8, 41, 1)]


def test_copies_of_which_every_part_is_a_little_off_are_left_out_as_is_one_bit_too_many() -> None:
    look_ = looks_of(scene(4))
    bits = np.unpackbits(look_, axis=1)
    near, far = bits.copy(), bits.copy()
    near[0, 32 : 32 + DIFFERING_MAX] ^= 1
    far[0, 32 : 33 + DIFFERING_MAX] ^= 1

    assert len(near_copies(np.concatenate([look_, np.packbits(near, axis=1)]))[0]) == 1
    assert len(near_copies(np.concatenate([look_, np.packbits(far, axis=1)]))[0]) == 0


def test_empty_pictures_are_not_copies_of_one_another() -> None:
    white, grey = (np.full((90, 90, 3), level, np.uint8) for level in (255, 128))

    assert len(near_copies(looks_of(white, grey, white))[0]) == 0
    assert len(near_copies(np.empty((0, 16), np.uint8))[0]) == 0


def test_many_copies_of_one_picture_cost_no_more_than_as_many_pictures() -> None:
    looks = np.repeat(looks_of(scene(5)), 2000, axis=0)
    start = time.process_time()

    a, _, _ = near_copies(looks)

    assert len(a) < 4 * len(looks)
    assert time.process_time() - start < 5


def test_faces_of_copies_are_paired_where_they_overlap_most() -> None:
    boxes = np.array([[0.1, 0.1, 0.3, 0.4], [0.6, 0.1, 0.8, 0.4]], np.float32)
    others = boxes[::-1] + np.float32(0.01)
    elsewhere = np.array([[0.4, 0.6, 0.6, 0.9]], np.float32)

    assert same_places(boxes, others) == [(0, 1), (1, 0)]
    assert same_places(np.concatenate([boxes[:1] + np.float32(0.02), boxes[:1]]), boxes[:1]) == [(1, 0)]
    assert same_places(boxes, elsewhere) == []
    assert same_places(boxes, elsewhere[:0]) == []
    assert same_places(boxes[:1], np.concatenate([boxes[:1] + np.float32(0.03), boxes[:1]])) == [(0, 1)]
