"""Names of other programs as decisions, over the real store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_answers import place_all
from test_gallery import Desk

from face_organizer.calls.exchange import Exchange
from face_organizer.errors import RequestError

FACE = [0.0, 0.0, 0.09, 0.09]
"""Every face of the desk lies there; shares of the image."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Faces 1 to 4 are person 1, 5 and 6 person 2, 7 is nobody's."""
    made = Desk(tmp_path)
    for person in (3, 3, 3, 3, 4, 4, 9):
        made.drop(person)
    place_all(made)
    yield made
    made.store.close()


def exchange(desk: Desk, lack: str = "") -> Exchange:
    return Exchange(
        SimpleNamespace(
            store=desk.store,
            book=desk.book,
            decide=desk.decide,
            library=Path("/lib"),
            attributes_lack=lambda: lack,
        )
    )


def told(names: Mapping[int, str], box: list[float] = FACE) -> list[dict[str, Any]]:
    """What another program called the faces of these images (by number)."""
    return [
        {"digest": number.to_bytes(16, "big").hex(), "regions": [{"name": name, "box": box}], "turn": 1}
        for number, name in names.items()
    ]


def names(desk: Desk) -> list[str]:
    """What each face's person is called."""
    with desk.store.read() as txn:
        people = {id_: person.name for id_, person in txn.persons.items()}
    return [people.get(person_id, "") for person_id in desk.persons()]


def test_the_person_with_most_faces_of_a_name_is_given_it_and_the_others_follow(desk: Desk) -> None:
    found = exchange(desk).import_names(told({1: "Alice", 2: "Alice", 3: "Alice", 5: "Alice", 6: "Bob"}))

    assert names(desk) == ["Alice"] * 4 + ["Alice", "Bob", ""]
    assert (found["images"], found["matched"], found["unmatched"], found["unknown"]) == (5, 5, 0, 0)
    with desk.store.read() as txn:
        assert [decision.kind for _, decision in txn.decisions.items()] == ["name", "assign", "name"]


def test_who_is_called_so_already_gets_the_faces_and_nobodys_face_founds_a_person(desk: Desk) -> None:
    desk.decide.name(2, "Alice")

    exchange(desk).import_names(told({1: "alice", 7: "Carol"}))

    assert names(desk) == ["Alice", *["person_0001"] * 3, "Alice", "Alice", "Carol"]


def test_importing_twice_decides_nothing_new(desk: Desk) -> None:
    images = told({1: "Alice", 2: "Alice", 7: "Carol"})
    exchange(desk).import_names(images)

    again = exchange(desk).import_names(images)

    assert again["decisions"] == []
    with desk.store.read() as txn:
        assert txn.decisions.count() == 2


def test_what_a_human_said_here_stands(desk: Desk) -> None:
    desk.decide.name(1, "Alice", [1])

    found = exchange(desk).import_names(told({1: "Bob"}))

    assert found["decisions"] == []
    assert names(desk)[0] == "Alice"


def test_what_we_wrote_ourselves_confirms_nothing_that_is_so_already(desk: Desk) -> None:
    desk.decide.name(1, "Alice", [1])
    images = told({1: "Alice", 2: "Alice", 5: "Alice", 7: "Alice"})

    found = exchange(desk).import_names([image | {"ours": True} for image in images])

    assert found["decisions"] == ["2 faces assigned to Alice"]
    assert names(desk) == ["Alice"] * 5 + ["person_0002", "Alice"]
    assert exchange(desk).import_names(images)["decisions"] == ["1 face assigned to Alice"]  # another program agrees


def test_a_dry_run_tells_and_changes_nothing(desk: Desk) -> None:
    found = exchange(desk).import_names(told({1: "Alice", 2: "Alice"}), dry_run=True)

    assert found["decisions"] == ["person_0001 is Alice"]
    assert names(desk)[0] == "person_0001"


def test_a_name_that_is_refused_keeps_no_other_from_being_taken(desk: Desk) -> None:
    found = exchange(desk).import_names(told({1: "/", 5: "Bob", 6: "Bob"}))

    assert names(desk)[:5] == ["person_0001"] * 4 + ["Bob"]
    assert [each.partition(": ")[0] for each in found["decisions"]] == ["person_0001 is /", "person_0002 is Bob"]


def test_regions_without_a_face_and_images_from_elsewhere_are_counted(desk: Desk) -> None:
    images = told({1: "Alice"}, [0.5, 0.5, 0.6, 0.6]) + told({99: "Alice"})

    found = exchange(desk).import_names(images)

    assert (found["matched"], found["unmatched"], found["unknown"]) == (0, 1, 1)


@pytest.mark.parametrize("image", [{}, {"digest": "xyz"}, {"digest": "00" * 15 + "01", "regions": [{"name": "A"}]}])
def test_what_is_no_image_with_regions_is_refused(desk: Desk, image: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="not an image with regions"):
        exchange(desk).import_names([image])


def test_faces_are_told_a_page_at_a_time_and_once_each(desk: Desk) -> None:
    rows: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = exchange(desk).export_faces(after=after, limit=3)
        rows += page["rows"]
        after = page["next"]

    assert [row["face_id"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert (rows[0]["person"], rows[0]["path"]) == ("person_0001", "/lib/person_0001/1.jpg")
    assert (rows[6]["person_id"], rows[6]["similarity"], rows[6]["gender"]) == (None, None, None)


def test_only_the_faces_that_were_asked_for_are_told(desk: Desk) -> None:
    found = exchange(desk).export_faces(where=["person=person_0002"])

    assert [row["face_id"] for row in found["rows"]] == [5, 6]
    with pytest.raises(RequestError, match="nothing is known of gender here: it is off"):
        exchange(desk, "it is off").export_faces(where=["gender=male"])


def test_regions_are_told_of_persons_with_a_name_only(desk: Desk) -> None:
    desk.decide.name(2, "Bob")
    place_all(desk)

    found = exchange(desk).export_regions()

    assert [row["image_id"] for row in found["rows"]] == [5, 6]
    assert found["rows"][0]["faces"] == [{"name": "Bob", "box": [0.0, 0.0, 9.0, 9.0]}]
    assert found["rows"][0]["places"] == ["Bob/5.jpg"]
