"""A real daemon with the web server on, over pictures made of numbers, and what a test asks it."""

from __future__ import annotations

import io
import signal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numbered import paint
from PIL import Image
from process import NUMBERED, Daemon
from support import wait_until

IMAGES = 14
"""In the library that tests share, see web/conftest.py."""

CHANGES = {"X-Face-Organizer": "1"}


def picture(*people: int, number: int = 77) -> bytes:
    """A PNG that numbered.py sees these people in; no two with one number are alike."""
    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[0, : len(people), 0] = np.array(people) + 1
    pixels[1, 0] = np.array([number], "<u4").view(np.uint8)[:3]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Web:
    """A daemon and a client that may change things. folder: holds inbox/ and library/."""

    def __init__(self, folder: Path, *options: str | Path, listen: str = "127.0.0.1:0", **client: Any) -> None:
        self.inbox, self.library = folder / "inbox", folder / "library"
        self.inbox.mkdir(parents=True, exist_ok=True)
        if "--config" not in options:
            quick = folder / "quick.toml"
            quick.write_text("[watch]\nsettle_s = 0.05\n")
            options = (*options, "--config", quick)
        self.daemon = Daemon(
            "--inbox", self.inbox, "--library", self.library, "--web", listen, *options, command=NUMBERED
        )
        try:
            self.address = self.daemon.wait_for("web_ready")[0]["address"]
            self.daemon.wait_for("ready")
        except BaseException:
            self.daemon.end(signal.SIGKILL)
            raise
        self.client = httpx.Client(base_url=self.address, timeout=60, **({"headers": CHANGES} | client))

    def get(self, path: str, expect: int = 200, **params: Any) -> Any:
        return self._told(self.client.get(path, params=params), expect)

    def post(self, path: str, expect: int = 200, **given: Any) -> Any:
        return self._told(self.client.post(path, **given), expect)

    def decide(self, expect: int = 200, **decision: Any) -> Any:
        return self.post("/api/decisions", expect, json=decision)

    def _told(self, response: Any, expect: int) -> Any:
        assert response.status_code == expect, (response.status_code, response.text)
        return response.json() if "json" in response.headers.get("content-type", "") else response

    def drop(self, *people: int, number: int, name: str = "") -> Path:
        """An image of these people into the inbox, under a name that says whom and which."""
        return paint(self.inbox / (name or f"{'_'.join(map(str, people))}-{number}.png"), people, number)

    def settle(self, images: int) -> None:
        """Wait until so many images are known and all of them placed."""

        def is_settled() -> bool:
            status = self.get("/api/status")
            return bool(status["images"] == images and status["pending"] == 0 and status["in_flight"] == 0)

        wait_until(is_settled, within_s=60, explain=lambda: self.get("/api/status"))

    def close(self, number: int = signal.SIGTERM) -> int:
        self.client.close()
        return self.daemon.end(number)
