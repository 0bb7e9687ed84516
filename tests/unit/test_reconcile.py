import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from face_organizer.identity.reconcile import Reconciled, reconcile


def reconciled(
    labels: list[int], current: list[int], *, faces_min: int = 2, named: tuple[int, ...] = (), following: int = 100
) -> Reconciled:
    return reconcile(
        np.arange(1, len(labels) + 1),
        np.array(labels, np.int64),
        np.array(current, np.int64),
        faces_min=faces_min,
        named=set(named),
        next_person_id=following,
    )


def test_unchanged_clusters_keep_their_persons_whatever_the_labels():
    found = reconciled([5, 5, 0, 0, -1], [1, 1, 2, 2, 0])

    assert found.person_of.tolist() == [1, 1, 2, 2, 0]
    assert (found.born, found.merged, found.split, found.vanished, found.moved) == ((), {}, (), (), 0)


def test_new_clusters_are_born_with_fresh_ids_oldest_face_first():
    found = reconciled([9, 3, 3, 9, 7], [0, 0, 0, 0, 0])

    assert found.person_of.tolist() == [100, 101, 101, 100, 0]
    assert found.born == (100, 101)


def test_two_persons_in_one_cluster_merge_into_the_one_with_more_faces():
    found = reconciled([0, 0, 0, 0, 0], [7, 7, 3, 3, 3])

    assert found.person_of.tolist() == [3] * 5
    assert found.merged == {7: 3}
    assert found.vanished == ()
    assert found.moved == 2


def test_between_equals_the_older_person_goes_on():
    assert reconciled([0, 0, 0, 0], [7, 7, 3, 3]).merged == {7: 3}


def test_between_equals_the_named_person_goes_on():
    found = reconciled([0, 0, 0, 0], [7, 7, 3, 3], named=(7,))

    assert found.merged == {3: 7}


def test_a_person_that_falls_apart_goes_on_as_its_largest_part():
    found = reconciled([0, 0, 1, 1, 1], [4, 4, 4, 4, 4])

    assert found.person_of.tolist() == [100, 100, 4, 4, 4]
    assert (found.born, found.split, found.moved) == ((100,), (4,), 2)


def test_the_matching_keeps_the_most_faces_over_all_not_greedily():
    # Greedily, cluster 0 would take person 1 (5 faces) and leave person 1's other cluster without anybody: 5 + 0.
    labels = [0] * 5 + [1] * 4 + [0] * 4
    current = [1] * 5 + [1] * 4 + [2] * 4

    found = reconciled(labels, current)

    assert found.person_of.tolist() == [2] * 5 + [1] * 4 + [2] * 4


def test_one_stray_face_does_not_carry_a_person_to_a_new_cluster():
    labels = [0] * 20 + [0] * 9 + [1] + [1] * 8
    current = [1] * 20 + [2] * 10 + [0] * 8

    found = reconciled(labels, current)

    assert found.merged == {2: 1}
    assert found.person_of[-1] == 100


def test_faces_that_left_for_nobody_do_not_count_against_a_person():
    found = reconciled([-1] * 20 + [0, 0], [1] * 22)

    assert found.person_of.tolist() == [0] * 20 + [1, 1]
    assert found.moved == 20


def test_a_cluster_too_small_to_be_a_person_becomes_nobody():
    found = reconciled([0, 1, 1], [5, 0, 0], faces_min=2)

    assert found.person_of.tolist() == [0, 100, 100]
    assert (found.vanished, found.merged) == ((5,), {})


def test_a_named_person_goes_on_however_small():
    assert reconciled([0, 1, 1], [5, 0, 0], named=(5,)).person_of.tolist() == [5, 100, 100]


def test_a_named_person_without_a_cluster_keeps_its_faces():
    found = reconciled([-1, -1, 0, 0, 0, 0], [5, 5, 5, 6, 6, 6], named=(5, 6))

    assert found.person_of.tolist() == [5, 5, 5, 6, 6, 6]
    assert found.moved == 0


def test_two_named_persons_never_merge():
    found = reconciled([0] * 6, [5, 5, 6, 6, 6, 0], named=(5, 6))

    assert found.person_of.tolist() == [5, 5, 6, 6, 6, 6]
    assert found.merged == {}


def test_a_cluster_that_named_faces_leave_must_still_be_large_enough():
    found = reconciled([0] * 4 + [1, 1, 1], [6, 6, 6, 5, 5, 0, 0], named=(6,), faces_min=3)
    left = reconciled([0] * 6, [6, 6, 6, 6, 5, 5], named=(5, 6), faces_min=3)

    assert found.person_of.tolist() == [6, 6, 6, 6, 5, 5, 5]
    assert left.person_of.tolist() == [6, 6, 6, 6, 5, 5]


def test_no_faces_are_no_persons():
    found = reconciled([], [])

    assert found.person_of.tolist() == []
    assert (found.born, found.merged, found.split, found.vanished, found.moved) == ((), {}, (), (), 0)


def test_thousands_of_persons_tangled_in_one_part_are_matched():
    rng = np.random.default_rng(0)
    who = rng.integers(1, 1500, 6000)
    labels = np.where(rng.random(6000) < 0.1, rng.integers(1, 1500, 6000), who)

    found = reconciled(labels.tolist(), who.tolist(), following=2000)

    assert (found.person_of == who).mean() > 0.85


FACES = st.lists(st.tuples(st.integers(-1, 6), st.integers(0, 6)), max_size=40)


@settings(max_examples=60)
@given(FACES, st.sets(st.integers(1, 6)), st.integers(1, 4))
def test_whatever_the_clusters_the_promises_hold(faces: list[tuple[int, int]], named: set[int], faces_min: int):
    labels, current = [label for label, _ in faces], [person for _, person in faces]

    found = reconciled(labels, current, faces_min=faces_min, named=tuple(named))
    after = found.person_of.tolist()

    persons, alive = set(current) - {0}, set(after) - {0}
    assert named & persons <= alive, "a named person vanished"
    assert alive == (persons & alive) | set(found.born), "an id from nowhere"
    assert set(found.born) == set(range(100, 100 + len(found.born)))
    assert persons - alive == set(found.merged) | set(found.vanished)
    assert not set(found.merged) & set(found.vanished)
    assert set(found.merged.values()) <= alive
    assert set(found.split) <= persons & alive
    assert found.moved == sum(1 for old, new in zip(current, after, strict=True) if old and old != new)
    for person in alive - named:
        assert after.count(person) >= faces_min
    for person in alive:
        clusters = {label for label, now, old in zip(labels, after, current, strict=True) if now == person != old}
        assert len(clusters) <= 1, "a person took faces from two clusters"
