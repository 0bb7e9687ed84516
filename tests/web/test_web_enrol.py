"""Images that are sent: the answer says in the same request whose faces they show."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from browsing import Web, picture
from process import as_json, files_below


def send(web: Web, content: bytes, name: str = "new.png", expect: int = 200, **more: Any) -> Any:
    return web.post("/api/images", expect, files={"image": (name, content, "image/png")}, data=more)


@pytest.fixture(scope="module")
def home(web: Web) -> Web:
    """The shared library: what is sent adds to it, and nobody counts."""
    return web


def test_the_answer_says_who_it_is_and_where_it_lies(home: Web) -> None:
    sent = send(home, picture(4, number=1001), "album\\Ada & Co.png")

    (face,) = sent["faces"]
    assert (face["person_id"], face["person"], face["reason"]) == (2, "person_0002", "joined")
    assert face["similarity"] > 0.5
    assert sent["duplicate"] is False
    assert Path(sent["placed"]).relative_to(home.library) == Path("person_0002/Ada & Co.png")
    assert Path(sent["placed"]).read_bytes() == picture(4, number=1001)
    assert home.get(f"/api/faces/{face['face_id']}")["image_id"] == sent["image_id"]


def test_the_same_content_again_is_a_duplicate_with_the_same_faces(home: Web) -> None:
    first = send(home, picture(3, number=1002), "one.png")
    again = send(home, picture(3, number=1002), "two.png")

    assert (first["duplicate"], again["duplicate"]) == (False, True)
    assert again["image_id"] == first["image_id"]
    assert [face["face_id"] for face in again["faces"]] == [face["face_id"] for face in first["faces"]]


def test_many_at_once_under_one_name_are_all_taken_in(home: Web) -> None:
    with ThreadPoolExecutor(8) as senders:
        sent = list(senders.map(lambda number: send(home, picture(3, number=number)), range(2000, 2012)))

    assert len({each["image_id"] for each in sent}) == 12
    assert len({each["placed"] for each in sent}) == 12
    assert all(Path(each["placed"]).is_file() for each in sent)
    assert files_below(home.inbox) == []


def test_what_is_no_image_is_refused_and_leaves_nothing(home: Web) -> None:
    before = files_below(home.library)

    assert "not an image we read" in send(home, b"Dear Sir", expect=422)["error"]
    assert "empty" in send(home, b"", expect=422)["error"]
    assert "cannot be the name" in send(home, picture(3), ".hidden", expect=409)["error"]
    assert "cannot be the name" in send(home, picture(3), "half.part", expect=409)["error"]
    assert "one image" in home.post("/api/images", 422, files={"picture": ("x.png", b"x")})["error"]
    assert files_below(home.library) == before
    assert files_below(home.inbox) == []


def test_a_damaged_image_gets_its_verdict_at_once_and_goes_to_quarantine(home: Web) -> None:
    damaged = picture(3, number=1003)[:-30]

    refused = send(home, damaged, "cut.png", expect=422)

    assert "truncated PNG" in refused["error"]
    assert (home.library / "quarantine" / "cut.png").read_bytes() == damaged


def test_what_is_too_large_is_refused_before_it_is_read(open_web: Callable[..., Web], tmp_path: Path) -> None:
    settings = tmp_path / "small.toml"
    settings.write_text('placement = "copy"\n[watch]\nsize_max_bytes = 100_000\n')
    web = open_web("--config", settings)

    large = picture(3) + bytes(150_000)
    larger = picture(3) + bytes(1_500_000)
    fits = send(web, picture(3), "fits.png")

    assert "0.1 MB" in send(web, large, expect=413)["error"]
    assert "0.1 MB" in send(web, larger, expect=413)["error"]
    assert fits["placed"].endswith("outliers/fits.png")
    assert (web.inbox / "fits.png").read_bytes() == picture(3)

    settings.write_text('placement = "copy"\n')
    web.daemon.process.send_signal(signal.SIGHUP)
    web.daemon.wait_for("config_reloaded")
    assert send(web, large, "large.png")["placed"].endswith("/large.png")
    assert as_json("check", "--library", web.library)["findings"] == []
