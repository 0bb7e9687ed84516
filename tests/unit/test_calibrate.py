"""The bounds a library gives itself."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from face_organizer.identity.calibrate import (
    DOWN_MAX,
    FOLLOWED,
    POSITIVES_MIN,
    UP_MAX,
    Calibration,
    calibrate,
    deviation_at,
    rate_beyond,
)
from face_organizer.identity.clusters import linkage
from face_organizer.types import NOBODY, Impostors

D = 64
PACK = Impostors(0.0, 0.125, (1e-1, 1e-2, 1e-3, 1e-4, 1e-5), (1.28, 2.33, 3.09, 3.72, 4.26))
"""Random directions in 64 dimensions: similarity has mean 0 and deviation 1/8, and the tail of a normal curve."""


def library(persons: int, faces: int = 4, *, alike: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows of so many persons, and who they are. alike: the similarity that all persons have for one direction."""
    rng = np.random.default_rng(seed)
    people = rng.standard_normal((persons, D)) / np.sqrt(D)
    people = np.sqrt(1 - alike) * people + np.sqrt(alike) * np.eye(D)[0]
    who = np.repeat(np.arange(1, persons + 1), faces)
    vectors = people[who - 1] + 0.05 * rng.standard_normal((len(who), D))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), who


def calibrated(vectors: np.ndarray, who: np.ndarray, **changed: object) -> Calibration:
    values: dict[str, object] = {"similarity_link_min": 0.48, "false_merge_max": 0.01, "seed": 0} | changed
    image_of = values.pop("image_of", np.arange(len(who)))
    return calibrate(vectors, who, image_of, pack=PACK, **values)  # type: ignore[arg-type]


def test_rates_and_deviations_are_each_others_inverse_within_the_table_and_beyond() -> None:
    for rate in (0.5, 1e-2, 2e-3, 1e-5, 1e-7):
        assert rate_beyond(PACK, deviation_at(PACK, rate)) == pytest.approx(rate)

    assert deviation_at(PACK, 1e-3) == pytest.approx(3.09)
    assert deviation_at(PACK, 1e-7) > deviation_at(PACK, 1e-6) > 4.26
    assert rate_beyond(PACK, -10) == 1.0


def test_a_library_of_look_alikes_raises_its_bounds() -> None:
    usual = calibrated(*library(400))
    alike = calibrated(*library(400, alike=0.1))

    assert alike.impostor_mean == pytest.approx(0.1, abs=0.02)
    assert alike.similarity_link_min > usual.similarity_link_min + 0.01


def test_two_persons_are_as_alike_as_the_linkage_of_re_clustering_says() -> None:
    rng = np.random.default_rng(5)
    vectors, who = library(30, 9, alike=0.3)
    vectors = vectors + 0.15 * rng.standard_normal(vectors.shape)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    sums = np.stack([vectors[who == person].sum(axis=0) for person in range(1, 31)])
    a, b = np.triu_indices(30, 1)
    lengths, nine = np.linalg.norm(sums, axis=1), np.full(len(a), 9, np.float32)
    between = linkage((sums[a] * sums[b]).sum(axis=1), nine * nine, lengths[a] * lengths[b], nine)

    told = calibrated(vectors, who)

    assert told.impostor_mean == pytest.approx(30 / 50 * np.median(between), abs=1e-4)


def test_more_persons_mean_more_chances_for_a_mistake_and_a_higher_bound() -> None:
    few, many = calibrated(*library(60)), calibrated(*library(600))

    assert few.similarity_link_min < many.similarity_link_min


def test_the_library_goes_part_of_the_way_to_the_bound_of_the_wanted_rate() -> None:
    told = calibrated(*library(600), false_merge_max=0.02)

    all_the_way = 0.48 + told.similarity_shift / FOLLOWED
    rate = rate_beyond(PACK, (all_the_way - told.impostor_mean) / told.impostor_sd)

    assert rate * 599 / 2 == pytest.approx(0.02)


def test_no_library_moves_its_bounds_far() -> None:
    same, who = library(300, alike=0.8)
    assert calibrated(same, who).similarity_shift == pytest.approx(UP_MAX)
    assert calibrated(same, who).false_merge_rate > 0.5

    assert calibrated(*library(5), similarity_link_min=0.6).similarity_shift == pytest.approx(-DOWN_MAX)


def test_the_false_merge_rate_is_what_happens() -> None:
    vectors, who = library(300, faces=1)
    told = calibrated(vectors, who, similarity_link_min=0.36, false_merge_max=0.3)

    similarities = np.triu(vectors @ vectors.T, 1)
    merges = int((similarities >= told.similarity_link_min).sum())

    assert told.false_merge_rate == pytest.approx(merges / 300, rel=0.3)
    assert told.false_match_rate == pytest.approx(merges / (300 * 299 / 2), rel=0.3)


def test_a_person_split_in_two_does_not_raise_the_bound() -> None:
    vectors, who = library(200, faces=8)
    split = np.where(np.arange(len(who)) % 2, who, who + 1000)

    assert calibrated(vectors, split).impostor_sd == pytest.approx(calibrated(vectors, who).impostor_sd, abs=0.003)


def test_small_evidence_leaves_the_packs_figures() -> None:
    vectors, who = library(2, alike=0.5)

    told = calibrated(vectors, who)

    assert told.impostor_mean < 0.1
    assert calibrated(*library(400, alike=0.5)).impostor_mean > 0.4


def test_faces_of_nobody_are_strangers_to_one_another() -> None:
    vectors, _ = library(100, faces=1)

    told = calibrated(vectors, np.full(100, NOBODY))

    assert told.persons == 100
    assert told.impostor_pairs == 100 * 99 // 2


def test_a_family_that_shares_its_photos_is_counted_among_the_strangers() -> None:
    family, member = library(4, faces=100, alike=0.5)
    vectors, who = library(30)
    vectors, who = np.concatenate([vectors, family]), np.concatenate([who, member + 100])
    rows = np.arange(len(who))

    apart = calibrated(vectors, who)
    together = calibrated(vectors, who, image_of=np.where(rows < 120, rows, 1000 + rows % 100))

    assert together.impostor_mean > apart.impostor_mean + 0.03


def test_two_faces_of_one_image_are_evidence_and_a_mirror_shows() -> None:
    vectors, who = library(50, faces=2)
    rows = np.arange(len(who))

    people = calibrated(vectors, who, image_of=rows % 50)
    mirrors = calibrated(vectors, who, image_of=rows // 2)

    assert people.same_image_pairs == mirrors.same_image_pairs == 50
    assert people.same_image_match_rate == 0.0
    assert mirrors.same_image_match_rate == 1.0


def test_the_same_seed_gives_the_same_answer_of_plain_numbers() -> None:
    vectors, who = library(1200, faces=1)

    told = calibrated(vectors, who, seed=3)

    assert told == calibrated(vectors, who, seed=3)
    assert all(type(value) in (int, float) for value in asdict(told).values())


@pytest.mark.parametrize("n", [0, 1])
def test_a_library_of_nothing_keeps_to_the_pack(n: int) -> None:
    told = calibrated(np.zeros((n, D), np.float32), np.zeros(n, np.int64))

    assert told.impostor_mean == PACK.mean
    assert told.false_merge_rate == 0.0


def copies(vectors: np.ndarray, similarities: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """The library with a copy of one face after another, so similar to it; and the pairs."""
    rng = np.random.default_rng(7)
    made = []
    for row, similarity in enumerate(similarities):
        away = rng.standard_normal(D)
        away -= (away @ vectors[row]) * vectors[row]
        made.append(similarity * vectors[row] + np.sqrt(1 - similarity**2) * away / np.linalg.norm(away))
    pairs = np.stack([np.arange(len(made)), len(vectors) + np.arange(len(made))], axis=1)
    return np.concatenate([vectors, np.array(made, np.float32)]), pairs


def test_the_share_of_copies_below_the_bound_is_told() -> None:
    vectors, who = library(100)
    everything, pairs = copies(vectors, [0.9] * 30 + [0.1] * 10)
    who = np.concatenate([who, who[pairs[:, 0]]])

    told = calibrated(everything, who, positives=pairs)

    assert (told.positive_pairs, told.false_split_rate) == (40, pytest.approx(0.25))
    assert (calibrated(vectors, who[:400]).positive_pairs, calibrated(vectors, who[:400]).false_split_rate) == (0, 0.0)


@pytest.mark.parametrize(("pairs_", "held"), [(POSITIVES_MIN, True), (POSITIVES_MIN - 1, False)])
def test_a_library_does_not_raise_its_bounds_above_its_copies(pairs_: int, held: bool) -> None:
    """.3 look-alikes want the bound .08 higher; one copy in ten is only .5 alike."""
    vectors, who = library(400, alike=0.3)
    everything, pairs = copies(vectors, ([0.5] + [0.9] * 9) * 5)
    who = np.concatenate([who, who[pairs[:, 0]]])

    free = calibrated(everything, who)
    told = calibrated(everything, who, positives=pairs[:pairs_])

    assert free.similarity_shift > 0.05
    assert told.similarity_shift == pytest.approx(0.02 if held else free.similarity_shift, abs=1e-3)


def test_copies_never_lower_a_bound() -> None:
    """Poor copies of strangers who do not look alike: the pack's own bound stands, or what strangers make of it."""
    vectors, who = library(400, alike=0.3)
    everything, pairs = copies(vectors, [0.2] * 100)
    low = calibrated(everything, np.concatenate([who, who[pairs[:, 0]]]), positives=pairs)

    assert low.similarity_shift == 0.0
