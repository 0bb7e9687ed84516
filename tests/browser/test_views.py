"""Review, changes, search, map, one image: what each view shows and does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from looking import Served, Visit
from playwright.sync_api import Route, expect
from support import wait_until


def asking(page: Visit, questions: list[Any]) -> None:
    """Let the review ask these, in place of what this small library gives rise to."""
    page.page.route("**/api/review*", lambda route: route.fulfill(json=questions))
    page.go("review")


def asked_of(served: Served) -> tuple[dict[str, Any], dict[str, Any]]:
    """Are the two that are not in the group one? And is the least similar face of the first an intruder?"""
    people = served.get("people")["people"]
    a, b = people[-2:]
    face = served.get(f"people/{a['person_id']}/faces")["faces"][-1]
    same = {"kind": "same", "a": a, "b": b, "similarity": 0.33, "gain": 8.0}
    return same, {"kind": "intruder", "face": face, "person": a, "other": None, "similarity": 0.3, "gain": 1.0}


def test_review_asks_one_question_at_a_time_and_takes_y_and_n(visit: Callable[..., Visit], served: Served) -> None:
    before = served.people()
    same, intruder = asked_of(served)
    page = visit()
    questions = [same, intruder]
    asking(page, questions)

    expect(page.find(".ask")).to_have_text("Are these the same person?")
    expect(page.find(".count")).to_contain_text("2 to ask")
    page.press("s")
    expect(page.find(".ask")).to_have_text(f"Is this {intruder['person']['name']}?")
    page.press("ArrowLeft")
    expect(page.find(".ask")).to_have_text("Are these the same person?")
    questions.remove(same)
    page.press("y")
    page.says("is the same person as")
    expect(page.find(".ask")).to_contain_text("Is this")
    expect(page.find(".count")).to_contain_text("1 answer, about 8 faces put right")
    page.undo()
    questions.remove(intruder)
    page.press("n")

    page.says("is not")
    expect(page.find("h2")).to_have_text("Nothing to ask")
    face = served.get(f"faces/{intruder['face']['face_id']}")
    assert face["person_id"] != intruder["person"]["person_id"]
    page.undo()
    assert served.people() == before


def test_the_real_review_answers_or_says_that_there_is_nothing(visit: Callable[..., Visit]) -> None:
    page = visit("review")

    expect(page.find(".ask, .question h2").first).to_be_visible()


def test_a_proposal_that_waits_is_dismissed_and_an_empty_one_does_not_wait(
    visit: Callable[..., Visit], served: Served
) -> None:
    before = served.people()
    page = visit("changes")
    page.find("button", has_text="Propose").first.click()
    page.says("Nothing would change")
    expect(page.find("h2", has_text="No proposal waits")).to_be_visible()
    served.http.post("/api/runs", json={"action": "propose"})  # somebody else's
    page.wait(".summary")
    page.find("button", has_text="Dismiss").click()

    page.says("Dismissed")
    expect(page.find("h2", has_text="No proposal waits")).to_be_visible()
    assert served.get("proposal") is None
    assert served.people() == before


def moving(served: Served) -> dict[str, Any]:
    """A proposal as large libraries give rise to: faces from one person to another, to nobody, to somebody new."""
    one, other = served.get("people")["people"][:2]
    faces = [row["face_id"] for row in served.get(f"people/{one['person_id']}/faces")["faces"][-3:]]

    def side(person: dict[str, Any]) -> dict[str, Any]:
        return {key: person[key] for key in ("person_id", "name", "named")}

    def move(to: dict[str, Any] | None, moved: int) -> dict[str, Any]:
        return {"from": side(one), "to": to, "faces": moved, "of": 9, "examples": [], "faces_shown": faces[:moved]}

    new = {"person_id": None, "name": "new 1", "named": False}
    moves = [move(side(other), 3), move(new, 2), move(None, 1)]
    figures = {"moved": 6, "merged": 0, "split": 1, "born": 1, "joined": 0}
    risk = [{**side(one), "name": "Ada", "loses": 6, "of": 9}]
    return {"run_id": 7, "why": "it would move much", "at_s": 1e9, "moves": moves, "at_risk": risk, **figures}


def test_a_proposal_is_a_picture_of_faces_on_their_way(visit: Callable[..., Visit], served: Served) -> None:
    done: list[Any] = []

    def act(route: Route) -> None:
        done.append(json.loads(route.request.post_data or ""))
        route.fulfill(json={"run_id": 7})

    page = visit()
    page.page.route("**/api/proposal", lambda route: route.fulfill(json=moving(served)))
    page.page.route("**/api/runs", act)
    page.go("changes")

    expect(page.find(".move")).to_have_count(3)
    expect(page.find(".moving img")).to_have_count(6)
    expect(page.find(".risk")).to_contain_text("Ada would lose 6 of 9 faces")
    expect(page.find(".figures")).to_contain_text("faces move")
    page.find(".moving button").first.click()
    page.wait(".viewer .face-box")
    page.press("Escape")
    page.find("button", has_text="Apply").click()
    page.says("Applied")
    assert done == [{"action": "apply", "run_id": 7}]


def test_a_re_clustering_is_rolled_back_after_a_question(visit: Callable[..., Visit], served: Served) -> None:
    before = served.people()
    page = visit("changes/runs")

    page.find("button", has_text="Look at all faces again").click()
    page.says("Done, and applied")
    page.find("button", has_text="Roll back").first.click()
    page.find("dialog button", has_text="Roll back").click()

    page.says("Rolled back")
    expect(page.find(".state-tag.rolled_back").first).to_be_visible()
    assert served.people() == before


def test_decisions_are_listed_and_each_can_be_undone(visit: Callable[..., Visit], served: Served) -> None:
    person = served.get("people")["people"][0]
    served.decide(kind="name", person=person["person_id"], name="Emmy")
    page = visit("changes/decisions")

    row = page.find("tr", has_text="is Emmy").first
    row.get_by_role("button").click()

    page.says("Taken back")
    expect(page.find("tr.undone", has_text="is Emmy").first).to_be_visible()
    assert "Emmy" not in served.people()


def test_a_dropped_photo_is_searched_with_face_by_face(
    visit: Callable[..., Visit], served: Served, photo: Path
) -> None:
    images = served.get("status")["images"]
    page = visit()
    expect(page.cells.first).to_be_visible()

    page.drop(photo)

    expect(page.find("h1")).to_have_text("Search")
    expect(page.find(".face-box")).to_have_count(6)
    page.wait(".hit")
    first = page.find(".found a").first.inner_text()
    page.find(".face-box").nth(1).click()
    expect(page.find(".face-box").nth(1)).to_have_attribute("aria-pressed", "true")
    expect(page.find(".found a").first).not_to_have_text(first)
    page.find(".face-box").nth(0).click()
    page.find(".hit").first.click()
    page.wait(".viewer .face-box")
    assert served.get("status")["images"] == images  # it was not kept


def test_a_photo_without_a_face_says_so(visit: Callable[..., Visit], served: Served) -> None:
    page = visit("search")

    page.drop(served.images / "grey.png")

    expect(page.find(".probe")).to_contain_text("No face was found")


def test_a_photo_is_added_only_when_somebody_says_so(visit: Callable[..., Visit], photo: Path) -> None:
    page = visit("search")
    page.drop(photo)
    page.wait(".hit")

    page.find("button", has_text="Add to the library").click()

    page.says("It is in the library already")


def test_the_image_of_a_face_shows_everybody_in_it_and_turns_pages(visit: Callable[..., Visit], served: Served) -> None:
    name, faces = next(iter(served.people().items()))
    page = visit()
    page.cell(name).click()
    expect(page.cells).to_have_count(faces)

    page.find(".grid").focus()
    page.press("Home", "Enter")

    expect(page.find(".viewer .count").first).to_have_text(f"1 of {faces} images")
    expect(page.find(".face-box[aria-pressed=true]")).to_contain_text(name)
    expect(page.find(".why")).to_contain_text("The most similar faces")
    seen = {page.find(".side h2").inner_text()}
    for number in range(2, faces + 1):
        page.press("ArrowRight")
        expect(page.find(".viewer .count").first).to_have_text(f"{number} of {faces} images")
        expect(page.find(".face-box[aria-pressed=true]")).to_contain_text(name)
        wait_until(lambda: page.find(".side h2").inner_text() not in seen, within_s=20)
        seen.add(page.find(".side h2").inner_text())
    assert "group.jpg" in seen
    page.press("Escape")
    expect(page.find(".viewer")).to_have_count(0)
    expect(page.find(".grid")).to_be_focused()


def test_a_face_is_put_right_in_its_image(visit: Callable[..., Visit], served: Served) -> None:
    before = served.people()
    name = next(iter(before))
    page = visit()
    page.cell(name).click()
    page.cells.last.click()
    page.wait(".face-box")

    page.press("x")

    page.says("is not")
    expect(page.find(".side .who")).not_to_contain_text(name)
    page.press("u")
    expect(page.find(".side .who")).to_contain_text(name)
    assert served.people() == before


def test_what_belongs_to_nobody_is_shown_with_its_reason(visit: Callable[..., Visit]) -> None:
    page = visit("unsorted")
    expect(page.find(".message h2, .cell").first).to_be_visible()

    page.find(".segment", has_text="No face").click()
    expect(page.cells).to_have_count(1)
    page.find(".segment", has_text="Unreadable").click()

    expect(page.cells).to_have_count(1)
    expect(page.cell("half.jpg")).to_be_visible()


def test_the_map_is_walked_with_the_keyboard_and_opens_a_person(visit: Callable[..., Visit], served: Served) -> None:
    page = visit("map")
    expect(page.find(".count")).to_have_text(f"{len(served.people())} people")

    page.find("canvas").focus()
    expect(page.find(".map-card")).to_be_visible()
    first = page.find(".map-card").inner_text()
    for key in ("ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"):
        page.press(key)
        if page.find(".map-card").inner_text() != first:
            break
    expect(page.find(".map-card")).not_to_have_text(first)
    name = page.find(".map-card span").inner_text()
    page.press("+", "Enter")

    expect(page.find("h1")).to_have_text(name)


def test_a_very_long_name_leaves_undo_where_it_can_be_reached(visit: Callable[..., Visit], served: Served) -> None:
    said = served.decide(kind="name", person=served.get("people")["people"][0]["person_id"], name="x" * 200)
    page = visit("changes/decisions")

    expect(page.find("td .button").first).to_be_visible()
    page.holds("(({ scrollWidth, clientWidth }) => scrollWidth <= clientWidth)(document.querySelector('.table-host'))")
    served.decide(kind="undo", decision_id=said["decision_id"])


def doubtful(served: Served) -> dict[str, Any]:
    """The real report, with questions as large libraries give rise to: two of each kind are told of, one is shown."""
    same, intruder = asked_of(served)
    person = served.get("people")["people"][0]
    faces = served.get(f"people/{person['person_id']}/faces")["faces"][:2]
    twice = {"image_id": faces[0]["image_id"], "person": person, "faces": faces}
    intruder |= {"faces": [intruder["face"]["face_id"]], "other": same["b"], "other_similarity": 0.4}
    return served.get("report") | {
        "provable_errors": {"total": 2, "shown": [twice]},
        "likely_intruders": {"total": 2, "wrong_faces": 1.6, "shown": [intruder]},
        "likely_same": {"total": 2, "misplaced_faces": 2.0, "shown": [same]},
    }


def test_trust_has_the_figures_of_the_report(visit: Callable[..., Visit], served: Served) -> None:
    report = served.get("report")
    page = visit()
    page.press("6")

    expect(page.find("h1")).to_have_text("Trust")
    expect(page.find(".figures dd").nth(0)).to_have_text(str(report["counts"]["persons"]))
    expect(page.find(".figures dd").nth(1)).to_have_text(str(report["counts"]["faces"]))
    expect(page.find(".legend")).to_contain_text(f"{report['counts']['no_face']} without a face")
    expect(page.find(".legend")).to_contain_text("1 unusable")
    expect(page.find("section", has_text="Surely wrong").first).to_contain_text("Nobody is twice in an image")
    page.find("a", has_text="Review one by one").click()
    expect(page.find("h1")).to_have_text("Review")


def test_what_may_be_wrong_is_put_right_where_it_is_shown(visit: Callable[..., Visit], served: Served) -> None:
    before, report = served.people(), doubtful(served)
    person = report["likely_intruders"]["shown"][0]["person"]
    page = visit()
    page.page.route("**/api/report", lambda route: route.fulfill(json=report))
    page.go("trust")

    expect(page.find(".card")).to_have_count(3)
    expect(page.find(".figures .bad dd")).to_have_text("2")
    expect(page.find("section", has_text="Likely intruders")).to_contain_text("and 1 more")
    page.find(".suspect").last.click()
    page.wait(".viewer .face-box")
    page.press("Escape")
    page.find(".card button", has_text=f"Not {person['name']}").focus()
    report = report | {"likely_intruders": {"total": 0, "wrong_faces": 0.0, "shown": []}}
    page.press("Enter")
    page.says("is not")
    expect(page.find(".card")).to_have_count(2)
    expect(page.find(".card button", has_text="One person")).to_be_focused()

    assert served.people() != before
    page.undo()
    assert served.people() == before
