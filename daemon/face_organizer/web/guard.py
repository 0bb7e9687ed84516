"""Who may ask what: hosts, tokens, other people's pages, and how much and how slowly.

Room:    web (talks)
Imports: stdlib, starlette

Outermost, around everything. Pages of other hosts reach a browser's loopback too, so that "only this machine" is not
enough: the Host must be ours (else a foreign name was pointed at us), every POST needs a header that no
foreign page can send unasked, and a browser that says a request comes from elsewhere is believed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "face_organizer"
CHANGING = "x-face-organizer"
OPEN_TO_ALL = re.compile(r"/(health|api/session|static/[^?]*)?")
"""What needs no token: the page itself, which asks for it, and what says whether all is well."""

FORM_BYTES = 1 << 20
"""What a form may add to the file in it."""

SILENCE_S = 30.0
"""A client may send or take nothing for so long."""

SECURITY = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class House:
    """Who we are. hosts: names that we answer to; empty: to any (there is a token then). token: "" for none.
    file_max_bytes(): of one that is sent, now."""

    hosts: frozenset[str]
    token: str
    file_max_bytes: Callable[[], int]

    @property
    def cookie(self) -> str:
        """What a browser keeps in the token's place."""
        return hmac.new(self.token.encode(), b"face-organizer cookie", hashlib.sha256).hexdigest()

    def is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())


class Guard:
    """ASGI around ASGI. admit(): waits until there is time for another request."""

    def __init__(self, app: ASGIApp, house: House, admit: Callable[[], Awaitable[None]]) -> None:
        self._app, self._house, self._admit = app, house, admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        send = _patient(_with_security(send))
        if refusal := self._refusal(scope, headers):
            status, sentence = refusal
            more = {"www-authenticate": "Bearer"} if status == 401 else {}
            more |= {"connection": "close"} if status == 413 else {}
            await JSONResponse({"error": sentence, "kind": "RefusedError"}, status, more)(scope, receive, send)
            return
        if scope["path"] != "/health":
            await self._admit()
        await self._app(scope, _bounded(receive, _bound(headers, self._house.file_max_bytes())), send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Status and sentence, None if the request may pass."""
        host, house = _host(headers.get("host", "")), self._house
        if house.hosts and host not in house.hosts:
            return 403, f"the host {host[:100]!r} is not ours: ask for {' or '.join(sorted(house.hosts))}"
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return 403, "another site's page asked for this"
        by_bearer = house.token != "" and self._has_bearer(headers)
        if house.token and not (by_bearer or self._has_cookie(headers) or OPEN_TO_ALL.fullmatch(scope["path"])):
            return 401, "a token is needed: the file that the setting web.token_file (or the log) names holds it"
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            origin = headers.get("origin")
            if origin is not None and (urlsplit(origin).netloc or "-") != headers.get("host"):
                return 403, "another site's page asked for a change"
            if not by_bearer and CHANGING not in headers:
                return 403, "a POST needs the header X-Face-Organizer: 1, or a bearer token (docs/http.md)"
        length = headers.get("content-length", "0")
        bytes_max = _bound(headers, house.file_max_bytes())
        if length.isdecimal() and int(length) > bytes_max + FORM_BYTES:
            return 413, too_large(bytes_max)
        return None

    def _has_bearer(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self._house.is_token(given.strip())

    def _has_cookie(self, headers: Headers) -> bool:
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        given = cookies[COOKIE].value if COOKIE in cookies else ""
        return hmac.compare_digest(given.encode(), self._house.cookie.encode())


def _host(header: str) -> str:
    """Without its port; "::1" of "[::1]:8765"."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return header


def _bound(headers: Headers, file_max_bytes: int) -> int:
    """Of a body, beside FORM_BYTES: a form holds files, nothing else has any."""
    return file_max_bytes if headers.get("content-type", "").startswith("multipart/form-data") else 0


def too_large(bytes_max: int) -> str:
    """bytes_max: of the files in it."""
    of = f"{bytes_max / 1e6:,.1f} MB (watch.size_max_bytes)" if bytes_max else f"{FORM_BYTES / 1e6:,.1f} MB"
    return f"more than the allowed {of}"


def _bounded(receive: Receive, file_max_bytes: int) -> Receive:
    """The body, up to so many bytes, and none of it waited for longer than SILENCE_S."""
    taken, whole = 0, False

    async def take() -> Message:
        nonlocal taken, whole
        if whole:  # from now on only the end of the connection is waited for
            return await receive()
        try:
            async with asyncio.timeout(SILENCE_S):
                message = await receive()
        except TimeoutError as error:
            raise HTTPException(408, "the rest of the request did not come", {"connection": "close"}) from error
        taken += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if taken > file_max_bytes + FORM_BYTES:
            raise HTTPException(413, too_large(file_max_bytes), {"connection": "close"})
        return message

    return take


def _patient(send: Send) -> Send:
    """Who takes nothing for SILENCE_S has left."""

    async def give(message: Message) -> None:
        try:
            async with asyncio.timeout(SILENCE_S):
                await send(message)
        except TimeoutError as error:
            raise OSError("the client takes nothing") from error

    return give


def _with_security(send: Send) -> Send:
    async def give(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return give
