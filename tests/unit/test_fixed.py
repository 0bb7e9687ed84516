"""A fixed number of people: k-means, the bound, and what must never happen."""

from __future__ import annotations

import numpy as np
import pytest
from support import faces_of

from face_organizer.identity.bound import LEARNED_ABOVE, LEARNED_BELOW, learned_bound
from face_organizer.identity.fixed import cluster_fixed


def between(vectors: np.ndarray, who: np.ndarray, first: float, second: float) -> np.ndarray:
    """A face with just these similarities to the centroids of persons 0 and 1."""
    axes = np.stack([vectors[who == person].mean(axis=0) for person in (0, 1)])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    inside = np.linalg.pinv(axes) @ np.array([first, second])
    outside = np.random.default_rng(9).standard_normal(len(inside))
    outside -= np.linalg.pinv(axes) @ (axes @ outside)
    return inside + outside * np.sqrt(1 - inside @ inside) / np.linalg.norm(outside)


def right(labels: np.ndarray, who: np.ndarray) -> float:
    """The share of two people's faces that lie with their own, whichever label that is."""
    return max(float((labels == who).mean()), float((labels == 1 - who).mean()))


@pytest.mark.parametrize("seed", range(3))
def test_two_people_are_told_apart_and_strangers_stay_out(seed: int):
    vectors, who = faces_of([50, 40, *[1] * 10], seed=seed)

    labels = cluster_fixed(vectors, 2, similarity_min=0.45, seed=seed).labels

    assert right(labels[:90], who[:90]) == 1.0
    assert (labels[90:] == -1).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_person_of_few_faces_is_found_beside_one_of_many(seed: int):
    vectors, who = faces_of([300, 8, *[1] * 20], seed=seed)

    labels = cluster_fixed(vectors, 2, similarity_min=0.45, seed=seed).labels

    assert right(labels[:308], who[:308]) == 1.0


def alike(seed: int) -> np.ndarray:
    """Two people of eight faces each, their centroids at a cosine of .46 to .60, and four strangers."""
    vectors, _ = faces_of([8, 8, 1, 1, 1, 1], spread=1.1, d=128, seed=seed)
    common = np.random.default_rng(100 + seed).standard_normal(128)
    vectors[:16] += 0.75 * common / np.linalg.norm(common)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_two_people_who_are_alike_are_not_fused_to_make_a_person_of_strangers(seed: int):
    labels = cluster_fixed(alike(seed), 2, similarity_min=0.32, learn=True, seed=seed).labels

    assert right(labels[:16], np.repeat([0, 1], 8)) >= 15 / 16


def test_a_start_that_is_given_counts_as_one_more():
    vectors, who = faces_of([60, 50, 40])
    centres = np.stack([vectors[who == person].mean(axis=0) for person in range(3)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)

    labels = cluster_fixed(vectors, 3, similarity_min=0.45, seed=0, starts=0, initial=[centres]).labels

    np.testing.assert_array_equal(labels, who)


def test_more_faces_than_the_sample_holds_are_all_labelled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("face_organizer.identity.fixed.SAMPLE_FACES", 200)
    monkeypatch.setattr("face_organizer.identity.kmeans.ROWS_AT_ONCE", 100)
    vectors, who = faces_of([500, 400])

    labels = cluster_fixed(vectors.astype(np.float16), 2, similarity_min=0.45, seed=1).labels

    assert right(labels, who) == 1.0


def test_the_same_seed_gives_the_same_labels():
    vectors, _ = faces_of([50, 40, 30, 20], spread=1.2)

    once, again = (cluster_fixed(vectors, 3, similarity_min=0.4, seed=5).labels for _ in range(2))

    np.testing.assert_array_equal(once, again)


def test_fewer_faces_than_people_is_no_reason_to_fail():
    vectors, _ = faces_of([1, 1])

    assert set(cluster_fixed(vectors, 5, similarity_min=0.45, seed=0).labels.tolist()) <= set(range(-1, 5))
    assert len(cluster_fixed(np.empty((0, 8), np.float32), 2, similarity_min=0.45, seed=0).labels) == 0


def test_a_bound_that_is_learned_lies_between_strangers_and_poor_members():
    """Photos so poor that the pack's bound would throw out members: the bound sinks below them, strangers stay out."""
    vectors, who = faces_of([120, 110, *[1] * 25], spread=1.5, d=128)

    strict = cluster_fixed(vectors, 2, similarity_min=0.5, seed=0)
    learned = cluster_fixed(vectors, 2, similarity_min=0.5, learn=True, seed=0)

    assert right(strict.labels[:230], who[:230]) < 0.9
    assert right(learned.labels[:230], who[:230]) >= 0.99
    assert (learned.labels[230:] == -1).mean() >= 0.95
    assert learned.similarity_min < 0.5


def test_a_learned_bound_stays_near_the_packs():
    rng = np.random.default_rng(0)
    members, strangers = rng.normal(0.7, 0.05, 1000), rng.normal(0.35, 0.05, 1000)

    alone = learned_bound(members.astype(np.float32), 0.4)
    among = learned_bound(np.concatenate([members, strangers]).astype(np.float32), 0.4)
    few = learned_bound(np.concatenate([members, strangers[:300] - 0.2]).astype(np.float32), 0.4)

    poor = learned_bound(rng.normal(0.5, 0.1, 1000).astype(np.float32), 0.4)

    assert 0.4 - LEARNED_BELOW - 1e-6 <= poor < alone <= few < 0.4 + LEARNED_ABOVE
    assert among == pytest.approx(0.4 + LEARNED_ABOVE, abs=0.006)
    assert learned_bound(members[:5].astype(np.float32), 0.4) == 0.4


def test_two_faces_of_one_image_are_never_one_person_unless_they_may_be():
    vectors, who = faces_of([40, 30])
    image_of = np.arange(70)
    image_of[[0, 1, 2]] = 0  # three faces of person 0 in one image: a mirror, a poster
    image_of[[10, 50]] = 10

    labels = cluster_fixed(vectors, 2, similarity_min=0.45, seed=0, image_of=image_of).labels
    free = cluster_fixed(vectors, 2, similarity_min=0.45, seed=0).labels

    first = labels[3]
    assert sorted(labels[:3].tolist()) == [-1, -1, first]
    assert {labels[10], labels[50]} == {0, 1}
    assert right(np.delete(labels, [0, 1, 2]), np.delete(who, [0, 1, 2])) == 1.0
    assert right(free, who) == 1.0


def test_the_loser_of_an_image_goes_to_its_next_person_if_it_may():
    vectors, who = faces_of([40, 40])
    vectors = np.vstack([vectors, between(vectors, who, 0.62, 0.58)]).astype(np.float32)
    image_of = np.append(np.arange(80), 0)

    labels = cluster_fixed(vectors, 2, similarity_min=0.45, seed=0, image_of=image_of).labels

    assert labels[80] == labels[60]
    assert labels[0] == labels[1]


def test_persons_go_on_when_their_sizes_swap_and_the_faces_come_in_another_order():
    vectors, who = faces_of([60, 20])
    person_of = np.where(who == 0, 7, 9)
    swapped, late = faces_of([60, 120])
    order = np.random.default_rng(1).permutation(180)
    known = np.where(np.arange(180) < 80, np.where(late == 0, 7, 9), 0)

    found = cluster_fixed(swapped[order], 2, similarity_min=0.45, seed=3, person_of=known[order])

    now = np.where(found.labels >= 0, found.persons[found.labels], 0)
    np.testing.assert_array_equal(now, np.where(late == 0, 7, 9)[order])
    assert set(cluster_fixed(vectors, 2, similarity_min=0.45, seed=0, person_of=person_of).persons.tolist()) == {7, 9}


def test_confirmed_faces_of_a_person_stay_together_and_of_two_persons_apart():
    vectors, who = faces_of([40, 40, 30])
    anchor_of = np.zeros(110, np.int64)
    anchor_of[[0, 1, 2, 45]] = 5  # a human says that a face of person 1 is person 0's
    anchor_of[[80, 81]] = [8, 6]  # and that person 2 is two

    found = cluster_fixed(vectors, 4, similarity_min=0.45, seed=0, anchor_of=anchor_of)

    person = np.where(found.labels >= 0, found.persons[found.labels], -1)
    assert person[[0, 45, 80, 81]].tolist() == [5, 5, 8, 6]
    assert set(found.persons.tolist()) == {0, 5, 6, 8}
    assert (person[:40] == 5).all()
    assert (np.delete(person, 45)[who[:-1] == 1] == 0).mean() > 0.9


def test_more_confirmed_persons_than_people_make_more_clusters():
    vectors, who = faces_of([30, 30, 30])
    anchor_of = np.zeros(90, np.int64)
    anchor_of[[0, 30, 60]] = [4, 2, 3]

    found = cluster_fixed(vectors, 2, similarity_min=0.45, seed=0, anchor_of=anchor_of)

    np.testing.assert_array_equal(found.persons[found.labels], np.array([4, 2, 3])[who])


def test_a_rejected_face_is_never_in_that_persons_cluster():
    vectors, who = faces_of([40, 40])
    person_of = np.where(who == 0, 1, 2)
    rejected = np.array([[50, 2], [3, 1], [3, 99]])

    found = cluster_fixed(vectors, 2, similarity_min=0.45, seed=0, person_of=person_of, rejected=rejected)

    person = np.where(found.labels >= 0, found.persons[found.labels], 0)
    assert person[50] != 2
    assert person[3] != 1
    assert (np.delete(person, [3, 50]) == np.delete(person_of, [3, 50])).all()


def test_a_poor_face_gets_the_benefit_of_the_doubt_where_its_margin_is_clear_and_shapes_nothing():
    vectors, who = faces_of([40, 40, 1])
    poor = [between(vectors, who, 0.40, b) for b in (0.10, 0.36, 0.10)]
    vectors = np.vstack([vectors, poor]).astype(np.float32)
    founder = np.ones(84, np.bool_)
    founder[[81, 82]] = False

    found = cluster_fixed(vectors[:84], 2, similarity_min=0.45, seed=0, founder=founder)

    assert found.labels[81:].tolist() == [found.labels[0], -1, -1]
    shaped = cluster_fixed(vectors[:81], 2, similarity_min=0.45, seed=0)
    assert np.abs(np.sort(found.centroids @ shaped.centroids.T, axis=1)[:, -1] - 1).max() < 1e-5


def test_where_most_faces_are_poor_they_shape_the_centroids_too():
    vectors, who = faces_of([30, 30])
    founder = np.zeros(60, np.bool_)
    founder[0] = True

    assert right(cluster_fixed(vectors, 2, similarity_min=0.45, seed=0, founder=founder).labels, who) == 1.0


def test_a_stranger_does_not_count_as_near_to_what_it_pulled_to_itself():
    """Five faces and a stranger at .4: in the mean that includes it, it would come to .54."""
    rng = np.random.default_rng(0)
    vectors = np.vstack([np.eye(32)[0] + 0.15 * rng.standard_normal((5, 32)), np.eye(32)[[1]] + 0.45 * np.eye(32)[[0]]])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    labels = cluster_fixed(vectors, 1, similarity_min=0.45, learn=True, seed=0).labels

    assert labels.tolist() == [0, 0, 0, 0, 0, -1]
