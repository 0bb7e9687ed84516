"""Lets a command talk to the daemon that owns the library: one JSON line each way, over a socket in the state folder.

Room:    adapters (touches the control socket)
Owns:    the threads of its server
Imports: errors, msgspec, stdlib

Only the owner of the state folder gets in (folder 0700, socket 0600). Calls go by name to the functions that app.py
hands over; an answer is {"value": ...} or {"error": sentence, "kind": class of the error}.
"""

from __future__ import annotations

import os
import socket
import socketserver
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec

from face_organizer import errors
from face_organizer.errors import FaceOrganizerError

Calls = Mapping[str, Callable[..., Any]]
SOCKET = "control.sock"


class ControlServer:
    """Answers calls until stop(). Each connection has a thread, for one call."""

    def __init__(self, state_dir: Path, calls: Calls) -> None:
        (state_dir / SOCKET).unlink(missing_ok=True)  # a dead daemon's; whoever is here holds the lock
        with _short_address(state_dir) as address:
            self._server = _Server(address, _handler(calls))
        (state_dir / SOCKET).chmod(0o600)
        self._path = state_dir / SOCKET
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="control")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answer what was asked, then close. Doing it twice changes nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._path.unlink(missing_ok=True)


def ask(state_dir: Path, call: str, /, **arguments: Any) -> Any:
    """The daemon's answer. Raises ConnectionError when none listens, and whatever error the call ended with."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            with _short_address(state_dir) as address:
                connection.connect(address)
        except OSError as error:
            raise ConnectionError(str(error)) from error
        with connection.makefile("rwb") as stream:
            stream.write(msgspec.json.encode({"call": call, "arguments": arguments}) + b"\n")
            stream.flush()
            line = stream.readline()
    if not line:
        raise FaceOrganizerError("the daemon stopped before it could answer; try again")
    answer = msgspec.json.decode(line)
    if "error" in answer:
        raise getattr(errors, answer["kind"], FaceOrganizerError)(answer["error"])
    return answer["value"]


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = False
    block_on_close = True


def _handler(calls: Calls) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        timeout = 30  # of silence on the line, not of the work

        def handle(self) -> None:
            try:
                line = self.rfile.readline()
                if line:
                    self.wfile.write(_answer(calls, line) + b"\n")
            except OSError:
                return  # the asker left

    return Handler


def _answer(calls: Calls, line: bytes) -> bytes:
    try:
        request = msgspec.json.decode(line)
        value = calls[request["call"]](**request["arguments"])
        return msgspec.json.encode({"value": value})
    except FaceOrganizerError as error:
        return msgspec.json.encode({"error": str(error), "kind": type(error).__name__})
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        return msgspec.json.encode({"error": f"not a call I know: {error!r}", "kind": "FaceOrganizerError"})


@contextmanager
def _short_address(state_dir: Path) -> Iterator[str]:
    """The socket's address through an open folder: a socket's path may have 107 bytes, a folder's 4,096."""
    folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)
