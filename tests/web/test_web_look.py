"""What may be looked at over HTTP, on a real daemon; nothing here changes it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from browsing import IMAGES, Web, picture
from PIL import Image
from process import as_json

from face_organizer.app.commands import answer


def test_status_and_health_say_how_it_stands(web: Web) -> None:
    status = web.get("/api/status")

    assert status["running"] is True
    assert (status["images"], status["faces"], status["persons"]) == (IMAGES, 14, 3)
    assert "web" in status["threads"]
    assert web.get("/health") == {"ok": True, "problems": []}


def test_everybody_is_listed_largest_first_and_in_pages(web: Web) -> None:
    everybody = web.get("/api/people")
    second = web.get("/api/people", offset=1, limit=1)

    assert everybody["total"] == 3
    assert [person["faces"] for person in everybody["people"]] == [6, 5, 2]
    assert second == {"total": 3, "hidden": 0, "people": everybody["people"][1:2]}
    assert web.get("/api/people", query="PERSON_0001")["total"] == 1
    assert [row["person_id"] for row in as_json("people", "--library", web.library)] == [
        person["person_id"] for person in everybody["people"]
    ]


def test_a_person_has_a_cover_that_is_one_of_the_faces(web: Web) -> None:
    for person in web.get("/api/people")["people"]:
        found = web.get(f"/api/people/{person['person_id']}")
        face = web.get(f"/api/faces/{person['cover']}")

        assert found["name"] == person["name"]
        assert (found["redirect"], found["confirmed"]) == (None, 0)
        assert face["person_id"] == person["person_id"]
        assert face["explain"]["because"]


def test_a_persons_faces_come_most_similar_first_or_newest_first(web: Web) -> None:
    similar, newest = (web.get("/api/people/1/faces", order=order)["faces"] for order in ("similarity", "newest"))

    assert [face["similarity"] for face in similar] == sorted((face["similarity"] for face in similar), reverse=True)
    assert [face["face_id"] for face in newest] == sorted((face["face_id"] for face in similar), reverse=True)
    assert web.get("/api/people/1/faces", offset=1, limit=2)["faces"] == similar[1:3]


def test_questions_a_map_and_a_report_are_there(web: Web) -> None:
    assert isinstance(web.get("/api/review"), list)
    assert {point["person_id"] for point in web.get("/api/map")["points"]} == {1, 2, 3}
    told, asked = web.get("/api/report", now=True), answer(web.library, "report")
    assert {key: told[key] for key in asked} == asked
    assert web.get("/api/report")["counts"] == asked["counts"]


def test_an_image_of_two_persons_tells_of_both_and_where_it_lies(web: Web) -> None:
    together = web.post("/api/search", files={"together": (None, "1, 2")})
    image = web.get(f"/api/images/{together[0]['image_id']}")

    assert len(together) == 1
    assert {face["person_id"] for face in image["faces"]} == {1, 2}
    assert image["files"] == [image["path"]] or len(image["files"]) == 1
    assert image["path"].endswith("3_4-50.png")
    assert (image["width_px"], image["height_px"]) == (24, 24)


def test_what_belongs_to_nobody_is_listed_too(web: Web) -> None:
    outliers, no_face = web.get("/api/outliers"), web.get("/api/no_face")
    quarantine = web.get("/api/quarantine")

    assert outliers["total"] == 1
    assert outliers["faces"][0]["path"].endswith("outliers/9-1.png")
    assert (no_face["total"], no_face["images"][0]["path"][-18:]) == (1, "no_face/nobody.png")
    assert quarantine["total"] == 1
    assert "not an image we read" in quarantine["files"][0]["reason"]
    assert web.get("/api/outliers", offset=5) == {"total": 1, "faces": []}


def test_thumbnails_are_small_jpegs_and_are_not_sent_twice(web: Web) -> None:
    for path in ("/api/faces/1/thumbnail", "/api/images/1/thumbnail"):
        first = web.get(path, side=96)
        again = web.client.get(path, params={"side": 96}, headers={"If-None-Match": first.headers["etag"]})

        assert Image.open(io.BytesIO(first.content)).format == "JPEG"
        assert first.headers["content-type"] == "image/jpeg"
        assert "private" in first.headers["cache-control"]
        assert again.status_code == 304
    assert list((web.library / ".face-organizer" / "thumbnails").glob("*/*.jpg"))


def test_a_thumbnail_of_an_image_that_was_edited_is_sent_although_the_browser_has_one(web: Web) -> None:
    first = web.get("/api/faces/1/thumbnail", side=96)
    other = first.content + b"\0"
    for kept in (web.library / ".face-organizer" / "thumbnails").glob("*/f1-96.jpg"):
        kept.write_bytes(other)

    again = web.client.get(
        "/api/faces/1/thumbnail", params={"side": 96}, headers={"If-None-Match": first.headers["etag"]}
    )

    assert (again.status_code, again.content) == (200, other)


def test_the_file_itself_comes_untouched_and_as_a_download(web: Web) -> None:
    image = web.get("/api/images/1")
    file = web.get("/api/images/1/file")

    assert file.content == Path(image["path"]).read_bytes()
    assert file.headers["content-disposition"].startswith("attachment")
    assert file.headers["content-length"] == str(len(file.content))


def test_what_is_not_there_is_refused_with_a_sentence(web: Web) -> None:
    for path in ("/api/people/999", "/api/faces/999", "/api/images/999", "/api/runs/999"):
        assert "there is no" in web.get(path, expect=404)["error"]
    assert "no face 999" in web.get("/api/faces/999/thumbnail", expect=404)["error"]
    assert web.get("/api/nonsense", expect=404)["error"] == "Not Found"
    assert "limit" in web.get("/api/people", expect=422, limit=501)["error"]
    assert "there is no 'x'" in web.get("/static/x", expect=404)["error"]
    assert web.get("/static/..%2f..%2fserver.py", expect=404)


def test_search_by_a_picture_finds_its_person(web: Web) -> None:
    hits = web.post("/api/search", files={"photos": ("who.png", picture(4), "image/png")}, data={"top": "3"})

    assert {hit["person_id"] for hit in hits} == {2}
    assert len(hits) == 3
    assert hits[0]["similarity"] >= hits[-1]["similarity"]
    assert web.get(f"/api/faces/{hits[0]['face_id']}")["image_id"] == hits[0]["image_id"]


@pytest.mark.parametrize(
    ("form", "status", "sentence"),
    [
        ({"files": {"photos": ("x.png", b"no image", "image/png")}}, 422, "not an image we read"),
        ({"files": {"top": (None, "0"), "photos": ("x.png", b"x")}}, 422, "top"),
        ({"files": {"colour": (None, "red"), "photos": ("x.png", b"x")}}, 422, "colour"),
        ({"files": {"top": (None, "3")}}, 422, "say a photo"),
        ({"json": {"photos": []}}, 415, "multipart/form-data"),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400, "not a form"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(web: Web, form: dict[str, Any], status: int, sentence: str) -> None:
    assert sentence in web.post("/api/search", status, **form)["error"]


def test_the_interface_describes_itself_and_loads_nothing_from_elsewhere(web: Web) -> None:
    spec = web.get("/openapi.json")
    docs = web.get("/docs")

    assert spec["openapi"].startswith("3.")
    assert "/api/people/{person_id}" in docs.text
    assert "://" not in docs.text.replace("http://json-schema.org", "")
    assert "default-src 'self'" in docs.headers["content-security-policy"]


def test_the_faces_of_a_photo_are_told_from_the_left_and_nothing_is_kept(web: Web) -> None:
    before = web.get("/api/status")
    looked = web.post("/api/look", files={"photo": ("who.png", picture(4, 3), "image/png")})
    second = web.post("/api/search", files={"photos": ("who.png", picture(4, 3), "image/png")}, data={"face": "2"})

    assert (looked["width_px"], looked["height_px"]) == (24, 24)
    assert len(looked["faces"]) == 2
    assert looked["faces"][0]["box"][0] <= looked["faces"][1]["box"][0]
    assert len({hit["person_id"] for hit in second}) == 1
    assert web.get("/api/status")["images"] == before["images"]
    assert web.post("/api/look", files={"photo": ("no.png", picture(), "image/png")})["faces"] == []
    assert "send one photo" in web.post("/api/look", 422, files={"photos": ("x.png", b"x")})["error"]


def test_the_map_has_everybody_with_the_face_that_stands_for_them(web: Web) -> None:
    points = {point["person_id"]: point["cover"] for point in web.get("/api/map")["points"]}

    assert points == {person["person_id"]: person["cover"] for person in web.get("/api/people")["people"]}


def test_two_persons_are_said_to_be_two_and_a_proposal_is_dismissed(web: Web) -> None:
    apart = web.decide(kind="apart", person=1, other=3)
    proposed = web.post("/api/runs", json={"action": "propose"})

    assert "is not the same person as" in apart["says"]
    assert web.get("/api/proposal")["run_id"] == proposed["run_id"]
    assert web.post("/api/runs", json={"action": "dismiss"})["state"] == "dismissed"
    assert web.get("/api/proposal") is None
    web.decide(kind="undo", decision_id=apart["decision_id"])
