"""What tests in a browser share: a daemon that serves the page, and a visit to it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, Locator, expect
from process import COMMAND, Daemon, drop
from support import wait_until

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESK, PHONE = {"width": 1280, "height": 820}, {"width": 375, "height": 740}
NOBODYS = "grey.png"
WITHIN_MS = 20_000
CHANGES = {"X-Face-Organizer": "1"}

DROPPED = """([name, content]) => {
    const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
    const dropped = new DataTransfer();
    dropped.items.add(new File([bytes], name, { type: "image/jpeg" }));
    return dropped;
}"""


class Served:
    """A daemon with the page, over images that lie in a folder and stay there."""

    def __init__(self, folder: Path, images: Path, *options: str | Path, command: Sequence[str] = COMMAND) -> None:
        self.images, self.inbox, self.library = images, folder / "inbox", folder / "library"
        drop(sorted(images.iterdir()), self.inbox)
        self.expected = len(list(images.iterdir()))
        self.daemon = Daemon(
            "--inbox", self.inbox, "--library", self.library, "--web", "127.0.0.1:0", *options, command=command
        )
        self.address = self.daemon.wait_for("web_ready")[0]["address"]
        self.http = httpx.Client(base_url=self.address, timeout=60, headers=CHANGES)

    def get(self, path: str, **values: Any) -> Any:
        answer = self.http.get(f"/api/{path}", params=values)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def decide(self, **decision: Any) -> Any:
        answer = self.http.post("/api/decisions", json=decision)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def people(self) -> dict[str, int]:
        """How many faces each has, by name."""
        return {row["name"]: row["faces"] for row in self.get("people", limit=500)["people"]}

    def settle(self, within_s: float = 90.0) -> None:
        """Wait until everything that was dropped is taken in and placed."""

        def is_settled() -> bool:
            status = self.get("status")
            known = status["images"] + status["quarantined"] + status["duplicates"]
            return bool(known == self.expected and not status["pending"] and not status["in_flight"])

        wait_until(is_settled, within_s, explain=lambda: self.get("status"))

    def end(self, number: int) -> None:
        self.http.close()
        self.daemon.end(number)


class Visit:
    """One browser window on the page. At its end: no error in the console that was not `foreseen`, nothing asked of
    another host."""

    def __init__(
        self, browser: Browser, address: str, view: str, *, phone: bool = False, scheme: str = "light", **more: Any
    ) -> None:
        self.address, self.foreseen = address, tuple[str, ...]()
        self.context = browser.new_context(
            viewport=PHONE if phone else DESK, has_touch=phone, is_mobile=phone, color_scheme=scheme, **more
        )
        self.context.set_default_timeout(WITHIN_MS)
        self.page = self.context.new_page()
        self.troubles: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda told: self._heard(told.type, told.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.view = view

    def __enter__(self) -> Self:
        self.go(self.view)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.context.close()
        if kind is None:
            ours = urlsplit(self.address).netloc
            others = {url for url in self.asked if urlsplit(url).netloc not in ("", ours)}
            assert not others, others
            troubles = [each for each in self.troubles if not any(known in each for known in self.foreseen)]
            assert not troubles, troubles

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.troubles.append(text)

    def go(self, view: str) -> None:
        self.page.goto(f"{self.address}/#/{view}")

    # what is there

    def find(self, selector: str, **more: Any) -> Locator:
        return self.page.locator(selector, **more)

    @property
    def cells(self) -> Locator:
        return self.find(".cell")

    def cell(self, words: str) -> Locator:
        """The cell whose description begins with these words."""
        return self.find(f'.cell[aria-label^="{words}"]')

    def wait(self, selector: str, **more: Any) -> Locator:
        found = self.find(selector, **more).first
        expect(found).to_be_visible()
        return found

    def says(self, words: str) -> None:
        """A toast says so."""
        expect(self.find(".toast", has_text=words).last).to_be_visible()

    def holds(self, condition: str) -> None:
        """Wait until an expression is true. (Not by wait_for_function: the page's policy forbids what that does.)"""
        wait_until(lambda: bool(self.page.evaluate(condition)), WITHIN_MS / 1000, lambda: condition)

    # what a user does

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def undo(self) -> None:
        self.press("u")
        self.says("Taken back")

    def drop(self, photo: Path) -> None:
        """Drop a file from outside somewhere on the page."""
        content = base64.b64encode(photo.read_bytes()).decode()
        dropped = self.page.evaluate_handle(DROPPED, [photo.name, content])
        for event in ("dragenter", "dragover", "drop"):
            self.page.dispatch_event("#view", event, {"dataTransfer": dropped})
