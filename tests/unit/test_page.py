"""The trust report as a page: whole in itself, and safe whatever people are called."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from face_organizer.app.commands import Mark, refuse_in_the_way, write_montage, write_result
from face_organizer.cli.page import BEGINNING, faces_in, page
from face_organizer.errors import RequestError

MADE = "29 November 2026, 01:02"
EVIL = "<script>alert('x')</script>\" onerror=\"x"


def face(face_id: int) -> dict[str, Any]:
    return {"face_id": face_id, "similarity": 0.4, "path": f"/lib/{EVIL}/{face_id}.jpg"}


def person(person_id: int) -> dict[str, Any]:
    return {"person_id": person_id, "name": EVIL, "faces": 3, "cover_face": face(person_id)}


def report(**other: Any) -> dict[str, Any]:
    empty = {"total": 0, "shown": []}
    counts = ("images", "faces", "persons", "outliers", "no_face", "quarantined")
    coverage = ("persons_named", "persons_hidden", "faces_with_person", "faces_confirmed")
    return {
        "library": f"/lib/{EVIL}",
        "counts": dict.fromkeys(counts, 0),
        "coverage": dict.fromkeys(coverage, 0),
        "provable_errors": empty,
        "likely_intruders": empty | {"wrong_faces": 0.0},
        "likely_same": empty | {"misplaced_faces": 0.0},
        "false_merge_rate": None,
        "people": [],
        "changes": {"last_run": None, "new_faces": 0, "decisions": []},
    } | other


def full() -> dict[str, Any]:
    intruder = {"face": face(7), "faces": [7, 8], "person": person(1), "other": person(2), "other_similarity": 0.5}
    return report(
        provable_errors={"total": 9, "shown": [{"image_id": 1, "person": person(1), "faces": [face(3), face(4)]}]},
        likely_intruders={"total": 1, "wrong_faces": 1.9, "shown": [intruder | {"similarity": 0.1}]},
        likely_same={
            "total": 1,
            "misplaced_faces": 2.0,
            "shown": [{"a": person(1), "b": person(2), "similarity": 0.33}],
        },
        people=[person(1), person(2)],
        changes={"last_run": None, "new_faces": 5, "decisions": [{"decision_id": 1, "says": EVIL}]},
    )


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_holds_its_pictures_and_loads_nothing() -> None:
    pictures = {row["face_id"]: b"jpeg" for row in faces_in(full())}

    text = page(full(), pictures, MADE)

    sources = [str(attributes["src"]) for tag, attributes in Tags(text).found if tag == "img"]
    assert sorted(pictures) == [1, 2, 3, 4, 7]
    assert len(sources) == 10
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"https?:|//|url\(|@import", re.sub(r'"data:[^"]*"|title="[^"]*"', "", text))


def test_a_name_is_shown_and_never_obeyed() -> None:
    text = page(full(), {1: b"jpeg"}, MADE)

    tags = Tags(text).found
    assert "script" not in {tag for tag, _ in tags}
    assert not any("onerror" in attributes for _, attributes in tags)


def test_the_answers_to_a_question_stand_beside_it() -> None:
    text = page(full(), {}, MADE)

    for command in ("reject 3", "reject 7 8", "assign 7 8 1", "merge 2 1", "apart 2 1"):
        assert f"<code>{command}</code>" in text.replace(" 1</code>", " 1</code>")
    assert "and 8 more" in text


def test_an_empty_library_makes_a_page_too() -> None:
    assert "There was no re-clustering yet" in page(report(), {}, MADE)


# where it is written


def test_a_report_and_a_montage_take_the_place_of_an_earlier_one_and_of_nothing_else(tmp_path: Path) -> None:
    html, png, photo = tmp_path / "report.html", tmp_path / "hits.png", b"\x89PNG\r\n\x1a\n somebody's only one"
    for _ in range(2):
        write_result(html, page(report(), {}, MADE).encode(), Mark(BEGINNING.encode()))
        write_montage(png, [])

    for path in (html, png):
        path.write_bytes(photo)
        with pytest.raises(RequestError, match=rf"{path} is there already"):
            write_result(html, b"<p>", Mark(BEGINNING.encode())) if path == html else write_montage(png, [])
        assert path.read_bytes() == photo
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("library/Ann/a.jpg", "lies in the library"),
        ("link/new.html", "lies in the library"),
        ("library", "is the library"),
        (".", "holds the library"),
        ("state/new", "lies in the state folder"),
        ("other/Bob/new", "lies in the library"),
    ],
)
def test_what_a_command_writes_goes_elsewhere_than_what_is_sorted(tmp_path: Path, result: str, told: str) -> None:
    for folder in ("library/Ann", "state", "other/Bob", "other/.face-organizer", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "library" / ".face-organizer").symlink_to(tmp_path / "state")
    (tmp_path / "link").symlink_to("library/Ann")

    refuse_in_the_way(tmp_path / "library", tmp_path / "elsewhere" / "new", None)
    with pytest.raises(RequestError, match=told):
        refuse_in_the_way(tmp_path / "library", None, tmp_path / result)
