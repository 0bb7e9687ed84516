"""What people mean by how they lay files: one burst at a time, as values."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from face_organizer.identity.laid import GUTTED_MIN, NOBODYS, Around, Laid, Meaning, meaning_of

ANN, BOB, CAT = "person_0001", "Bob", "Cat"
PERSONS = {ANN: 1, BOB: 2, CAT: 3}


def laid(number: int, was: str, lies: str, faces: Mapping[int, int] | None = None, **more: object) -> Laid:
    """A file of one face (its number) of the person in whose folder it was."""
    was_in, lies_in = frozenset(was.split()), frozenset(lies.split())
    whose = [PERSONS[folder] for folder in was.split() if folder in PERSONS] or [0]
    faces = faces if faces is not None else {number * 10 + nth: person for nth, person in enumerate(whose)}
    return Laid(number, was_in, lies_in, faces, **more)  # type: ignore[arg-type]


def meant(
    *files: Laid, left: Mapping[str, int] | None = None, standing: str = "", renamed: Mapping[str, str] | None = None
) -> Meaning:
    folders = frozenset(standing.split()) | {folder for file in files for folder in file.lies}
    return meaning_of(files, Around(PERSONS, folders, left or {}, renamed or {}, 1000), lambda faces, _: max(faces))


SOME = {ANN: 5, BOB: 5, CAT: 5}


def test_an_image_dragged_to_another_person_shows_that_person() -> None:
    said = meant(laid(1, ANN, BOB), left=SOME)

    assert said.assigns == {10: 2}
    assert not said.rejects and not said.merges and not said.names


def test_of_several_faces_the_one_of_the_folder_that_was_left_is_meant() -> None:
    said = meant(laid(1, f"{ANN} {CAT}", f"{BOB} {CAT}"), left=SOME)

    assert said.assigns == {10: 2}  # the face that was Ann's


def test_a_folder_with_a_new_name_names_the_person_also_one_that_had_a_name() -> None:
    assert meant(*(laid(n, ANN, "Zoe") for n in range(3))).names == {1: "Zoe"}
    assert meant(*(laid(n, BOB, "Robert") for n in range(3))).names == {2: "Robert"}
    assert meant(*(laid(n, BOB, "Robert") for n in range(3)), standing=BOB).names == {2: "Robert"}


def test_a_folder_that_is_known_to_be_the_same_one_is_a_name_whatever_was_placed_since() -> None:
    assert meant(laid(1, ANN, "Zoe"), left={ANN: 1}, renamed={ANN: "Zoe"}).names == {1: "Zoe"}


def test_what_still_lies_in_a_folder_of_the_old_name_is_nobody_new_and_no_copy() -> None:
    anew = laid(2, f"{ANN} {BOB}", f"{ANN} {BOB}", {20: 1, 21: 0})  # moved within a folder that was made again since
    also = laid(3, ANN, f"{ANN} Zoe")
    said = meant(laid(1, ANN, "Zoe"), anew, also, left={BOB: 1}, standing=ANN, renamed={ANN: "Zoe"})

    assert said.names == {1: "Zoe"} and not said.assigns and not said.told[2] and not said.unclear


def test_a_new_folder_that_only_has_an_old_ones_number_is_no_name() -> None:
    said = meant(laid(1, ANN, ""), laid(2, ANN, ""), laid(3, CAT, "Zoe"), left={CAT: 4}, renamed={ANN: "Zoe"})

    assert said.names == {} and said.hides == [1]
    assert said.assigns == {30: "Zoe"}


def test_a_new_folder_with_some_of_somebodys_images_is_somebody_new() -> None:
    said = meant(laid(1, ANN, "Zoe"), laid(2, "outliers", "Zoe"), left=SOME)

    assert said.assigns == {10: "Zoe", 20: "Zoe"}


def test_all_of_a_persons_images_in_another_persons_folder_are_one_person() -> None:
    assert meant(*(laid(n, ANN, BOB) for n in range(3)), left={BOB: 1}).merges == {1: 2}


def test_a_folder_is_dragged_into_another_as_a_whole_also_where_they_shared_an_image() -> None:
    said = meant(laid(1, ANN, BOB), laid(2, ANN, BOB), laid(3, f"{ANN} {BOB}", BOB), left={BOB: 4})

    assert said.merges == {1: 2} and not said.assigns and not said.rejects
    assert [said.told[number] for number in (1, 2, 3)] == [[("person", 1)]] * 3


def test_the_only_image_of_a_person_in_another_persons_folder_is_that_person() -> None:
    said = meant(laid(1, ANN, BOB), left={BOB: 1})

    assert said.merges == {} and said.assigns == {10: 2}


def test_all_but_one_of_a_persons_images_are_not_the_person() -> None:
    said = meant(*(laid(n, ANN, BOB) for n in range(1, 4)), left={ANN: 1, BOB: 1})

    assert said.merges == {} and set(said.assigns.values()) == {2}


def test_several_folders_that_became_a_new_one_are_one_person_and_the_largest_goes_on() -> None:
    said = meant(*(laid(n, ANN, "Zoe") for n in range(2)), *(laid(n, CAT, "Zoe") for n in range(5, 9)))

    assert said.names == {3: "Zoe"} and said.merges == {1: 3}


def test_somebody_may_take_the_name_that_another_gave_up() -> None:
    said = meant(*(laid(n, BOB, "Robert") for n in range(2)), *(laid(n, ANN, BOB) for n in range(5, 9)))

    assert said.names == {2: "Robert", 1: BOB} and said.merges == {}


def test_those_who_exchange_their_folders_exchange_their_names() -> None:
    said = meant(*(laid(n, BOB, CAT) for n in range(2)), *(laid(n, CAT, BOB) for n in range(5, 9)))
    assert said.exchanges == {2: 3, 3: 2}
    assert said.merges == {} and said.names == {} and said.assigns == {} and said.told[1] == [("person", 2)]

    around = {ANN: BOB, BOB: CAT, CAT: ANN}
    said = meant(*(laid(n, was, around[was]) for n, was in enumerate((ANN, ANN, BOB, BOB, CAT, CAT))))
    assert said.exchanges == {1: 2, 2: 3, 3: 1} and said.assigns == {}


def test_those_who_exchange_their_only_images_exchange_their_faces() -> None:
    said = meant(laid(1, BOB, CAT), *(laid(n, CAT, BOB) for n in range(5, 9)))

    assert not said.exchanges and not said.merges and not said.names
    assert said.assigns == {10: 3, 50: 2, 60: 2, 70: 2, 80: 2}


def test_folders_that_are_known_to_be_exchanged_are_whatever_lies_in_both_and_was_placed_since() -> None:
    renamed = {BOB: CAT, CAT: BOB}
    moved = laid(1, BOB, CAT)
    said = meant(moved, laid(3, CAT, BOB), left={BOB: 3, CAT: 3}, renamed=renamed, standing=f"{BOB} {CAT}")
    assert said.exchanges == {2: 3, 3: 2} and not said.assigns and not said.rejects

    only_one_alone = meant(moved, left={BOB: 3, CAT: 3}, renamed=renamed, standing=f"{BOB} {CAT}")
    assert only_one_alone.exchanges == {2: 3, 3: 2} and not only_one_alone.assigns


def test_folders_of_which_all_was_exchanged_but_what_lies_in_both_are_exchanged() -> None:
    moved = [laid(n, BOB, CAT) for n in range(2)] + [laid(n, CAT, BOB) for n in range(5, 9)]
    for left, is_so in (({BOB: 2, CAT: 2}, True), ({BOB: 3, CAT: 2}, False)):  # one stays with Bob alone
        around = Around(PERSONS, {BOB, CAT}, left, known=1000, shared={frozenset({BOB, CAT}): 2})
        said = meaning_of(moved, around, lambda faces, _: faces[0])
        assert bool(said.exchanges) == is_so and bool(said.assigns) != is_so


def test_what_is_dragged_in_a_burst_with_an_exchange_shows_whose_folder_it_was_dragged_to() -> None:
    moved = [laid(n, BOB, CAT) for n in range(2)] + [laid(n, CAT, BOB) for n in range(5, 9)]
    said = meant(*moved, laid(20, ANN, BOB), left={ANN: 5})

    assert said.exchanges == {2: 3, 3: 2} and said.assigns == {200: 3}  # Bob is who Cat was


def test_a_deleted_image_is_not_that_person_and_stays_with_the_others() -> None:
    assert meant(laid(1, ANN, ""), left=SOME, standing=ANN).rejects == {10: True}
    assert meant(laid(1, f"{ANN} {BOB}", BOB), left=SOME, standing=ANN).rejects == {10: False}


def test_a_duplicate_that_is_deleted_says_nothing_while_the_other_is_there() -> None:
    said = meant(Laid(1, frozenset({ANN}), frozenset(), {10: 1}, twins=frozenset({ANN})), left=SOME, standing=ANN)

    assert not said.rejects


def test_a_folder_that_is_deleted_hides_the_person() -> None:
    said = meant(*(laid(n, ANN, "") for n in range(3)), laid(4, f"{ANN} {BOB}", BOB), left={BOB: 3})

    assert said.hides == [1] and not said.rejects


def test_what_comes_to_the_folder_of_somebody_hidden_shows_that_person_again() -> None:
    def said(file: Laid) -> Meaning:
        return meaning_of([file], Around(PERSONS, {ANN, BOB}, SOME, {}, 1000, hidden={1}), lambda faces, _: max(faces))

    for back in (laid(1, "", ANN, {10: 1}, was_lost=True), laid(1, "outliers", ANN, {10: 1})):
        assert said(back).shows == [1] and said(back).told[1] == [("person", 1)]
        assert not said(back).assigns and not said(back).rejects and not said(back).unclear
    assert said(laid(1, "outliers", ANN, {10: 0})).assigns == {10: 1}
    assert said(laid(1, BOB, ANN)).shows == [1] and said(laid(1, BOB, ANN)).assigns == {10: 1}
    assert said(laid(1, ANN, BOB)).shows == [] and said(laid(1, "outliers", BOB, {10: 1})).shows == []


def test_a_folder_that_was_only_emptied_says_it_of_each_image() -> None:
    said = meant(*(laid(n, ANN, "") for n in range(3)), standing=ANN)

    assert said.hides == [] and len(said.rejects) == 3


def test_an_image_is_thrown_away_when_it_is_left_with_nobody_or_dragged_to_the_trash() -> None:
    of_both = {10: 1, 11: 2}

    assert meant(laid(1, f"{ANN} {BOB}", "", of_both), left=SOME, standing=ANN).rejects == {10: True, 11: True}
    assert meant(laid(1, f"{ANN} {BOB}", BOB, of_both), left=SOME).rejects == {10: False}
    assert meant(laid(1, ANN, "trash"), left=SOME).rejects == {10: True}
    assert meant(*(laid(n, ANN, "trash") for n in range(3))).rejects == {0: True, 10: True, 20: True}


def test_what_lies_in_the_trash_shows_whoever_it_is_dragged_to_and_says_nothing_when_deleted() -> None:
    assert meant(laid(1, "trash", BOB, {10: 0}), left=SOME).assigns == {10: 2}
    said = meant(laid(1, "trash", "", {10: 0}), left=SOME)
    assert not said.rejects and not said.assigns and not said.unclear


def test_what_is_dragged_to_outliers_is_nobodys_and_not_thrown_away() -> None:
    assert meant(laid(1, ANN, "outliers"), left=SOME).rejects == {10: False}
    assert meant(*(laid(n, ANN, "outliers") for n in range(3))).rejects == {0: False, 10: False, 20: False}


def test_what_goes_back_to_the_inbox_says_nothing() -> None:
    said = meant(*(laid(n, ANN, "", comes_back=True) for n in range(3)))

    assert not said.rejects and not said.hides


def test_a_copy_of_an_image_of_several_says_who_is_in_it_too() -> None:
    faces = {1: 1, 2: 0}
    said = meant(laid(1, ANN, f"{ANN} {BOB}", faces), left=SOME)

    assert said.assigns == {2: 2}


def test_a_copy_whose_faces_are_all_somebodys_is_left_alone_and_told() -> None:
    said = meant(laid(1, ANN, f"{ANN} {BOB}"), left=SOME)

    assert not said.assigns and "copy in Bob" in said.unclear[1]


def test_an_image_that_was_dragged_while_we_moved_it_is_no_copy() -> None:
    said = meant(laid(1, ANN, f"{ANN} {BOB}", crossed=frozenset({BOB})), left=SOME)

    assert said.assigns == {10: 2} and not said.unclear


def test_an_image_without_a_face_says_nothing_and_stays_where_it_was_laid() -> None:
    for was, lies in (("no_face", BOB), ("no_face", "no_face Views"), ("quarantine", CAT), (BOB, "Views")):
        file = laid(1, was, lies, {})
        said = meant(file, left=SOME)

        assert not (said.unclear or said.assigns or said.rejects or said.names or said.merges)
        assert file.kept_in == frozenset(lies.split())


def test_one_that_was_laid_back_or_shows_a_face_is_kept_nowhere() -> None:
    assert laid(1, BOB, "no_face", {}).kept_in == laid(1, ANN, BOB).kept_in == frozenset()


def test_what_was_lost_and_appears_means_where_it_appears() -> None:
    gone = {"was_lost": True}
    assert meant(laid(1, "", ANN, {10: 1}, **gone)).assigns == {}
    assert meant(laid(1, "", BOB, {10: 1}, **gone)).assigns == {10: 2}
    assert meant(laid(1, "", BOB, {10: 0}, **gone)).assigns == {10: 2}
    assert meant(laid(1, "", "Zoe", {10: 1}, **gone)).assigns == {10: "Zoe"}
    assert meant(laid(1, "", "outliers", {10: 1}, **gone)).rejects == {10: False}
    assert meant(laid(1, "", "outliers", {10: 0}, **gone)).rejects == {}


def test_a_library_that_is_gutted_is_an_accident_and_other_moves_still_count() -> None:
    files = [laid(n, ANN, "") for n in range(1, GUTTED_MIN + 2)]
    around = Around(PERSONS, frozenset({ANN, BOB}), {BOB: 1}, {}, len(files) + 2)
    said = meaning_of([*files, laid(99, ANN, BOB)], around, lambda faces, _: faces[0])

    assert said.unheard == {file.file_id for file in files} and not said.rejects and not said.hides and not said.merges
    assert said.assigns == {990: 2}


def gutted(*more: Laid) -> Meaning:
    """So many of Ann's images are gone that it is an accident, and besides these files are not where they were."""
    files = [laid(n, ANN, "") for n in range(1, GUTTED_MIN + 2)]
    around = Around(PERSONS, frozenset({BOB}), SOME, {}, len(files) + len(more))
    said = meaning_of([*files, *more], around, lambda faces, _: faces[0])
    assert {file.file_id for file in files} <= said.unheard
    return said


def test_in_a_gutted_library_an_image_of_several_that_is_left_with_one_says_nothing_of_the_others() -> None:
    said = gutted(laid(90, f"{ANN} {BOB} {CAT}", BOB), laid(91, f"{ANN} {CAT}", BOB))

    assert {90, 91} <= said.unheard
    assert not (said.rejects or said.hides or said.merges or said.assigns or said.unclear or any(said.told.values()))


def test_in_a_gutted_library_what_was_clearly_dragged_or_renamed_is_understood_without_the_rest() -> None:
    assert gutted(laid(90, f"{BOB} {CAT}", f"{BOB} Zoe")).assigns == {901: "Zoe"}
    assert gutted(laid(90, BOB, "trash")).rejects == {900: True}
    moved = [laid(n, BOB, "Robert") for n in (80, 81)]
    for renamed in ({BOB: "Robert"}, {}):
        files, standing = [*moved, laid(90, f"{ANN} {BOB} {CAT}", "Robert")], "Robert"
        around = Around(PERSONS, {standing}, {}, renamed, 60)
        said = meaning_of([*(laid(n, ANN, "") for n in range(1, 60)), *files], around, lambda faces, _: faces[0])
        assert said.names == {2: "Robert"} and not said.rejects and not said.hides and not said.assigns
        assert said.told[90] == [("person", 2)] and 90 not in said.unheard


def test_what_went_in_an_accident_says_nothing_either_while_the_rest_comes_back() -> None:
    some = [laid(1, ANN, ""), laid(2, f"{ANN} {BOB}", BOB), laid(3, ANN, BOB), laid(4, BOB, "")]
    around = Around(PERSONS, {BOB}, {BOB: 1}, {}, 100, unheard={1, 2, 3})
    said = meaning_of(some, around, lambda faces, _: faces[0])

    assert said.unheard == {1, 2}
    assert said.assigns == {30: 2} and said.rejects == {40: True} and not said.hides and not said.merges


def test_a_new_photo_shows_whoever_it_was_laid_with_rather_a_face_that_nobody_has() -> None:
    new = {"was_lost": True, "is_new": True}
    assert meant(laid(1, "", BOB, {1: 1, 2: 0}, **new)).assigns == {2: 2}
    assert meant(laid(1, "", BOB, {1: 1}, **new)).assigns == {1: 2}
    assert meant(laid(1, "", BOB, {1: 2, 2: 0}, **new)).assigns == {}
    assert laid(1, "", BOB, {}, **new).kept_in == {BOB} and not meant(laid(1, "", BOB, {}, **new)).unclear


FOLDERS = st.frozensets(st.sampled_from([ANN, BOB, CAT, "Zoe", "outliers", "no_face", "trash"]), max_size=3)


@given(
    st.lists(
        st.builds(
            Laid,
            st.just(0),
            FOLDERS,
            FOLDERS,
            st.dictionaries(st.integers(0, 3), st.sampled_from([0, 1, 2, 3]), max_size=3),
            FOLDERS,
            st.booleans(),
            st.booleans(),
        ),
        max_size=12,
    ),
    st.dictionaries(st.sampled_from(list(PERSONS)), st.integers(0, 3)),
    FOLDERS,
    st.dictionaries(st.sampled_from(list(PERSONS)), st.sampled_from(["Zoe", "Yan", *PERSONS])),
    st.sets(st.integers(0, 12)),
)
def test_whatever_is_laid_what_is_made_of_it_makes_sense(
    files: list[Laid], left: dict[str, int], standing: frozenset[str], renamed: dict[str, str], unheard: set[int]
) -> None:
    numbered = [
        Laid(n, each.was, each.lies, {n * 10 + face: person for face, person in each.faces.items()}, each.twins, *rest)
        for n, each in enumerate(files)
        for rest in [(each.comes_back, each.was_lost)]
    ]
    said = meaning_of(
        numbered, Around(PERSONS, standing, left, renamed, 100, unheard=unheard), lambda faces, _: faces[0]
    )

    faces = {face for file in numbered for face in file.faces}
    assert said.assigns.keys() <= faces and said.rejects.keys() <= faces
    assert not said.assigns.keys() & said.rejects.keys()
    assert not set(said.names.values()) & (NOBODYS | PERSONS.keys() - {f for f in PERSONS if PERSONS[f] in said.names})
    assert all(into not in said.merges for into in said.merges.values()), "nobody is merged into one who is merged"
    assert not set(said.hides) & (said.names.keys() | said.merges.keys())
    assert sorted(said.exchanges) == sorted(said.exchanges.values())
    assert not said.exchanges.keys() & (said.names.keys() | said.merges.keys() | set(said.hides))
    assert len(set(said.names.values())) == len(said.names)
    assert not any(said.told[file_id] or file_id in said.unclear for file_id in said.unheard)
    untouched = [file for file in numbered if file.was == file.lies and not file.was_lost]
    assert not any(said.told.get(file.file_id) or file.file_id in said.unclear for file in untouched)
