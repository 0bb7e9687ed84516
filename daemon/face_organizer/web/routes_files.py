"""Routes that take files: looking at a photo, search by pictures, and enrolling one.

Room:    web (talks)
Imports: clerks, guard, models, served, errors, fastapi, starlette, stdlib
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from face_organizer.errors import RequestError
from face_organizer.web.clerks import BusyError, Clerks
from face_organizer.web.guard import FORM_BYTES, too_large
from face_organizer.web.models import Enrolled, Hit, Photo
from face_organizer.web.served import Served

PHOTOS_MAX = 32
NAME_MAX = 200


class Wanted(BaseModel):
    """What else a search says. face: which one of each photo, from the left; person: only this one's faces; together:
    numbers or names of persons, separated by commas: only images that show all of them."""

    model_config = ConfigDict(extra="forbid")

    top: int = Field(20, ge=1, le=1000)
    similarity_min: float | None = Field(None, ge=-1, le=1)
    face: int | None = Field(None, ge=1, le=1000)
    person: str = Field("", max_length=1000)
    together: str = Field("", max_length=10_000)


_FILE = {"type": "string", "format": "binary"}


def _form_of(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


SEARCH_FORM = _form_of(
    {"photos": {"type": "array", "items": _FILE, "maxItems": PHOTOS_MAX}, **Wanted.model_json_schema()["properties"]},
    [],
)
LOOK_FORM = _form_of({"photo": _FILE}, ["photo"])
ENROL_FORM = _form_of({"image": _FILE, "name": {"type": "string", "minLength": 1, "maxLength": NAME_MAX}}, ["image"])


class Uploads:
    """Bodies are held in memory, and of all together no more than twice the largest one allowed."""

    def __init__(self, file_max_bytes: Callable[[], int]) -> None:
        self._file_max_bytes = file_max_bytes
        self._held_bytes = 0

    @asynccontextmanager
    async def form(self, request: Request) -> AsyncIterator[FormData]:
        """The form, for as long as it is held. Raises HTTPException, BusyError."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "multipart/form-data":
            raise HTTPException(415, "send a form: multipart/form-data")
        held = 0

        async def chunks() -> Any:
            nonlocal held
            async for chunk in request.stream():
                if self._held_bytes + len(chunk) > 2 * self._file_max_bytes() + FORM_BYTES:
                    raise BusyError("too much is being sent at once: try again in a moment")
                held += len(chunk)
                self._held_bytes += len(chunk)
                yield chunk

        parser = MultiPartParser(request.headers, chunks(), max_files=PHOTOS_MAX, max_fields=16, max_part_size=65_536)
        parser.spool_max_size = 0  # never on a disk that nobody minds
        form = FormData()
        try:
            form = await parser.parse()
            yield form
        except MultiPartException as error:
            raise HTTPException(400, f"not a form: {error.message}") from error
        finally:
            self._held_bytes -= held
            await form.close()


def file_routes(served: Served, clerks: Clerks) -> APIRouter:
    routes, uploads = APIRouter(), Uploads(served.file_max_bytes)

    @routes.post("/search", tags=["search"], openapi_extra=SEARCH_FORM)
    async def search(request: Request) -> list[Hit]:
        """Who looks like the faces in these photos; or, without a photo, which images show some persons together."""
        async with uploads.form(request) as form:
            photos = [await _file(each) for each in form.getlist("photos")]
            wanted = _fields(form)
            together = [each.strip() for each in wanted.together.split(",") if each.strip()]
            if not photos and not together:
                raise HTTPException(422, "say a photo (photos), or who is together (together)")
            contents = [(name, base64.b64encode(content).decode()) for name, content in photos]
            named = wanted.model_dump(exclude={"together"})
            return await clerks.ask("look", served.calls["search"], photos=contents, together=together, **named)

    @routes.post("/look", tags=["search"], openapi_extra=LOOK_FORM)
    async def look(request: Request) -> Photo:
        """The faces in a photo, to choose one to search with. The photo is not kept."""
        async with uploads.form(request) as form:
            if [key for key, _ in form.multi_items()] != ["photo"]:
                raise HTTPException(422, "send one photo")
            name, content = await _file(form["photo"])
            return Photo(**await clerks.ask("look", served.calls["photo"], name, base64.b64encode(content).decode()))

    @routes.post("/images", tags=["images"], openapi_extra=ENROL_FORM)
    async def enrol(request: Request) -> Enrolled:
        """Take an image in, as if it had been dropped into the inbox; the answer says whose faces it shows."""
        async with uploads.form(request) as form:
            if {key for key, _ in form.multi_items()} - {"image", "name"} or len(form.getlist("image")) != 1:
                raise HTTPException(422, "send one image, and a name if you like")
            name, content = await _file(form["image"])
            if "name" in form:
                name = _text(form["name"])
            if len(content) > served.file_max_bytes():
                raise HTTPException(413, too_large(served.file_max_bytes()))
            return Enrolled(**await clerks.ask("enrol", served.enrol, _plain(name), content))

    return routes


async def _file(part: UploadFile | str) -> tuple[str, bytes]:
    if isinstance(part, str):
        raise HTTPException(422, "a file is missing: what was sent in its place is a text")
    return (part.filename or "image")[-NAME_MAX:], await part.read()


def _text(part: UploadFile | str) -> str:
    if not isinstance(part, str):
        raise HTTPException(422, "a text is missing: what was sent in its place is a file")
    return part


def _fields(form: FormData) -> Wanted:
    texts = {key: _text(part) for key, part in form.multi_items() if key != "photos"}
    try:
        return Wanted.model_validate(texts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise HTTPException(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _plain(name: str) -> str:
    """The last part of a name that somebody sent. Raises RequestError."""
    last = name.replace("\\", "/").rpartition("/")[2].strip()
    if not last or last.startswith(".") or len(last.encode("utf-8", "replace")) > NAME_MAX or not last.isprintable():
        raise RequestError(f"{last[:100]!a} cannot be the name of an image")
    return last
