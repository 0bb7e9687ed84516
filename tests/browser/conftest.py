"""A real browser on the page of a real daemon. Skipped, with the reason, where Debian's chromium is not installed."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra [web] is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")

from looking import ARGUMENTS, NOBODYS, WITHIN_MS, Served, Visit
from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from face_organizer.demo import GROUP, VARIANTS, locate, vary_people
from face_organizer.errors import FaceOrganizerError

EACH = 5
"""Pictures of each person."""

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

expect.set_options(timeout=WITHIN_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for a file: playwright keeps an event loop running while it lasts, and other files' tests have loops too."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A daemon that has sorted the demo's faces: eight people, a group, an image without a face, half a file."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    folder = tmp_path_factory.mktemp("page")
    images = folder / "images"
    images.mkdir()
    try:
        people = list(vary_people(seed=1))
        (images / "group.jpg").write_bytes(locate(GROUP).read_bytes())
    except FaceOrganizerError as error:
        pytest.skip(str(error))
    for number, (person, picture) in enumerate(people):
        if number % VARIANTS < EACH:
            picture.save(images / f"p{person}_{number:02}.jpg", quality=92)
    Image.new("RGB", (320, 240), (90, 110, 120)).save(images / NOBODYS)
    (images / "half.jpg").write_bytes((images / "p0_00.jpg").read_bytes()[:2000])
    served = Served(folder, images)
    try:
        served.settle()
        yield served
    finally:
        served.end(signal.SIGTERM)


@pytest.fixture
def visit(browser: Browser, served: Served) -> Iterator[Callable[..., Visit]]:
    """Opens pages: visit("people", phone=True, scheme="dark"). Nothing may go wrong in any of them."""
    with ExitStack() as visits:

        def begin(view: str = "people", at: str = "", **more: Any) -> Visit:
            return visits.enter_context(Visit(browser, at or served.address, view, **more))

        yield begin


@pytest.fixture
def photo(served: Served) -> Path:
    """The demo's group photo."""
    return served.images / "group.jpg"
