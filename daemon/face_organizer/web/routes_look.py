"""Routes that look: status, people, faces, images, decisions, runs. They change nothing.

Room:    web (talks)
Imports: clerks, models, served, errors, fastapi, stdlib
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query

from face_organizer.errors import RequestError
from face_organizer.web.clerks import Clerks
from face_organizer.web.models import (
    ID_MAX,
    Decisions,
    FaceExplained,
    Faces,
    FacesOfNobody,
    Image,
    Images,
    OnePerson,
    People,
    Quarantine,
    Run,
    Runs,
)
from face_organizer.web.served import Served

Offset = Annotated[int, Query(ge=0, le=ID_MAX)]
Limit = Annotated[int, Query(ge=1, le=500)]
AnId = Annotated[int, Path(ge=1, le=ID_MAX)]


def look_routes(served: Served, clerks: Clerks) -> APIRouter:
    """Everything below /api that only looks."""
    routes = APIRouter()
    for add in (_people, _images, _history, _to_come):
        add(routes, served, clerks)
    return routes


def _people(routes: APIRouter, served: Served, clerks: Clerks) -> None:
    calls = served.calls

    @routes.get("/status", tags=["look"])
    async def status() -> dict[str, Any]:
        """How it stands: counts, queues, threads, the last re-clustering."""
        return await clerks.ask("look", calls["status"])

    @routes.get("/people", tags=["people"])
    async def people(query: str = "", everybody: bool = False, offset: Offset = 0, limit: Limit = 100) -> People:
        """Everybody who has a face, most faces first. query: whose name holds it. everybody: hidden persons too."""
        return await clerks.ask("look", calls["crowd"], query, everybody, offset, limit)

    @routes.get("/people/{person_id}", tags=["people"])
    async def person(person_id: AnId) -> OnePerson:
        """One person; of one who was merged, the one who took over."""
        return await clerks.ask("look", calls["person"], person_id)

    @routes.get("/people/{person_id}/faces", tags=["people"])
    async def faces(
        person_id: AnId,
        order: Literal["similarity", "newest"] = "similarity",
        offset: Offset = 0,
        limit: Limit = 100,
    ) -> Faces:
        """A person's faces: the most similar first, so that intruders come last; or the newest first."""
        call = _built(calls, "faces_of")
        return await clerks.ask("look", call, person=str(person_id), order=order, offset=offset, limit=limit)


def _images(routes: APIRouter, served: Served, clerks: Clerks) -> None:
    calls = served.calls

    @routes.get("/outliers", tags=["faces"])
    async def outliers(offset: Offset = 0, limit: Limit = 100) -> FacesOfNobody:
        """The faces that belong to nobody (yet), the newest first."""
        return await clerks.ask("look", calls["outliers"], offset, limit)

    @routes.get("/no_face", tags=["images"])
    async def no_face(offset: Offset = 0, limit: Limit = 100) -> Images:
        """The images without a usable face, the newest first."""
        return await clerks.ask("look", calls["no_face"], offset, limit)

    @routes.get("/quarantine", tags=["images"])
    async def quarantine(offset: Offset = 0, limit: Limit = 100) -> Quarantine:
        """The files that could not be used, and why, the newest first."""
        return await clerks.ask("look", calls["quarantine"], offset, limit)

    @routes.get("/faces/{face_id}", tags=["faces"])
    async def face(face_id: AnId) -> FaceExplained:
        """One face, whose it is and why."""
        return await clerks.ask("look", calls["face"], face_id)

    @routes.get("/images/{image_id}", tags=["images"])
    async def image(image_id: AnId) -> Image:
        """One image, its faces and its files."""
        return await clerks.ask("look", calls["image"], image_id)


def _history(routes: APIRouter, served: Served, clerks: Clerks) -> None:
    calls = served.calls

    def page(call: Callable[..., list[Any]], offset: int, limit: int) -> tuple[int, list[Any]]:
        found = call()[::-1]
        return len(found), found[offset : offset + limit]

    @routes.get("/decisions", tags=["decisions"])
    async def decisions(offset: Offset = 0, limit: Limit = 100) -> Decisions:
        """Every decision, the newest first."""
        total, rows = await clerks.ask("look", page, calls["history"], offset, limit)
        return Decisions(total=total, decisions=rows)

    @routes.get("/runs", tags=["runs"])
    async def runs(offset: Offset = 0, limit: Limit = 100) -> Runs:
        """Every re-clustering, the newest first."""
        total, rows = await clerks.ask("look", page, calls["runs"], offset, limit)
        return Runs(total=total, runs=rows)

    @routes.get("/runs/{run_id}", tags=["runs"])
    async def run(run_id: AnId) -> Run:
        """One re-clustering: what it moved from whom to whom, and what became of persons."""
        return await clerks.ask("look", calls["run"], run_id)

    @routes.get("/proposal", tags=["runs"])
    async def proposal() -> Run | None:
        """The re-clustering that waits to be applied, in full; null if none does."""
        waiting = await clerks.ask("look", calls["proposal"])
        return await clerks.ask("look", calls["run"], waiting["run_id"]) if waiting else None


def _to_come(routes: APIRouter, served: Served, clerks: Clerks) -> None:
    calls = served.calls

    @routes.get("/review", tags=["look"])
    async def review(limit: Limit = 50) -> list[dict[str, Any]]:
        """What is worth asking a human: likely same persons and likely intruders, most faces put right first."""
        return await clerks.ask("look", _built(calls, "review"), limit=limit)

    @routes.get("/report", tags=["look"])
    async def report(limit: Limit = 24, now: bool = False) -> dict[str, Any]:
        """How far the sorting can be trusted: what is surely wrong, what may be, what changed, what is covered. limit:
        at most so many of each kind. now: look everything over, though that was done a little while ago."""
        return await clerks.ask("look", _built(calls, "report"), shown=limit, now=now)

    @routes.get("/map", tags=["look"])
    async def map_() -> dict[str, Any]:
        """Where persons lie to one another, in two dimensions, for looking at."""
        return await clerks.ask("look", _built(calls, "map"))


def _built(calls: Any, name: str) -> Callable[..., Any]:
    """A call that may not be there."""
    if name not in calls:
        raise RequestError(f"not there yet: this version has no {name}")
    call: Callable[..., Any] = calls[name]
    return call
