import pytest

from face_organizer.errors import FaceOrganizerError
from face_organizer.identity.placement import desired_folders, person_folder_name, safe_folder_name


@pytest.mark.parametrize(
    ("person_id", "people", "folder"),
    [
        (1, 1, "person_A"),
        (1, 27, "person_0001"),
        (1, "auto", "person_0001"),
        (12345, "auto", "person_12345"),
    ],
)
def test_few_people_get_letters_and_many_get_numbers(person_id: int, people: int | str, folder: str):
    assert person_folder_name(person_id, people, frozenset()) == folder


def test_the_first_letter_that_nobody_has_is_given():
    assert person_folder_name(2, 2, {"person_a"}) == "person_B"
    assert person_folder_name(7, 2, {"person_a", "person_c"}) == "person_B"
    assert person_folder_name(30, 1, {f"person_{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"}) == "person_0030"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Alice", "Alice"),
        ("  Alice   Smith ", "Alice Smith"),
        ("Zoë", "Zoë"),
        ("Zoe\u0308", "Zoë"),
        ("李小龙", "李小龙"),
        ("AC/DC", "AC_DC"),
        ("..", None),
        ("../../etc/passwd", "_.._etc_passwd"),
        (".hidden", "hidden"),
        ("Alice\n\x00Bob", "Alice Bob"),
        ("Anna.", "Anna"),
        ("\udcff", None),
        ("", None),
        ("///", None),
        ("NUL", "NUL_"),
        ("Ann\u202egpj", "Anngpj"),
        ("\u200bZoë\ufeff", "Zoë"),
        ("\u202e\u2066", None),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\x1b[31mAnn", "[31mAnn"),
        ("é" * 300, "é" * 100),
        ("con.jpg", "con.jpg_"),
        ("Outliers", "Outliers_"),
        ("no_face", "no_face_"),
        ("Trash", "Trash_"),
        ("quarantine", "quarantine_"),
        ("person_B", "person_B_"),
        ("Person_0007", "Person_0007_"),
        ("person_Bob", "person_Bob"),
    ],
)
def test_a_name_becomes_a_folder_that_every_file_system_takes(name: str, folder: str | None):
    if folder is None:
        with pytest.raises(FaceOrganizerError, match="at least one letter"):
            safe_folder_name(name)
    else:
        assert safe_folder_name(name) == folder


def test_a_long_name_is_cut_between_characters():
    folder = safe_folder_name("é" * 300)

    assert folder == "é" * 100


def test_an_image_appears_once_in_each_of_its_persons_folders():
    assert desired_folders(["person_B", "Alice", "person_B"], has_faces=True) == ("Alice", "person_B")


def test_an_image_of_nobody_is_an_outlier_and_one_without_faces_says_so():
    assert desired_folders([], has_faces=True) == ("outliers",)
    assert desired_folders([], has_faces=False) == ("no_face",)


def test_an_image_that_was_thrown_away_is_in_the_trash_unless_it_shows_somebody_else():
    assert desired_folders([], has_faces=True, is_trashed=True) == ("trash",)
    assert desired_folders(["Alice"], has_faces=True, is_trashed=True) == ("Alice",)
