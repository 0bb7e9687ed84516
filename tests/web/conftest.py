"""Daemons with the web server on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import wait_until

pytest.importorskip("fastapi", reason="the extra [web] is not installed")

from browsing import IMAGES, Web


@pytest.fixture
def open_web(tmp_path: Path) -> Iterator[Callable[..., Web]]:
    """Starts daemons; they end with the test."""
    opened: list[Web] = []

    def begin(*options: str | Path, folder: Path = tmp_path, **more: Any) -> Web:
        opened.append(Web(folder, *options, **more))
        return opened[-1]

    yield begin
    for web in opened:
        web.close()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Persons 3 (five images), 4 (four), 5 (two); 3 and 4 together; a stranger; nobody."""
    found = Web(tmp_path_factory.mktemp("web"))
    try:
        for person, images in ((3, 5), (4, 4), (5, 2)):
            for number in range(images):
                found.drop(person, number=number)
        found.drop(3, 4, number=50)
        found.drop(9, number=1)
        found.drop(number=1, name="nobody.png")
        (found.inbox / "letter.png").write_bytes(b"Dear Sir or Madam")
        found.settle(IMAGES)
        wait_until(lambda: found.get("/api/status")["quarantined"] == 1, within_s=60)
        yield found
    finally:
        found.close()
