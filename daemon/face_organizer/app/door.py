"""The door for browsers and other programs: the web server over an organizer, while the daemon runs.

Room:    app (wires)
Imports: adapters, pipeline, organizer, web (only when it is on), names
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from socket import socket
from threading import Event
from typing import TYPE_CHECKING

from face_organizer.adapters.listening import listening_on
from face_organizer.adapters.private import write_private
from face_organizer.adapters.systemd import passed_socket, passed_sockets
from face_organizer.app.organizer import Organizer
from face_organizer.config import LOOPBACK, Config, host_and_port
from face_organizer.errors import ConfigError
from face_organizer.pipeline.pulse import AT_LENGTH, beat
from face_organizer.pipeline.service import Service
from face_organizer.ports import Log

if TYPE_CHECKING:
    from face_organizer.web.server import WebServer

SHARE = 0.04
"""Of each processor: what looking may take while images are on their way."""


def refuse_taken(config: Config, number: int) -> None:
    """Where a new library would get no address for its page, say so before anything is made. Raises ConfigError."""
    if config.web.listen and not config.state_path.exists():  # whoever owns a library that is there comes first
        _listening(config, number).close()


def _listening(config: Config, number: int) -> socket:
    """The socket that systemd listens on, else one of our own."""
    if passed_sockets():
        if number >= passed_sockets():
            raise ConfigError(
                f"systemd listens on {passed_sockets()} sockets, too few for the page of every library: add a"
                " ListenStream= to face-organizer.socket"
            )
        return passed_socket(number)
    host, port = host_and_port(config.web.listen)
    return listening_on(host, port + number if port else 0)  # 0: any that is free


class Door:
    """Closed (and free of cost) where web.listen is "". start(), stop() before the organizer's, close() after it.

    number: of the library in its process; its port is so much further on than web.listen says.
    """

    def __init__(self, organizer: Organizer, config: Config, log: Log, number: int = 0) -> None:
        """Raises ConfigError where the address cannot be had, or the extra [web] is not installed."""
        self._organizer, self._config, self._log, self.number = organizer, config, log, number
        self._server: WebServer | None = self._made() if config.web.listen else None
        self._service = Service("web", self._run, organizer.pulses) if self._server else None

    @property
    def failure(self) -> BaseException | None:
        return self._service.failure if self._service else None

    def start(self) -> None:
        if self._service is not None and self._server is not None:
            self._service.start()
            self._log.info("web_ready", address=self._server.address)

    def stop(self) -> None:
        """Let nobody in any more, and end what can be ended at once. Doing it twice changes nothing."""
        if self._service is not None:
            self._service.stop()

    def close(self) -> None:
        """Wait for the calls that the organizer's end has ended."""
        if self._server is not None:
            self._server.close()

    def _run(self, stop: Event) -> None:
        assert self._server is not None
        self._server.run(stop, beat)

    def _made(self) -> WebServer:
        try:
            from face_organizer.web.served import Served
            from face_organizer.web.server import WebServer
        except ImportError as error:
            raise ConfigError(
                f"web.listen needs the extra [web] ({error}): pip install 'face-organizer[web]'"
            ) from error
        organizer = self._organizer
        pulses = organizer.pulses
        served = Served(
            calls={name: pulses.watched(f"web {name}", call, AT_LENGTH) for name, call in organizer.calls().items()},
            pictures=organizer.pictures,
            told=organizer.told,
            enrol=organizer.enrol,
            health=self._problems,
            busy=organizer.is_busy,
            figures=organizer.figures,
            file_max_bytes=lambda: organizer.config.watch.size_max_bytes,
        )
        listening = _listening(self._config, self.number)
        token = self._token(needed=listening.getsockname()[0] not in LOOPBACK)
        share = SHARE * len(os.sched_getaffinity(0))
        return WebServer(served, listening, token, share, self._log)

    def _token(self, *, needed: bool) -> str:
        """The token, made where there is none yet; "" where none is needed."""
        named = self._config.web.token_file
        if not needed and not named:
            return ""
        path = Path(named).expanduser() if named else self._config.state_path / "web-token"
        try:
            if not named and not path.exists():
                write_private(path, secrets.token_urlsafe(32).encode() + b"\n")
            token = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the token in {path} (web.token_file): {error}") from error
        if len(token) < 16:
            raise ConfigError(f"the token in {path} (web.token_file) is too short: 16 characters at least")
        self._log.info("web_token", file=str(path))
        return token

    def _problems(self) -> list[str]:
        failure = self._organizer.failure()
        hung = self._organizer.hung(self._config.flow.hung_after_s)
        return [f"{each.thread} hangs" for each in hung] + (["a thread has died"] if failure else [])
