"""Lets a command talk to the daemon that owns the library: one JSON line each way, over a socket in the state folder.

Room:    adapters (touches the control socket)
Owns:    the threads of its server
Imports: errors, msgspec, stdlib

Only the owner of the state folder gets in (folder 0700, socket 0600). Calls go by name to the functions that app/
hands over; an answer is {"value": ...} or {"error": sentence, "kind": class of the error}.
"""

from __future__ import annotations

import os
import socket
import socketserver
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from inspect import signature
from pathlib import Path
from threading import Thread
from typing import Any, get_type_hints

import msgspec

from face_organizer import errors
from face_organizer.errors import FaceOrganizerError, RequestError, StoreError

Calls = Mapping[str, Callable[..., Any]]
SOCKET = "control.sock"


class StrangerError(ConnectionError):
    """The daemon, if there is one, answers its own user only."""


class ControlServer:
    """Answers calls until stop(). Each connection has a thread, for one call."""

    def __init__(self, state_dir: Path, calls: Calls) -> None:
        """Raises StoreError where the socket cannot be made."""
        self._path = state_dir / SOCKET
        try:
            self._path.unlink(missing_ok=True)  # a dead daemon's; whoever is here holds the lock
            with _short_address(state_dir) as address:
                self._server = _Server(address, _handler(calls))
            self._path.chmod(0o600)
        except OSError as error:
            raise StoreError(f"cannot make the socket for commands, {self._path}: {error.strerror}") from error
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="control")

    def start(self, beat: Callable[[], None] = lambda: None) -> None:
        """beat(): called by the thread that lets askers in, ten times a second."""
        self._server.beat = beat
        self._thread.start()

    def stop(self) -> None:
        """Answer what was asked, then close. Doing it twice changes nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        with suppress(OSError):  # the next start removes what stays
            self._path.unlink(missing_ok=True)


def ask(state_dir: Path, call: str, /, **arguments: Any) -> Any:
    """The daemon's answer. Raises ConnectionError when none listens, or only to another user (StrangerError);
    StoreError where this user may not look into the state; whatever error the call ended with; and a RequestError for
    arguments that are no text, whether or not anybody listens."""
    try:
        question = msgspec.json.encode({"call": call, "arguments": arguments}) + b"\n"
    except UnicodeEncodeError as error:
        raise RequestError(f"{error.object!a} is not text in UTF-8") from error
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            with _short_address(state_dir) as address:
                _connect(connection, address)
        except PermissionError as error:
            raise StoreError(
                f"you may not read the library's state in {state_dir}: it is its owner's alone. Run this command as the"
                " user who runs Face Organizer there: sudo -u USER ..."
            ) from error
        except StrangerError:
            raise
        except OSError as error:
            raise ConnectionError(str(error)) from error
        with connection.makefile("rwb") as stream:
            stream.write(question)
            stream.flush()
            line = stream.readline()
    if not line:
        raise FaceOrganizerError("the daemon stopped, or failed, before it could answer; its log says more")
    answer = msgspec.json.decode(line)
    if "error" in answer:
        raise getattr(errors, answer["kind"], FaceOrganizerError)(answer["error"])
    return answer["value"]


def _connect(connection: socket.socket, address: str) -> None:
    try:
        connection.connect(address)
    except PermissionError as error:
        raise StrangerError("the socket for commands is another user's, whether or not anybody listens") from error


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = False
    block_on_close = True
    beat: Callable[[], None]

    def service_actions(self) -> None:
        self.beat()


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """One line from an asker."""

    call: str
    arguments: dict[str, Any] = {}


def _handler(calls: Calls) -> type[socketserver.StreamRequestHandler]:
    known = {name: (call, _arguments_of(name, call)) for name, call in calls.items()}

    class Handler(socketserver.StreamRequestHandler):
        timeout = 30  # of silence on the line, not of the work

        def handle(self) -> None:
            with suppress(OSError):  # the asker left
                if line := self.rfile.readline():
                    self.wfile.write(self._answer(line) + b"\n")

        def _answer(self, line: bytes) -> bytes:
            try:
                request = msgspec.json.decode(line, type=Request)
                if request.call not in known:
                    raise RequestError(f"not a call I know: {request.call!r}")
                call, arguments_of = known[request.call]
                arguments = msgspec.convert(request.arguments, arguments_of)
                value = call(**{name: getattr(arguments, name) for name in arguments.__struct_fields__})
                return msgspec.json.encode({"value": value})
            except FaceOrganizerError as error:
                return msgspec.json.encode({"error": str(error), "kind": type(error).__name__})
            except msgspec.DecodeError as error:  # ValidationError is one
                return msgspec.json.encode({"error": f"not a call I know: {error}", "kind": "RequestError"})

    return Handler


def _arguments_of(name: str, call: Callable[..., Any]) -> type[msgspec.Struct]:
    """What a call takes, from its signature: nothing of another type gets through to it."""
    types = get_type_hints(call)
    fields = []
    for parameter in signature(call).parameters.values():
        kind = types.get(parameter.name, Any)
        default = msgspec.NODEFAULT if parameter.default is parameter.empty else parameter.default
        fields.append((parameter.name, kind, msgspec.field(default=default)))
    return msgspec.defstruct(f"Arguments_of_{name}", fields, kw_only=True, forbid_unknown_fields=True)


@contextmanager
def _short_address(state_dir: Path) -> Iterator[str]:
    """The socket's address through an open folder: a socket's path may have 107 bytes, a folder's 4,096."""
    folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)
