"""An answer that a browser keeps, and need not be sent again while it is the same.

Room:    web (talks)
Imports: fastapi, stdlib
"""

from __future__ import annotations

import hashlib

from fastapi import Response


def tagged(content: bytes, kind: str, cache_control: str, known: str | None) -> Response:
    """known: the If-None-Match that came with the request."""
    headers = {"etag": f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"', "cache-control": cache_control}
    if known is not None and headers["etag"] in known:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)
