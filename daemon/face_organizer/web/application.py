"""The web application: routes, errors as sentences, and everything around them.

Room:    web (talks)
Imports: clerks, guard, metrics, models, routes_change, routes_files, routes_look, routes_pictures, served, site,
         stream, errors, ports, fastapi, stdlib
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from face_organizer import __version__
from face_organizer.errors import FaceOrganizerError, ItemError, NoRoomError, RequestError
from face_organizer.ports import Log
from face_organizer.web.clerks import Budget, BusyError, Clerks
from face_organizer.web.guard import COOKIE, Guard, House
from face_organizer.web.metrics import Metrics
from face_organizer.web.models import CHOICES, Health, Refused, Session
from face_organizer.web.routes_change import change_routes
from face_organizer.web.routes_files import file_routes
from face_organizer.web.routes_look import look_routes
from face_organizer.web.routes_pictures import picture_routes
from face_organizer.web.served import Served
from face_organizer.web.site import site_routes
from face_organizer.web.stream import stream_routes

STATUS = {BusyError: 503, NoRoomError: 507, ItemError: 422}
ADMIT_S = 0.25
TELLS = """Everything the command line can do, over HTTP. Lists come in pages (offset, limit) and say how many there
are in all (total). What cannot be done is refused with a sentence: {"error": ..., "kind": ...}. Requests that change
something need the header X-Face-Organizer: 1, or a bearer token where one is set."""
REFUSALS: dict[int | str, dict[str, object]] = {
    400: {"model": Refused, "description": "not understood"},
    401: {"model": Refused, "description": "a token is needed"},
    403: {"model": Refused, "description": "asked by another site, or without what a change needs"},
    404: {"model": Refused, "description": "not there"},
    408: {"model": Refused, "description": "the rest of the request did not come"},
    409: {"model": Refused, "description": "cannot be done as things are"},
    413: {"model": Refused, "description": "too large"},
    415: {"model": Refused, "description": "not the kind of content that is wanted"},
    422: {"model": Refused, "description": "makes no sense"},
    503: {"model": Refused, "description": "too many at once: try again"},
    507: {"model": Refused, "description": "a disk is full"},
}


def web_application(
    served: Served, clerks: Clerks, budget: Budget, house: House, log: Log, is_closing: Callable[[], bool]
) -> ASGIApp:
    """Everything, ready to be served. is_closing(): streams end."""
    metrics = Metrics(served.figures)
    app = FastAPI(
        title="Face Organizer",
        version=__version__,
        description=TELLS,
        docs_url=None,
        redoc_url=None,
        responses=REFUSALS,
    )
    api = APIRouter(prefix="/api")
    for routes in (look_routes, picture_routes, change_routes, file_routes):
        api.include_router(routes(served, clerks))
    api.include_router(stream_routes(served, is_closing))
    api.include_router(_session(house))
    app.include_router(api)
    app.include_router(_machines(served, clerks, metrics))
    app.include_router(site_routes(app))
    _tell_errors(app, log)

    async def admit() -> None:
        while served.busy() and (wait_s := budget.wait_s()) and not is_closing():
            await asyncio.sleep(min(wait_s, ADMIT_S))

    return Guard(metrics.around(app), house, admit)


def _session(house: House) -> APIRouter:
    routes = APIRouter()

    @routes.post("/session", tags=["session"], status_code=204, response_class=Response)
    async def begin(session: Session) -> Response:
        """Exchange the token for a cookie: pictures and streams cannot send a header."""
        if house.token and not house.is_token(session.token):
            raise HTTPException(401, "that is not the token")
        response = Response(status_code=204)
        if house.token:
            response.set_cookie(COOKIE, house.cookie, max_age=30 * 86_400, httponly=True, samesite="strict")
        return response

    return routes


def _machines(served: Served, clerks: Clerks, metrics: Metrics) -> APIRouter:
    """For whoever watches over it."""
    routes = APIRouter()

    @routes.get("/health", tags=["watch"], responses={503: {"model": Health}})
    async def health(response: Response) -> Health:
        """200 while every thread gets on, 503 else."""
        problems = served.health()
        response.status_code = 503 if problems else 200
        return Health(ok=not problems, problems=problems)

    @routes.get("/metrics", tags=["watch"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def figures() -> Response:
        """For Prometheus: queues, rates, latencies, people, devices, requests."""
        text = await clerks.ask("look", metrics.text)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes


def _tell_errors(app: FastAPI, log: Log) -> None:
    """Every error is a sentence."""

    def told(status: int, sentence: str, kind: str, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse({"error": sentence, "kind": kind}, status, headers)

    async def ours(request: Request, error: Exception) -> Response:
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
        if isinstance(error, RequestError):
            status = 404 if request.method in ("GET", "HEAD") else 409
        headers = {"retry-after": "1"} if isinstance(error, BusyError) else None
        return told(status, str(error), type(error).__name__, headers)

    async def https(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return told(error.status_code, str(error.detail), "RefusedError", dict(error.headers or {}))

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
        where = where or ("kind" if first["type"] == "union_tag_not_found" else "")
        said = str(first["msg"])
        if first["type"] in ("missing", "union_tag_not_found") and where in CHOICES:
            said = f"say one of {', '.join(CHOICES[where])}"
        return told(422, f"{where}: {said}" if where else said, "ValidationError")

    async def bug(request: Request, error: Exception) -> Response:
        log.error("request_failed", route=f"{request.method} {request.url.path}"[:300], exc_info=error)
        return told(500, "that failed; the log says why", type(error).__name__)

    app.add_exception_handler(FaceOrganizerError, ours)
    app.add_exception_handler(HTTPException, https)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, bug)
