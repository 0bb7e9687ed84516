"""What people do with persons and faces on the page. Each test takes back what it did."""

from __future__ import annotations

from collections.abc import Callable

from looking import Served, Visit
from playwright.sync_api import expect


def test_people_are_a_grid_of_faces_with_counts(visit: Callable[..., Visit], served: Served) -> None:
    page = visit()
    everybody = served.people()

    expect(page.cells).to_have_count(len(everybody))
    for name, faces in everybody.items():
        expect(page.cell(f"{name}, {faces} face")).to_be_visible()
    page.holds("[...document.querySelectorAll('.cell img')].every((each) => each.naturalWidth > 0)")


def test_the_keyboard_opens_a_person_and_comes_back(visit: Callable[..., Visit], served: Served) -> None:
    page = visit()
    expect(page.cells.first).to_have_attribute("aria-posinset", "1")

    page.find(".grid").focus()
    page.press("ArrowRight", "ArrowRight", "ArrowLeft", "Enter")

    name, faces = list(served.people().items())[1]
    expect(page.find("h1")).to_have_text(name)
    expect(page.cells).to_have_count(faces)
    page.press("Backspace")
    expect(page.find("h1")).to_have_text("People")


def test_a_name_is_given_with_the_keyboard_and_undone(visit: Callable[..., Visit], served: Served) -> None:
    page = visit()
    before = served.people()
    expect(page.cells.first).to_be_visible()

    page.find(".grid").focus()
    page.press("n")
    page.wait("dialog input")
    page.type("Ada <b>Lovelace</b>")
    page.press("Enter")

    page.says("Ada <b>Lovelace</b>")  # as text
    expect(page.cell("Ada <b>Lovelace</b>")).to_be_visible()
    assert "Ada <b>Lovelace</b>" in served.people()
    page.undo()
    expect(page.cell("Ada")).to_have_count(0)
    assert served.people() == before


def test_a_name_that_somebody_has_offers_to_merge(visit: Callable[..., Visit], served: Served) -> None:
    page = visit()
    first, second = list(served.people())[:2]
    page.cell(first).click()
    expect(page.find("h1")).to_have_text(first)

    page.press("n")
    page.wait("dialog input").fill(second.upper())
    page.press("Enter")

    expect(page.find("dialog h2")).to_have_text(f"{second} is here already")
    page.press("Escape")


def test_persons_are_selected_and_merged_and_parted_again(visit: Callable[..., Visit], served: Served) -> None:
    page = visit()
    before = served.people()
    (one, ones), (other, others) = list(before.items())[-2:]  # the two that are not in the group

    page.cell(one).hover()
    page.cell(one).locator(".tick").click()
    page.cell(other).click()
    expect(page.find(".bar")).to_contain_text("2 people selected")
    page.press("m")
    page.wait(".person-button").click()

    page.says("is the same person as")
    expect(page.cells).to_have_count(len(before) - 1)
    assert ones + others in served.people().values()
    page.undo()
    assert served.people() == before


def test_who_is_together_in_an_image_is_not_merged_and_the_page_says_why(
    visit: Callable[..., Visit], served: Served
) -> None:
    page = visit()
    page.foreseen = ("409",)
    before = served.people()
    expect(page.cells).to_have_count(len(before))

    page.find(".grid").focus()
    page.press("Space", "Shift+ArrowRight", "m")
    page.wait(".person-button").click()

    page.says("together in 1 image, so they are two people")
    assert served.people() == before


def test_faces_that_are_not_the_person_go_and_come_back(visit: Callable[..., Visit], served: Served) -> None:
    name, faces = next(iter(served.people().items()))
    page = visit()
    page.cell(name).click()
    expect(page.cells).to_have_count(faces)
    similarities = [float(text) for text in page.find(".likeness").all_inner_texts()]
    assert similarities == sorted(similarities, reverse=True)  # intruders last

    page.find(".grid").focus()
    page.press("End", "Shift+ArrowLeft")
    expect(page.find(".bar")).to_contain_text("2 faces selected")
    page.press("x")

    page.says("2 faces will not come back")
    expect(page.cells).to_have_count(faces - 2)
    assert served.people()[name] == faces - 2
    page.undo()
    expect(page.cells).to_have_count(faces)


def test_a_key_that_is_pressed_twice_decides_once(visit: Callable[..., Visit], served: Served) -> None:
    name, faces = next(iter(served.people().items()))
    before = served.get("decisions")["total"]
    page = visit()
    page.cell(name).click()
    expect(page.cells).to_have_count(faces)

    page.find(".grid").focus()
    page.press("End", "x", "x", "x")

    expect(page.cells).to_have_count(faces - 1)
    assert served.get("decisions")["total"] == before + 1
    page.undo()
    expect(page.cells).to_have_count(faces)


def test_a_face_becomes_somebody_new_by_typing_a_name(visit: Callable[..., Visit], served: Served) -> None:
    name, faces = next(iter(served.people().items()))
    page = visit()
    page.cell(name).click()
    expect(page.cells).to_have_count(faces)

    page.find(".grid").focus()
    page.press("End", "t")
    page.wait("dialog input").fill("Grace")
    expect(page.find(".name-line[aria-selected=true]")).to_have_text("+New person: Grace")
    page.press("Enter")

    page.says("Grace")
    expect(page.cells).to_have_count(faces - 1)
    assert served.people()["Grace"] == 1
    page.undo()
    assert "Grace" not in served.people()


def test_a_face_goes_to_somebody_known_by_typing_a_part_of_the_name(
    visit: Callable[..., Visit], served: Served
) -> None:
    before = served.people()
    (name, faces), (other, others) = list(before.items())[:2]
    page = visit()
    page.cell(name).click()
    expect(page.cells).to_have_count(faces)

    page.find(".grid").focus()
    page.press("End", "t")
    page.wait("dialog input").fill(other[-3:].upper())
    expect(page.find(".name-line").first).to_contain_text(other)
    page.press("Enter")

    page.says(other)
    expect(page.cells).to_have_count(faces - 1)
    assert served.people()[other] == others + 1
    page.undo()
    assert served.people() == before


def test_a_rectangle_selects_many_and_control_a_all(visit: Callable[..., Visit], served: Served) -> None:
    name, faces = next(iter(served.people().items()))
    page = visit()
    page.cell(name).click()
    expect(page.cells).to_have_count(faces)
    first, third = page.cells.nth(0).bounding_box(), page.cells.nth(2).bounding_box()
    assert first is not None
    assert third is not None

    page.page.mouse.move(first["x"] + first["width"] / 2, first["y"] + 20)
    page.page.mouse.down()
    page.page.mouse.move(third["x"] + third["width"] / 2, third["y"] + 60, steps=4)
    page.page.mouse.up()
    expect(page.find(".cell[aria-selected=true]")).to_have_count(3)
    page.press("Control+a")

    expect(page.find(".cell[aria-selected=true]")).to_have_count(faces)
    page.press("Escape")
    expect(page.find(".bar")).to_be_hidden()


def test_a_person_is_split_and_whole_again(visit: Callable[..., Visit], served: Served) -> None:
    before = served.people()
    page = visit()
    page.cell(next(iter(before))).click()
    expect(page.cells.first).to_be_visible()

    page.press("s")
    page.find("dialog button", has_text="2").click()

    page.wait(".toast .button")
    assert len(served.people()) == len(before) + 1
    page.undo()
    assert served.people() == before


def test_who_is_hidden_is_shown_only_on_demand(visit: Callable[..., Visit], served: Served) -> None:
    before = served.people()
    name = list(before)[-1]
    page = visit()
    expect(page.cells).to_have_count(len(before))

    page.find(".grid").focus()
    page.press("End", "h")
    page.wait(".toast .button")
    expect(page.cells).to_have_count(len(before) - 1)
    expect(page.find(".count")).to_have_text(f"{len(before) - 1} people, 1 hidden")
    page.find("label", has_text="Hidden too").click()

    expect(page.cell(f"{name}, {before[name]} faces, hidden")).to_be_visible()
    page.find("label", has_text="Hidden too").focus()
    page.undo()
    assert served.people() == before


def test_the_keyboard_stays_with_its_person_when_others_come_and_go(
    visit: Callable[..., Visit], served: Served
) -> None:
    page = visit()
    first, second = served.get("people")["people"][:2]
    page.find(".grid").focus()
    page.press("ArrowRight")
    expect(page.find(".cell.active .caption")).to_have_text(second["name"])

    hidden = served.decide(kind="hide", person=first["person_id"])  # elsewhere

    expect(page.cell(first["name"])).to_have_count(0)
    expect(page.find(".cell.active .caption")).to_have_text(second["name"])
    expect(page.find(".cell.active")).to_have_attribute("aria-posinset", "1")
    served.decide(kind="undo", decision_id=hidden["decision_id"])
    expect(page.find(".cell.active")).to_have_attribute("aria-posinset", "2")


def test_of_somebody_whose_pictures_are_gone_the_page_says_so(visit: Callable[..., Visit], served: Served) -> None:
    person = served.get("people")["people"][0]
    faces = served.get(f"people/{person['person_id']}/faces")
    page = visit()
    page.foreseen = ("404",)
    page.page.route("**/api/faces/*/thumbnail*", lambda route: route.fulfill(status=404))
    gone = faces | {"faces": [face | {"path": None} for face in faces["faces"]]}
    page.page.route(f"**/api/people/{person['person_id']}/faces?*", lambda route: route.fulfill(json=gone))
    page.go(f"person/{person['person_id']}")

    expect(page.find(".message h2")).to_have_text("The pictures are gone")
    expect(page.cells.first.locator("img")).to_have_attribute("title", "the picture is gone, or cannot be read")
    assert "whose picture is gone" in (page.cells.first.get_attribute("aria-label") or "")
    page.holds("[...document.querySelectorAll('.cell img')].every((each) => each.naturalWidth > 0)")


def test_somebody_is_found_by_name(visit: Callable[..., Visit], served: Served) -> None:
    page = visit("map")
    name = list(served.people())[2]

    expect(page.find("h1")).to_have_text("Map")
    page.press("/")
    expect(page.find("#find")).to_be_focused()
    page.type(name[-3:])

    expect(page.cells).to_have_count(1)
    page.press("Enter", "Enter")
    expect(page.find("h1")).to_have_text(name)
