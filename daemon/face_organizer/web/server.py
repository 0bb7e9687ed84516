"""The web server: a socket, an event loop in a thread of its own, and an end to it.

Room:    web (talks)
Imports: clerks, guard, application, served, config, ports, uvicorn, stdlib
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from socket import socket
from time import monotonic, thread_time
from typing import Any, Protocol

import uvicorn

from face_organizer.config import LOOPBACK
from face_organizer.ports import Log
from face_organizer.web.application import web_application
from face_organizer.web.clerks import Budget, Clerks
from face_organizer.web.guard import House
from face_organizer.web.served import Served

CONNECTIONS_MAX = 256
HEADER_BYTES_MAX = 32_768
IDLE_S = 15.0
"""A connection may be without a whole request for so long."""

GRACE_S = 3.0
"""When told to stop, so long is waited for answers under way."""

TICK_S = 0.1


class Flag(Protocol):
    """threading.Event, as far as we use it."""

    def is_set(self) -> bool: ...


class WebServer:
    """Serves while run() runs. listening: a bound TCP socket, ours from now on. share: so many processors may be taken
    by requests while images are on their way."""

    def __init__(self, served: Served, listening: socket, token: str, share: float, log: Log) -> None:
        self._log = log
        self._closing = False
        self._socket = listening
        host, port = listening.getsockname()[:2]
        self._budget = Budget(share, at_once_s=0.75, clock=monotonic)
        self._clerks = Clerks(self._budget)
        house = House(LOOPBACK if host in LOOPBACK else frozenset(), token, served.file_max_bytes)
        app = web_application(served, self._clerks, self._budget, house, log, lambda: self._closing)
        self._server = uvicorn.Server(_settings(app))
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{port}"

    def run(self, stop: Flag, beat: Callable[[], None]) -> None:
        """Serve until stop; then end streams, and let go of the address. beat(): the loop gets on."""
        logging.getLogger("uvicorn.error").addHandler(logging.NullHandler())
        try:
            asyncio.run(self._serve(stop, beat))
        finally:
            self._clerks.dismiss()
            self._socket.close()

    def close(self) -> None:
        """Wait for the calls that are still running; after run(), or instead of it."""
        self._clerks.close()
        self._socket.close()

    async def _serve(self, stop: Flag, beat: Callable[[], None]) -> None:
        asyncio.get_running_loop().set_exception_handler(self._trouble)
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        idle_since: dict[Any, float] = {}
        spent_s = thread_time()
        while not serving.done():
            await asyncio.sleep(TICK_S)
            beat()
            self._budget.spend(thread_time() - spent_s)
            spent_s = thread_time()
            idle_since = self._drop_idle(idle_since)
            if stop.is_set():
                self._closing = self._server.should_exit = True
        await serving

    def _drop_idle(self, since: dict[Any, float]) -> dict[Any, float]:
        """Close connections that make no use of their being there: uvicorn waits for a first request for ever."""
        now = monotonic()
        idle = {each: since.get(each, now) for each in self._server.server_state.connections if _is_idle(each)}
        for connection, began in idle.items():
            if now - began > 2 * IDLE_S:  # closing needs somebody who takes what is left
                connection.transport.abort()
            elif now - began > IDLE_S:
                connection.transport.close()
        return idle

    def _trouble(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError):  # somebody left
            self._log.error("web_trouble", problem=str(context.get("message")), exc_info=error)


def _is_idle(connection: Any) -> bool:
    cycle = connection.cycle
    return cycle is None or cycle.response_complete or connection.transport.is_closing()


def _settings(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=logging.CRITICAL,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        backlog=128,
        timeout_keep_alive=int(IDLE_S),
        timeout_graceful_shutdown=int(GRACE_S),
        h11_max_incomplete_event_size=HEADER_BYTES_MAX,
    )
