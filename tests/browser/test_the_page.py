"""The page as a whole: what it looks like, who can use it, how it bears large libraries and a daemon that goes away."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from looking import CHANGES, PHONE, Served, Visit
from numbered import paint
from PIL import Image
from playwright.sync_api import CDPSession, Route, expect
from process import NUMBERED
from test_views import doubtful

VIEWS = (
    "people",
    "person/1",
    "review",
    "unsorted",
    "unsorted/unreadable",
    "changes",
    "changes/decisions",
    "map",
    "trust",
    "search",
)
SERIOUS = ("serious", "critical")
PERSONS = 10_000
NODES_MAX = 3000
FRAME_MS = 1000 / 60


def is_there(page: Visit) -> None:
    expect(page.find("h1")).to_be_visible()
    page.page.wait_for_load_state("load")
    is_at_rest(page)


def is_at_rest(page: Visit) -> None:
    page.holds("document.getAnimations().every((each) => each.playState !== 'running')")


def findings(page: Visit) -> list[str]:
    """What axe has against what is shown, and takes for serious; nothing that still fades in is judged."""
    is_at_rest(page)
    found = Axe().run(page.page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:120]}: {node['failureSummary']}"
        for each in found
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_view(visit: Callable[..., Visit], scheme: str) -> None:
    page = visit(scheme=scheme)
    for view in VIEWS:
        page.go(view)
        is_there(page)
        assert findings(page) == [], view
    page.press("?")
    page.wait("dialog")
    assert findings(page) == []


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_a_phone(visit: Callable[..., Visit], scheme: str) -> None:
    page = visit(phone=True, scheme=scheme)
    for view in VIEWS:
        page.go(view)
        is_there(page)
        assert findings(page) == [], view


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_axe_finds_nothing_serious_while_somebody_works(
    visit: Callable[..., Visit], served: Served, scheme: str
) -> None:
    name, faces = next(iter(served.people().items()))
    page = visit(scheme=scheme)
    page.cell(name).click()
    page.wait(".person-head h1")
    expect(page.cells).to_have_count(faces)

    page.find(".grid").focus()
    page.press("Space")
    page.wait(".bar")
    is_there(page)
    assert findings(page) == []
    page.press("t")
    page.wait(".name-line")
    is_there(page)
    assert findings(page) == []
    page.press("Escape", "Enter")
    page.wait(".viewer .face-box")
    page.wait(".why h3")
    is_there(page)
    assert findings(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_where_much_is_doubtful(
    visit: Callable[..., Visit], served: Served, scheme: str
) -> None:
    page = visit(scheme=scheme, phone=scheme == "dark")
    report = doubtful(served)
    page.page.route("**/api/report", lambda route: route.fulfill(json=report))
    page.go("trust")
    page.wait(".card")
    is_there(page)

    assert findings(page) == []


def test_on_a_phone_nothing_is_wider_than_the_screen(visit: Callable[..., Visit]) -> None:
    page = visit(phone=True)
    for view in VIEWS:
        page.go(view)
        is_there(page)
        wide = page.page.evaluate(
            """width => [...document.querySelectorAll('body *')].filter((each) => {
                const { right, width: own } = each.getBoundingClientRect();
                return own > 0 && right > width + 1 && !each.closest('.table-host, .moving, .stage');
            }).map((each) => each.outerHTML.slice(0, 100))""",
            PHONE["width"],
        )
        assert wide == [], view


def test_a_long_press_selects_and_taps_go_on(visit: Callable[..., Visit]) -> None:
    page = visit(phone=True)
    expect(page.cells.first).to_be_visible()
    frame = page.cells.first.bounding_box()
    assert frame is not None
    finger = page.context.new_cdp_session(page.page)
    point = [{"x": frame["x"] + 30, "y": frame["y"] + 30}]

    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": point})
    expect(page.find(".cell[aria-selected=true]")).to_have_count(1)
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.cells.nth(1).tap()

    expect(page.find(".cell[aria-selected=true]")).to_have_count(2)
    expect(page.find(".bar")).to_contain_text("2 people selected")
    page.find(".bar button", has_text="Clear").tap()
    expect(page.find(".bar")).to_be_hidden()


def test_a_finger_that_stays_down_sweeps_over_many(visit: Callable[..., Visit]) -> None:
    page = visit(phone=True)
    expect(page.cells.first).to_be_visible()
    first, fourth = page.cells.nth(0).bounding_box(), page.cells.nth(3).bounding_box()
    assert first is not None
    assert fourth is not None
    finger = page.context.new_cdp_session(page.page)

    def touch(kind: str, frame: dict[str, float] | None) -> None:
        points = [{"x": frame["x"] + 30, "y": frame["y"] + 30}] if frame else []
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", first)
    expect(page.find(".cell[aria-selected=true]")).to_have_count(1)
    touch("touchMove", fourth)

    expect(page.find(".cell[aria-selected=true]")).to_have_count(4)
    touch("touchEnd", None)
    expect(page.find(".bar")).to_contain_text("4 people selected")


def test_the_keyboard_reaches_everything_and_help_tells_how(visit: Callable[..., Visit]) -> None:
    page = visit()
    expect(page.cells.first).to_be_visible()

    page.press("Tab")
    expect(page.find(".skip")).to_be_focused()
    for _ in range(20):
        page.press("Tab")
        if page.page.evaluate("document.activeElement.className") == "grid":
            break
    expect(page.find(".grid")).to_be_focused()
    assert (
        page.page.evaluate("getComputedStyle(document.querySelector('.cell.active .square')).outlineStyle") == "solid"
    )
    for key, view in zip("12345", ("People", "Review", "Unsorted", "Changes", "Map"), strict=True):
        page.press(key)
        expect(page.find("h1")).to_have_text(view)
    page.press("1")
    expect(page.find("h1")).to_have_text("People")
    page.press("?")
    told = page.find("dialog").inner_text()

    for words in ("name the person", "merge", "split", "take the last decision back", "select all", "find somebody"):
        assert words in told


def test_light_and_dark_follow_the_system_or_the_switch(visit: Callable[..., Visit]) -> None:
    page = visit(scheme="dark")

    def paper() -> str:
        return str(page.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    dark = paper()
    page.find("button[aria-label='Light or dark as the system']").click()
    light = paper()
    page.page.reload()

    assert (dark, light, paper()) == ("rgb(21, 21, 21)", "rgb(247, 247, 245)", "rgb(247, 247, 245)")
    page.find("button[aria-label=Light]").click()
    assert paper() == dark


def test_who_wants_less_motion_gets_none(visit: Callable[..., Visit]) -> None:
    page = visit(reduced_motion="reduce")
    page.press("?")
    page.wait("dialog")

    assert page.page.evaluate("getComputedStyle(document.querySelector('dialog')).animationName") == "none"


def test_the_counters_and_the_grid_move_while_images_come(visit: Callable[..., Visit], served: Served) -> None:
    page = visit()
    images = served.get("status")["images"]
    expect(page.find(".live .dot.on")).to_be_visible()
    shown = page.find(".live dl div", has_text="images").locator("dd")
    expect(shown).to_have_text(str(images))

    with Image.open(max(served.images.glob("p7_*.jpg"))) as picture:
        picture.rotate(4, expand=True).save(served.inbox / "late.jpg")
    served.expected += 1

    expect(shown).to_have_text(str(images + 1))
    served.settle()


def test_that_the_processor_stands_in_for_a_gpu_is_on_every_view(visit: Callable[..., Visit], served: Served) -> None:
    page = visit()
    told = served.get("status") | {"notices": ["cuda:0 is not used: the driver shows no GPU"]}
    page.page.route("**/api/status", lambda route: route.fulfill(json=told))
    page.page.reload()

    expect(page.find(".live .problem")).to_have_text("cuda:0 is not used: the driver shows no GPU")
    page.go("map")
    expect(page.find(".live .problem")).to_be_visible()


def test_a_daemon_out_of_reach_is_told_and_waited_for(visit: Callable[..., Visit]) -> None:
    page = visit()
    page.foreseen = ("ERR_INTERNET_DISCONNECTED", "Failed to load resource")
    expect(page.cells.first).to_be_visible()

    page.context.set_offline(True)
    page.find("label", has_text="Hidden too").click()
    expect(page.find("#offline")).to_contain_text("cannot be reached")
    expect(page.find(".message")).to_contain_text("Is it running?")
    page.context.set_offline(False)

    expect(page.find("#offline")).to_be_hidden()
    expect(page.find(".message h2")).to_have_count(0)


def test_what_the_server_refuses_is_told_in_its_own_words(visit: Callable[..., Visit]) -> None:
    page = visit("person/4711")
    page.foreseen = ("404",)

    expect(page.find(".person-head")).to_contain_text("there is no person 4711")


def test_a_token_is_asked_for_once_and_opens_everything(visit: Callable[..., Visit], tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    paint(tmp_path / "images" / "nobody.png", [], 1)
    (tmp_path / "token").write_text("a-token-of-some-length\n")
    (tmp_path / "web.toml").write_text(f'[web]\ntoken_file = "{tmp_path}/token"\n')
    served = Served(tmp_path, tmp_path / "images", "--config", tmp_path / "web.toml", command=NUMBERED)
    try:
        served.http.headers["Authorization"] = "Bearer a-token-of-some-length"
        served.settle()
        page = visit("unsorted/no-face", at=served.address)
        page.foreseen = ("401", "ERR_CONNECTION_REFUSED")
        for token in ("a-wrong-one-to-begin-with", "a-token-of-some-length"):
            page.wait("dialog input").fill(token)
            page.press("Enter")
            expect(page.find(f"dialog input[value='{token}']")).to_have_count(0)

        expect(page.cells).to_have_count(1)
        page.holds("document.querySelector('.cell img').naturalWidth > 0")
        expect(page.find(".live .dot.on")).to_be_visible()
        page.page.reload()
        expect(page.cells).to_have_count(1)
        assert "a-token" not in page.page.evaluate("document.cookie + JSON.stringify(localStorage)")
    finally:
        served.end(signal.SIGTERM)


# ten thousand persons: the server's part is played by the test


def crowd(route: Route) -> None:
    values = {key: int(value) for key, value in re.findall(r"(offset|limit)=(\d+)", route.request.url)}
    first, last = values["offset"], min(PERSONS, values["offset"] + values["limit"])
    route.fulfill(
        json={
            "total": PERSONS,
            "people": [
                {"person_id": n + 1, "name": f"person_{n + 1:05}", "named": False, "hidden": False}
                | {"faces": PERSONS - n, "images": PERSONS - n, "cover": n + 1, "folder": ""}
                for n in range(first, last)
            ],
        }
    )


@pytest.fixture
def crowded(visit: Callable[..., Visit], served: Served) -> Visit:
    """The page of a library of ten thousand persons."""
    picture = httpx.get(f"{served.address}/api/faces/1/thumbnail", headers=CHANGES).content
    page = visit("search")
    page.page.route(re.compile(r"/api/people\?"), crowd)
    page.page.route("**/thumbnail*", lambda route: route.fulfill(body=picture, content_type="image/jpeg"))
    page.go("people")
    expect(page.find(".count")).to_have_text("10,000 people")
    return page


SCROLLED = """async ({ step_px, steps }) => {
    const scroller = document.querySelector('.scroll');
    const told = { nodes: 0, frames: 0, over_50_ms: 0, longest_ms: 0 };
    let before = performance.now();
    for (let step = 0; step < steps; step += 1) {
        scroller.scrollTop += step_px;
        await new Promise(requestAnimationFrame);
        const now = performance.now();
        told.frames += 1;
        told.over_50_ms += now - before > 50;
        told.longest_ms = Math.max(told.longest_ms, now - before);
        told.nodes = Math.max(told.nodes, document.querySelectorAll('*').length);
        before = now;
    }
    return { ...told, at: scroller.scrollTop };
}"""


def test_ten_thousand_persons_take_no_more_nodes_than_a_screenful(crowded: Visit) -> None:
    told = crowded.page.evaluate(SCROLLED, {"step_px": 900, "steps": 12})

    assert told["nodes"] < NODES_MAX, told
    assert told["at"] > 10_000
    crowded.find(".grid").focus()
    crowded.press("End")
    expect(crowded.cell("person_10000, 1 face")).to_be_visible()


def spent(session: CDPSession) -> dict[str, float]:
    """What the page's main thread has spent, in seconds of its processor's time, whatever else the machine does."""
    return {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}


@pytest.mark.long
def test_ten_thousand_persons_scroll_smoothly(crowded: Visit) -> None:
    session = crowded.context.new_cdp_session(crowded.page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = spent(session)

    told = crowded.page.evaluate(SCROLLED, {"step_px": 60, "steps": 600})

    after = spent(session)
    told["main_thread_ms"] = 1000 * (after["TaskDuration"] - before["TaskDuration"]) / told["frames"]
    told["script_ms"] = 1000 * (after["ScriptDuration"] - before["ScriptDuration"]) / told["frames"]
    assert told["main_thread_ms"] < FRAME_MS, told
