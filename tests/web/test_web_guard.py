"""Who may ask, and who may not: other sites' pages, foreign names, strangers without the token, clients that dawdle."""

from __future__ import annotations

import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from browsing import CHANGES, Web, picture
from process import NUMBERED, organizer

REJECT = {"kind": "undo"}


def connect(web: Web) -> socket.socket:
    place = urlsplit(web.address)
    return socket.create_connection(("127.0.0.1", place.port or 0), timeout=30)


def test_a_foreign_name_pointed_at_this_machine_is_refused(web: Web) -> None:
    for host, status in [("evil.example", 403), ("evil.example:8765", 403), ("localhost:1", 200), ("[::1]:8765", 200)]:
        assert web.client.get("/api/status", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {},
        CHANGES | {"Origin": "http://evil.example"},
        CHANGES | {"Origin": "null"},
        CHANGES | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_another_sites_page_can_change_nothing(web: Web, headers: dict[str, str]) -> None:
    with httpx.Client(base_url=web.address) as stranger:
        refused = stranger.post("/api/decisions", json=REJECT, headers=headers)

    assert refused.status_code == 403
    assert refused.json()["error"]
    assert web.get("/api/decisions")["total"] == 0


def test_our_own_page_may_change_things_and_no_other_may_look(web: Web) -> None:
    ours = web.client.post("/api/decisions", json=REJECT, headers={"Origin": web.address})
    looking = web.client.get("/api/faces/1/thumbnail", headers={"Sec-Fetch-Site": "cross-site"})
    asked = web.client.options("/api/decisions", headers={"Origin": "http://evil.example"})

    assert ours.status_code == 409  # there is nothing to undo
    assert looking.status_code == 403
    assert "access-control-allow-origin" not in {*asked.headers, *ours.headers}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One that other machines may reach."""
    found = Web(tmp_path_factory.mktemp("guarded"), listen="0.0.0.0:0", headers={})
    yield found
    found.close()


def test_from_other_machines_a_token_is_needed(guarded: Web) -> None:
    file = Path(guarded.daemon.events("web_token")[0]["file"])
    token = {"Authorization": f"Bearer {file.read_text().strip()}"}

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert guarded.client.get("/health").status_code == 200
    for path in ("/api/status", "/api/people", "/api/events", "/docs", "/openapi.json", "/metrics"):
        refused = guarded.client.get(path)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert guarded.client.get("/api/status", headers={"Authorization": "Bearer guessed"}).status_code == 401
    assert guarded.client.get("/api/status", headers=token).status_code == 200
    assert guarded.client.get("/api/status", headers=token | {"Host": "photos.example"}).status_code == 200
    assert guarded.client.post("/api/decisions", headers=token, json=REJECT).status_code == 409


def test_a_cookie_takes_the_tokens_place_but_changes_nothing_by_itself(guarded: Web) -> None:
    token = Path(guarded.daemon.events("web_token")[0]["file"]).read_text().strip()
    with httpx.Client(base_url=guarded.address) as browser:
        wrong = browser.post("/api/session", json={"token": "guessed"}, headers=CHANGES)
        right = browser.post("/api/session", json={"token": token}, headers=CHANGES)

        assert (wrong.status_code, right.status_code) == (401, 204)
        assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in right.headers["set-cookie"].split(";")}
        assert token not in right.headers["set-cookie"]
        assert browser.get("/api/people").status_code == 200
        assert browser.post("/api/decisions", json=REJECT).status_code == 403
        assert browser.post("/api/decisions", json=REJECT, headers=CHANGES).status_code == 409


def test_an_address_that_is_taken_and_a_token_that_is_short_are_refused_at_the_start(tmp_path: Path, web: Web) -> None:
    (tmp_path / "token").write_text("short\n")
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[web]\ntoken_file = "{tmp_path}/token"\n')
    folders = ("--inbox", tmp_path / "inbox", "--library", tmp_path / "library")

    for options, sentence in [
        (("--web", web.address.removeprefix("http://")), "choose another"),
        (("--web", "127.0.0.1:0", "--config", settings), "too short"),
    ]:
        assert sentence in organizer("run", *folders, *options, expect=2, command=NUMBERED).stderr


def test_headers_without_end_are_refused_and_a_body_without_a_form_is_read_no_further(web: Web) -> None:
    with closing(connect(web)) as line:
        line.sendall(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 60_000)
        assert b"400" in line.recv(100)
    large = web.client.post("/api/decisions", content=b"[" * 2_000_000, headers={"Content-Type": "application/json"})
    assert (large.status_code, large.json()["error"]) == (413, "more than the allowed 1.0 MB")
    refused = web.client.post("/api/images", content=b"x" * 100, headers={"Content-Type": "image/png"})
    assert refused.status_code == 415


def test_nobody_who_dawdles_keeps_the_daemon_from_ending(open_web: Callable[..., Web]) -> None:
    web = open_web()
    sent = web.post("/api/images", files={"image": ("large.png", picture(3) + bytes(20_000_000), "image/png")})
    lines = [connect(web) for _ in range(4)]
    lines[0].sendall(b"GET /api/status HT")
    lines[1].sendall(b"POST /api/images HTTP/1.1\r\nHost: localhost\r\nX-Face-Organizer: 1\r\n")
    lines[1].sendall(b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n--b")
    lines[2].sendall(f"GET /api/images/{sent['image_id']}/file HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    lines[3].sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for line in lines[2:]:
        assert b"200 OK" in line.recv(64)  # and nothing more is taken

    code = web.daemon.end(signal.SIGTERM)

    assert code == 0
    (stopping,), (stopped,) = web.daemon.events("stopping"), web.daemon.events("stopped")
    assert (moment(stopped) - moment(stopping)).total_seconds() < 20
    assert not web.daemon.events("request_failed") + web.daemon.events("web_trouble") + web.daemon.events("text")
    for line in lines:
        line.close()


def moment(line: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(line["timestamp"])
