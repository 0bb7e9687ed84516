"""What happens, as it happens: Server-Sent Events.

Room:    web (talks)
Imports: clerks, served, fastapi, stdlib

Each listener looks at the lines by itself, a few times a second, so that whoever tells of something waits for nobody.
One that takes nothing is dropped (guard.py); one that was away for longer than lines are kept hears `lost` first.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from face_organizer.web.clerks import BusyError
from face_organizer.web.served import Line, Served

LISTENERS_MAX = 32
LOOK_S = 0.2
AT_ONCE = 200
ALIVE_S = 15.0
"""After so long without a line an empty one is sent: whoever sits in between must not take the stream for dead."""

STREAM: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


def stream_routes(served: Served, is_closing: Callable[[], bool]) -> APIRouter:
    routes = APIRouter()
    listeners = 0

    async def lines(since: int) -> AsyncIterator[str]:
        nonlocal listeners
        listeners += 1
        try:
            yield f"retry: 2000\nid: {since}\nevent: listening\ndata: {{}}\n\n"
            silent_s = 0.0
            while not is_closing():
                found, lost = served.told.since(since, AT_ONCE)
                if lost:
                    since = found[0].number - 1 if found else served.told.last
                    yield f"id: {since}\nevent: lost\ndata: {{}}\n\n"
                if found:
                    since, silent_s = found[-1].number, 0.0
                    yield "".join(map(_as_event, found))
                elif silent_s >= ALIVE_S:
                    silent_s = 0.0
                    yield ": still here\n\n"
                if len(found) < AT_ONCE:
                    await asyncio.sleep(LOOK_S)
                    silent_s += LOOK_S
        finally:
            listeners -= 1

    @routes.get("/events", tags=["look"], response_class=StreamingResponse, responses=STREAM)
    async def events(last_event_id: Annotated[str | None, Header()] = None) -> StreamingResponse:
        """What the log says, line by line, from now on or from Last-Event-ID on: image_enrolled, image_placed,
        recluster_finished, decision_made, ... `lost`: lines in between are gone, look at everything anew."""
        if listeners >= LISTENERS_MAX:
            raise BusyError(f"{LISTENERS_MAX} listen already")
        known = (last_event_id or "").strip()
        since = int(known) if known.isdecimal() and len(known) <= 18 else served.told.last
        return StreamingResponse(lines(since), media_type="text/event-stream")

    return routes


def _as_event(line: Line) -> str:
    fields = json.dumps(line.fields, default=str)  # in ASCII: a name that is not UTF-8 is no trouble
    return f"id: {line.number}\nevent: {line.event}\ndata: {fields}\n\n"
