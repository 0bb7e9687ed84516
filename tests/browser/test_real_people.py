"""The page on a library of real people, as streaming left it: looked for, put right, re-clustered, taken back.

scripts/test tests/browser/test_real_people.py -m long
"""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from looking import Served, Visit
from pictures import LFW_DEV, NO_LFW
from playwright.sync_api import expect
from support import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900), pytest.mark.skipif(not LFW_DEV.is_dir(), reason=NO_LFW)]

PEOPLE, PHOTOS = 90, 7
QUESTIONS_MAX = 12
SETTINGS = "[persons]\nsimilarity_join_min = 0.58\n[recluster]\ngrowth_faces_min = 1000000\nevery_s = 1e9\n"
"""Streaming is too careful, and nothing is looked at again until somebody asks: there is much to put right."""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Some people of lfw-dev, the second photo of each kept back to search with; seen once each, not re-clustered."""
    folder = tmp_path_factory.mktemp("real")
    for name in ("images", "kept"):
        (folder / name).mkdir()
    (folder / "calm.toml").write_text(SETTINGS)
    fullest = sorted(LFW_DEV.iterdir(), key=lambda each: (-len(list(each.iterdir())), each.name))[:PEOPLE]
    for person in fullest:
        for number, photo in enumerate(sorted(person.iterdir())[:PHOTOS]):
            shutil.copy(photo, folder / ("kept" if number == 1 else "images"))
    served = Served(folder, folder / "images", "--config", folder / "calm.toml")
    try:
        served.settle(within_s=600)
        yield served
    finally:
        served.end(signal.SIGTERM)


@pytest.fixture
def served(real: Served) -> Served:
    """What `visit` opens."""
    return real


def who(face: dict[str, Any]) -> str:
    """The true name of a face: its file says it."""
    return Path(face["path"]).name.rpartition("_")[0]


def faces_of(served: Served, person_id: int) -> list[dict[str, Any]]:
    faces: list[dict[str, Any]] = served.get(f"people/{person_id}/faces", limit=500)["faces"]
    return faces


def truth_of(served: Served, person_id: int) -> str:
    """Who most of a person's faces are."""
    return Counter(map(who, faces_of(served, person_id))).most_common(1)[0][0]


def ill_placed(served: Served) -> int:
    """Faces that are not with the largest group of their own person, or with somebody else."""
    groups = [
        Counter(map(who, faces_of(served, row["person_id"]))) for row in served.get("people", limit=500)["people"]
    ]
    best: Counter[str] = Counter()
    for group in groups:
        name, faces = group.most_common(1)[0]
        best[name] = max(best[name], faces)
    return sum(group.total() for group in groups) - best.total()


def true_answer(served: Served, page: Visit) -> bool:
    """What is asked, as somebody who knows everybody would answer."""
    question = next(each for each in served.get("review", limit=50) if is_shown(page, each))
    if question["kind"] == "same":
        return truth_of(served, question["a"]["person_id"]) == truth_of(served, question["b"]["person_id"])
    return who(question["face"]) == truth_of(served, question["person"]["person_id"])


def is_shown(page: Visit, question: dict[str, Any]) -> bool:
    text = page.find(".question").inner_text()
    names = [question[key]["name"] for key in ("a", "b", "person") if key in question]
    return all(name in text for name in names) and ("same person" in text) == (question["kind"] == "same")


def test_the_review_puts_faces_right_with_few_answers(visit: Callable[..., Visit], served: Served) -> None:
    before = ill_placed(served)
    asked = 0
    page = visit("review")
    expect(page.find(".question h2")).to_be_visible()

    while asked < QUESTIONS_MAX and page.find(".ask").count():
        shown = page.find(".question").inner_text()
        page.press("y" if true_answer(served, page) else "n")
        asked += 1
        wait_until(lambda shown=shown: page.find(".question").inner_text() != shown, within_s=30)

    after = ill_placed(served)
    assert after < before or before == 0, (asked, before, after)
    for _ in range(asked):
        page.press("u")
        expect(page.find(".toast", has_text="Taken back")).to_be_visible()
        page.find(".toast .icon-button").first.click()
    assert ill_placed(served) == before


def test_a_re_clustering_is_proposed_seen_applied_and_rolled_back(visit: Callable[..., Visit], served: Served) -> None:
    before = served.people()
    page = visit("changes")

    page.find("button", has_text="Propose").click()
    page.wait(".summary")
    assert served.people() == before  # nothing has changed yet
    expect(page.find(".move").first).to_be_visible()
    page.holds("[...document.querySelectorAll('.moving img')].every((each) => each.naturalWidth > 0)")
    page.find("button", has_text="Apply").click()
    page.says("Applied")
    assert served.people() != before
    page.find(".segment", has_text="Re-clusterings").click()
    page.find("button", has_text="Roll back").first.click()
    page.find("dialog button", has_text="Roll back").click()

    page.says("Rolled back.")  # not "Applied. It can be rolled back ..."
    assert served.people() == before


def test_a_photo_that_was_never_seen_finds_its_person(visit: Callable[..., Visit], served: Served) -> None:
    found = 0
    kept = sorted((served.library.parent / "kept").iterdir())[:8]
    page = visit("search")
    for photo in kept:
        page.drop(photo)
        expect(page.find("h2", has_text=photo.name)).to_be_visible()
        expect(page.find(".count")).to_contain_text("image")
        hit = page.find(".hit").first.get_attribute("aria-label") if page.find(".hit").count() else ""
        found += photo.name.rpartition("_")[0] in (hit or "")

    assert found >= len(kept) - 1


def test_an_intruder_sits_last_and_is_sent_home_by_name(visit: Callable[..., Visit], served: Served) -> None:
    before = served.people()
    home, away = served.get("people")["people"][:2]
    intruder = faces_of(served, home["person_id"])[0]
    named = served.decide(kind="name", person=home["person_id"], name="Home")
    moved = served.decide(kind="assign", faces=[intruder["face_id"]], person=away["person_id"])
    page = visit(f"person/{away['person_id']}")
    expect(page.cells).to_have_count(away["faces"] + 1)

    page.find(".grid").focus()
    page.press("End")
    expect(page.find(".cell.active")).to_have_attribute("aria-posinset", str(away["faces"] + 1))
    assert Path(intruder["path"]).name in (page.find(".cell.active").get_attribute("aria-label") or "")
    page.press("t")
    page.wait("dialog input").fill("hom")
    expect(page.find(".name-line[aria-selected=true]")).to_contain_text("Home")
    page.press("Enter")

    page.says("This face is Home")
    expect(page.cells).to_have_count(away["faces"])
    page.undo()
    for decision in (moved, named):
        served.decide(kind="undo", decision_id=decision["decision_id"])
    assert served.people() == before
