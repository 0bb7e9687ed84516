"""The bounds a library gives itself, from what it knows without being told.

Room:    identity (thinks)
Imports: types, numpy, scipy, identity

Free evidence: faces of different persons, and two faces of one image, show how alike two different people look *here*
(a family, one camera, one kind of blur); faces of two copies of a picture show how unlike one person looks at least.
That a stranger's similarity beyond the bulk falls off as in the pack's own measurement was checked on clean and spoiled
faces alike: in deviations from the bulk it is the same curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from face_organizer.identity.clusters import linkage
from face_organizer.types import NOBODY, Float32, Impostors, Int64

DOWN_MAX, UP_MAX = 0.03, 0.08
"""So far may a library move its bounds: less down than up, for a bound too low fuses people."""

FOLLOWED = 0.5
"""Of the way to the bound of the wanted rate. That rate sees false merges only; where poor faces make strangers look
alike they make friends look strange too, and the whole way would lose more faces than it saves (docs/clustering.md)."""

PERSONS_FOR_HALF = 20
"""With so many persons a library's own figures count as much as the pack's."""

LOST_MAX = 0.02
"""A library may not raise its bounds above what parts more than so many of its positives. They are easier than two
photos of one person: where a bound parts even these it is too high, and where it does not that says nothing."""

POSITIVES_MIN = 50
"""With fewer pairs LOST_MAX is less than one."""

_PERSONS_MAX = 3_000
_PAIRS_MAX = 400_000
_ROWS_AT_ONCE = 8_192


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a library was found to be, and the bounds that follow.

    similarity_shift: what is added to the pack's bounds; similarity_link_min: with it.
    impostor_mean, impostor_sd: of the linkage between two different persons, drawn towards the pack's figures.
    impostor_pairs: how many were looked at, same_image_pairs of them two faces of one image, of which the share
    same_image_match_rate is at least similarity_link_min alike (many: mirrors, collages, twins).
    positive_pairs: faces known to be one person's, two copies of a picture; false_split_rate: the share of them below
    similarity_link_min, 0 where there are none: less than what is lost of true pairs, for copies are easy.
    false_match_rate: that two different persons pass similarity_link_min. false_merge_rate: the expected share of
    persons that hold another's faces; see `calibrate`.
    """

    similarity_shift: float
    similarity_link_min: float
    impostor_mean: float
    impostor_sd: float
    impostor_pairs: int
    same_image_pairs: int
    same_image_match_rate: float
    persons: int
    positive_pairs: int
    false_split_rate: float
    false_match_rate: float
    false_merge_rate: float


def calibrate(
    vectors: NDArray[np.floating],
    person_of: Int64,
    image_of: Int64,
    *,
    pack: Impostors,
    similarity_link_min: float,
    false_merge_max: float,
    seed: int,
    positives: Int64 | None = None,
) -> Calibration:
    """The library's own bounds, for a wanted rate of false merges. The same seed gives the same answer.

    Of p persons (whoever is nobody counts as one), each meets p - 1 others, and a pair is counted once; so at a
    false-match rate f the expected share of persons wrongly merged is f (p - 1) / 2. The bound is the one where that
    share is false_merge_max, followed FOLLOWED of the way from the pack's; f comes from the robust mean and deviation
    of the linkage between the library's persons (identity/clusters.py) and the pack's tail. It is not raised above what
    LOST_MAX of the positives can bear. On people of known names
    the estimate was half to all of the true number where faces are good (docs/clustering.md): among look-alikes the
    tail is fatter.

    vectors: float32 or float16 (n, d), unit rows; person_of: int64 (n,), NOBODY for nobody's; image_of: int64 (n,)
    similarity_link_min: the pack's; positives: int64 (m, 2), rows that are known to be one person (identity/copies.py)
    """
    assert len(vectors) == len(person_of) == len(image_of), (vectors.shape, person_of.shape, image_of.shape)
    rng = np.random.default_rng(seed)
    persons, between = _between_persons(vectors, person_of, rng)
    within = _within_images(vectors, image_of, rng)
    mean, sd = _towards(pack, np.concatenate([between, within]), persons)
    wanted = 2 * false_merge_max / max(persons - 1, 1)
    away = mean + deviation_at(pack, wanted) * sd - similarity_link_min
    same = _dots(vectors, *(np.empty((2, 0), np.int64) if positives is None else positives.T))
    shift = min(float(np.clip(FOLLOWED * away, -DOWN_MAX, UP_MAX)), _up_max(same, similarity_link_min))
    bound = similarity_link_min + shift
    rate = rate_beyond(pack, (bound - mean) / sd)
    return Calibration(
        similarity_shift=shift,
        similarity_link_min=bound,
        impostor_mean=mean,
        impostor_sd=sd,
        impostor_pairs=len(between) + len(within),
        same_image_pairs=len(within),
        same_image_match_rate=float((within >= bound).mean()) if len(within) else 0.0,
        persons=persons,
        positive_pairs=len(same),
        false_split_rate=float((same < bound).mean()) if len(same) else 0.0,
        false_match_rate=rate,
        false_merge_rate=min(1.0, rate * max(persons - 1, 0) / 2),
    )


def _up_max(same: Float32, similarity_link_min: float) -> float:
    """How far up the positives let the bounds go. same: float32 (m,), their similarities"""
    if len(same) < POSITIVES_MIN:
        return UP_MAX
    return max(0.0, float(np.quantile(same, LOST_MAX)) - similarity_link_min)


def deviation_at(pack: Impostors, rate: float) -> float:
    """How far beyond the bulk a pair of strangers is at this rate, in deviations; straight in log rate, and on."""
    return _along(-np.log10(rate), -np.log10(pack.rates), np.asarray(pack.deviations))


def rate_beyond(pack: Impostors, deviation: float) -> float:
    """The share of pairs of strangers at least so many deviations beyond the bulk."""
    return float(min(1.0, 10 ** -_along(deviation, np.asarray(pack.deviations), -np.log10(pack.rates))))


def _along(x: float, xs: np.ndarray, ys: np.ndarray) -> float:
    """Linear between the points, and on beyond them with the slope of the last two at that end."""
    at = int(np.clip(np.searchsorted(xs, x), 1, len(xs) - 1))
    return float(ys[at - 1] + (ys[at] - ys[at - 1]) * (x - xs[at - 1]) / (xs[at] - xs[at - 1]))


def _towards(pack: Impostors, similarities: Float32, persons: int) -> tuple[float, float]:
    """Robust mean and deviation, drawn towards the pack's as if that were PERSONS_FOR_HALF persons of evidence.

    The lower half alone gives the deviation: whoever is split in two persons, or twins, make the upper tail.
    """
    if len(similarities) == 0:
        return pack.mean, pack.sd
    low, middle = np.quantile(similarities, [0.16, 0.5])
    own = persons / (persons + PERSONS_FOR_HALF)
    return float(own * middle + (1 - own) * pack.mean), float(own * (middle - low) + (1 - own) * pack.sd)


def _between_persons(vectors: NDArray[np.floating], person_of: Int64, rng: np.random.Generator) -> tuple[int, Float32]:
    """The number of persons, and the linkage of pairs of them, float32 (m,). At most a bounded number of each."""
    own = np.where(person_of == NOBODY, -1 - np.arange(len(person_of)), person_of)
    _, person = np.unique(own, return_inverse=True)
    persons = int(person.max(initial=-1)) + 1
    chosen = np.sort(rng.permutation(persons)[:_PERSONS_MAX])
    place = np.full(persons, -1, np.int64)
    place[chosen] = np.arange(len(chosen))
    rows = np.flatnonzero(place[person] >= 0)
    counts = np.bincount(place[person[rows]], minlength=len(chosen))
    sums = np.zeros((len(chosen), vectors.shape[1]), np.float32)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE]
        where = (place[person[part]], np.arange(len(part)))
        member = scipy.sparse.csr_array((np.ones(len(part), np.float32), where), (len(chosen), len(part)))
        sums += member @ vectors[part].astype(np.float32)
    a, b = _pairs(len(chosen), rng)
    sizes, lengths = counts.astype(np.float32), np.linalg.norm(sums, axis=1)
    smaller = np.minimum(sizes[a], sizes[b])
    return persons, linkage(_dots(sums, a, b), sizes[a] * sizes[b], lengths[a] * lengths[b], smaller)


def _pairs(n: int, rng: np.random.Generator) -> tuple[Int64, Int64]:
    """Pairs of different numbers below n: all, or a bounded number drawn."""
    if n * (n - 1) // 2 <= _PAIRS_MAX:
        a, b = np.triu_indices(n, 1)
        return a, b
    a = rng.integers(n, size=_PAIRS_MAX)
    return a, (a + rng.integers(1, n, size=_PAIRS_MAX)) % n


def _within_images(vectors: NDArray[np.floating], image_of: Int64, rng: np.random.Generator) -> Float32:
    """The similarity of pairs of faces that share an image (each with the next), float32 (m,)."""
    order = np.argsort(image_of, kind="stable")
    next_to = np.flatnonzero(image_of[order[:-1]] == image_of[order[1:]])
    next_to = np.sort(rng.permutation(next_to)[:_PAIRS_MAX])
    return _dots(vectors, order[next_to], order[next_to + 1])


def _dots(vectors: Float32, a: Int64, b: Int64) -> Float32:
    """Of rows a with rows b, float32 (m,), a few at a time: 400,000 pairs of 512 dimensions are 1.6 GB."""
    dots = np.empty(len(a), np.float32)
    for start in range(0, len(a), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        one, other = vectors[a[part]].astype(np.float32), vectors[b[part]].astype(np.float32)
        dots[part] = np.einsum("nd,nd->n", one, other)
    return dots
