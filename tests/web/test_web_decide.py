"""Decisions and runs over HTTP, on a real daemon: they do what the commands do, and can be taken back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from browsing import Web
from process import as_json, files_below, organizer

from face_organizer.web.models import AnyDecision


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Persons 3 (four images) and 4 (three). Each test leaves them so, but for the last."""
    found = Web(tmp_path_factory.mktemp("decide"))
    for person, images in ((3, 4), (4, 3)):
        for number in range(images):
            found.drop(person, number=number)
    found.settle(7)
    yield found
    found.close()


def named(web: Web) -> dict[str, int]:
    return {person["name"]: person["faces"] for person in web.get("/api/people", everybody=True)["people"]}


def test_every_kind_of_decision_is_made_listed_and_undone(web: Web) -> None:
    one, other = web.get("/api/people")["people"]
    face = one["cover"]
    tree = files_below(web.library)

    said = web.decide(kind="name", person=one["person_id"], name="Ada Example")["says"]
    assert "Ada Example" in said
    assert named(web) == {"Ada Example": 4, other["name"]: 3}
    assert web.get(f"/api/people/{one['person_id']}")["confirmed"] == 1
    web.decide(kind="merge", person=other["person_id"], into=one["person_id"])
    assert named(web) == {"Ada Example": 7}
    assert web.get(f"/api/people/{other['person_id']}")["redirect"] == one["person_id"]
    parts = web.decide(kind="split", person=one["person_id"], parts=2)["persons"]
    assert sorted(part["faces"] for part in parts) == [3, 4]
    web.decide(kind="reject", faces=[face])
    assert web.get(f"/api/faces/{face}")["person_id"] is None
    assert web.get("/api/outliers")["total"] == 1
    web.decide(kind="assign", faces=[face], person=one["person_id"])
    web.decide(kind="found", faces=[face], name="Grace Example")
    assert named(web)["Grace Example"] == 1
    web.decide(kind="hide", person=one["person_id"])
    assert one["person_id"] not in {row["person_id"] for row in web.get("/api/people")["people"]}
    web.decide(kind="unhide", person=one["person_id"])

    decisions = web.get("/api/decisions")
    assert decisions["total"] == 8
    assert [row["kind"] for row in decisions["decisions"]] == [
        *("unhide", "hide", "assign", "assign", "reject", "split", "merge", "name")
    ]
    for _ in range(decisions["total"]):
        web.decide(kind="undo")
    assert named(web) == {one["name"]: 4, other["name"]: 3}
    assert files_below(web.library) == tree
    undone = web.decide(kind="undo", decision_id=web.decide(kind="hide", person=one["person_id"])["decision_id"])
    web.decide(kind="undo", decision_id=undone["undone_by"])
    assert one["person_id"] not in {row["person_id"] for row in web.get("/api/people")["people"]}
    told = organizer("undo", "--library", web.library).stdout
    assert f"undo {undone['undone_by'] + 2} --library {web.library}`" in told
    assert as_json("check", "--library", web.library)["findings"] == []


def test_what_cannot_be_decided_is_refused_with_a_sentence(web: Web) -> None:
    before = web.get("/api/decisions")

    assert "there is no face 999" in web.decide(409, kind="reject", faces=[999])["error"]
    assert "there is no person 999: " in web.decide(409, kind="hide", person=999)["error"]
    assert "no decision" in web.decide(409, kind="undo", decision_id=99)["error"]
    assert "kind" in web.decide(422, kind="marry")["error"]
    assert "faces" in web.decide(422, kind="reject", faces=[True])["error"]  # nobody means face 1
    assert "name" in web.decide(422, kind="name", person=1)["error"]
    assert "extra" in web.decide(422, kind="hide", person=1, extra=1)["error"]
    assert "say one of recluster, propose, " in web.post("/api/runs", 422, json={"run": 1})["error"]
    assert "kind: say one of name, merge, " in web.decide(422, person=1)["error"]
    assert web.get("/api/decisions") == before


def test_a_run_is_proposed_applied_and_taken_back(web: Web) -> None:
    assert web.get("/api/proposal") is None

    run = web.post("/api/runs", json={"action": "propose"})
    assert run["state"] == "proposed"
    assert web.get("/api/proposal")["run_id"] == run["run_id"]
    assert web.post("/api/runs", json={"action": "apply", "run_id": run["run_id"]})["state"] == "applied"
    assert web.get("/api/proposal") is None
    again = web.post("/api/runs", json={"action": "recluster"})
    taken = web.post("/api/runs", json={"action": "rollback", "run_id": again["run_id"]})

    assert taken == {"rolled_back": [again["run_id"]]}
    assert [row["state"] for row in web.get("/api/runs")["runs"]] == ["rolled_back", "applied"]
    assert web.get(f"/api/runs/{run['run_id']}")["moves"] == []
    assert "there is no run 99" in web.post("/api/runs", 409, json={"action": "rollback", "run_id": 99})["error"]


def test_who_is_forgotten_is_gone_from_the_thumbnails_too(web: Web) -> None:
    one, other = web.get("/api/people")["people"]
    for person in (one, other):
        web.get(f"/api/faces/{person['cover']}/thumbnail")
    kept = web.library / ".face-organizer" / "thumbnails"
    assert len(list(kept.glob("*/*.jpg"))) == 2

    as_json("forget", str(one["person_id"]), "--yes", "--library", web.library)

    assert list(kept.glob("*/*")) == []
    web.get(f"/api/faces/{one['cover']}/thumbnail", expect=404)
    web.get(f"/api/faces/{other['cover']}/thumbnail")
    assert one["person_id"] not in {row["person_id"] for row in web.get("/api/people")["people"]}


def test_the_page_on_http_has_the_fields_of_each_decision() -> None:
    text = (Path(__file__).parents[2] / "docs" / "http.md").read_text()

    for kind in get_args(get_args(AnyDecision)[0]):
        (name,) = get_args(kind.model_fields["kind"].annotation)
        (row,) = re.findall(rf"^\| .*`{name}`.* \| (.*) \|$", text.partition("What a decision is made of")[2], re.M)
        assert set(kind.model_fields) - {"kind"} <= set(re.findall(r"`(\w+)[:`]", row)), name
