"""Routes for pictures: thumbnails of faces and images, and the files themselves.

Room:    web (talks)
Imports: clerks, routes_look, served, tagged, fastapi, stdlib
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from face_organizer.web.clerks import Clerks
from face_organizer.web.routes_look import AnId
from face_organizer.web.served import File, Served
from face_organizer.web.tagged import tagged

Side = Annotated[int, Query(ge=16, le=2048, description="px; the next larger of a few sides is made")]
Make = Callable[[int, int], bytes]
Known = Annotated[str | None, Header(alias="if-none-match", include_in_schema=False)]

KEPT = "private, max-age=600"
"""In a browser. No longer: somebody who is forgotten should be gone from there, too."""

CHUNK_BYTES = 1 << 18
JPEG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}, 304: {"description": "as you have it"}}
BYTES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}


def picture_routes(served: Served, clerks: Clerks) -> APIRouter:
    """Everything below /api that is no JSON."""
    routes, pictures = APIRouter(), served.pictures

    async def thumbnail(make: Make, id_: int, side: int, known: str | None) -> Response:
        return tagged(await clerks.ask("pictures", make, id_, side), "image/jpeg", KEPT, known)

    @routes.get("/faces/{face_id}/thumbnail", tags=["faces"], response_class=Response, responses=JPEG)
    async def face_thumbnail(face_id: AnId, side: Side = 160, known: Known = None) -> Response:
        """The face with a margin, square and upright."""
        return await thumbnail(pictures.face, face_id, side, known)

    @routes.get("/images/{image_id}/thumbnail", tags=["images"], response_class=Response, responses=JPEG)
    async def image_thumbnail(image_id: AnId, side: Side = 1024, known: Known = None) -> Response:
        """The whole image, upright, its longer side no longer than about `side`."""
        return await thumbnail(pictures.image, image_id, side, known)

    @routes.get("/images/{image_id}/file", tags=["images"], response_class=StreamingResponse, responses=BYTES)
    async def file(image_id: AnId) -> StreamingResponse:
        """The file itself, untouched."""
        found = await clerks.ask("pictures", pictures.original, image_id)
        name = found.name.encode("utf-8", "backslashreplace").decode()
        headers = {
            "content-length": str(found.size_bytes),
            "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        }
        return StreamingResponse(_chunks(found, clerks), media_type="application/octet-stream", headers=headers)

    return routes


async def _chunks(found: File, clerks: Clerks) -> AsyncIterator[bytes]:
    left = found.size_bytes
    with found.file as file:
        while left and (chunk := await clerks.ask("pictures", file.read, min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
