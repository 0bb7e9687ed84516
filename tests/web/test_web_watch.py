"""For whoever watches: what happens as it happens, and figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
from browsing import Web, picture
from prometheus_client.parser import text_string_to_metric_families


def events(lines: Iterator[str]) -> Iterator[tuple[str, str, Any]]:
    """(id, event, fields) of each."""
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(": ")
        if line == "" and "event" in found:
            yield found["id"], found["event"], json.loads(found["data"])
            found = {}
        found[key] = value


def until(name: str, lines: Iterator[tuple[str, str, Any]]) -> tuple[str, Any, list[str]]:
    before = []
    for number, event, fields in lines:
        if event == name:
            return number, fields, before
        before.append(event)
    raise AssertionError(f"no {name} after {before}")


def send(web: Web, *people: int, number: int) -> Any:
    return web.post("/api/images", files={"image": (f"{number}.png", picture(*people, number=number), "image/png")})


def test_whoever_listens_hears_of_images_decisions_and_runs(web: Web) -> None:
    with web.client.stream("GET", "/api/events") as stream:
        heard = events(stream.iter_lines())
        assert stream.headers["content-type"].startswith("text/event-stream")
        until("listening", heard)
        sent = send(web, 3, number=501)
        number, fields, _ = until("image_enrolled", heard)
        until("image_placed", heard)
        web.decide(kind="name", person=sent["faces"][0]["person_id"], name="Ada")
        _, decision, _ = until("decision_made", heard)

    assert fields["image_id"] == sent["image_id"]
    assert decision["kind"] == "name"
    with web.client.stream("GET", "/api/events", headers={"Last-Event-ID": number}) as stream:
        _, _, missed = until("decision_made", events(stream.iter_lines()))
    assert missed[0] == "listening"
    assert set(missed[1:]) == {"image_placed"}
    web.decide(kind="undo")


def test_whoever_was_away_too_long_is_told_to_look_anew(web: Web) -> None:
    for number in ("1", "999999999999999999"):
        with web.client.stream("GET", "/api/events", headers={"Last-Event-ID": number}) as stream:
            until("lost", events(stream.iter_lines()))


def test_too_many_listeners_are_refused(web: Web) -> None:
    with httpx.Client(base_url=web.address, limits=httpx.Limits(max_connections=50)) as client:
        streams = [client.send(client.build_request("GET", "/api/events"), stream=True) for _ in range(32)]
        refused = client.get("/api/events")
        for stream in streams:
            stream.close()

    assert refused.status_code == 503
    assert "listen already" in refused.json()["error"]


def test_prometheus_finds_every_figure(web: Web) -> None:
    status = web.get("/api/status")
    response = web.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}

    def figure(name: str, **labels: str) -> float:
        return next(
            sample.value
            for sample in families[f"face_organizer_{name}"].samples
            if labels.items() <= sample.labels.items()
        )

    assert figure("images") == status["images"]
    assert figure("faces") == status["faces"]
    assert figure("queue_length", queue="sink") == 0
    assert figure("taken_in") >= status["images"]
    assert figure("http_requests", route="/api/status", status="200") >= 1
    assert families["face_organizer_device_images"].samples[0].value >= status["images"]
    steps = families["face_organizer_step_seconds"].samples
    assert {sample.labels["step"] for sample in steps} == {"decode", "see", "commit", "place"}
    counted = {sample.labels["step"]: sample.value for sample in steps if sample.name.endswith("_count")}
    assert counted["decode"] >= status["images"]
    routes = {sample.labels["route"] for sample in families["face_organizer_http_request_seconds"].samples}
    assert routes <= {"/api/events", "/api/images", "/api/status", "/api/decisions", "none"}
