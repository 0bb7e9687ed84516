"""What is served to browsers: the page's own files, and the interface in words.

Room:    web (talks)
Imports: tagged, fastapi, stdlib

Nothing is loaded from other hosts, the description of the interface (/docs) least of all.
"""

from __future__ import annotations

import mimetypes
from html import escape
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Response
from starlette.exceptions import HTTPException

from face_organizer.web.tagged import tagged

STATIC = Path(__file__).with_name("static")
KINDS = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
Known = Annotated[str | None, Header(alias="if-none-match", include_in_schema=False)]

STYLE = """:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin: 2rem 0 0; font-size: 1rem } code { font-size: .95em } .m { display: inline-block; min-width: 3.5em }
p, ul { margin: .2rem 0 } small { opacity: .75 } a { color: inherit }"""


def site_routes(app: FastAPI) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def page(known: Known = None) -> Response:
        return _file("index.html", known)

    @routes.get("/static/{name:path}")
    async def static(name: str, known: Known = None) -> Response:
        return _file(name, known)

    @routes.get("/docs")
    async def docs() -> Response:
        return Response(described(app.openapi()), media_type="text/html")

    @routes.get("/docs.css")
    async def docs_style() -> Response:
        return Response(STYLE, media_type="text/css")

    return routes


def _file(name: str, known: str | None) -> Response:
    """One of ours: small, and read anew each time, so that a change needs no restart."""
    path = (STATIC / name).resolve()
    if not path.is_relative_to(STATIC) or not path.is_file():
        raise HTTPException(404, f"there is no {name!a} here; /docs describes what there is")
    kind = KINDS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return tagged(path.read_bytes(), kind, "no-cache", known)


def described(spec: dict[str, Any]) -> str:
    """The specification for people, as HTML without scripts."""
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(spec['info']['title'])}</title>",
        "<meta name=viewport content='width=device-width'><link rel=stylesheet href=/docs.css>",
        f"<h1>{escape(spec['info']['title'])}</h1><p>{escape(spec['info'].get('description', ''))}</p>",
        "<p>For programs: <a href=/openapi.json>/openapi.json</a> (OpenAPI).</p>",
    ]
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code><span class=m>{method.upper()}</span>{escape(path)}</code></h2>")
            parts.append(f"<p>{escape(operation.get('description', ''))}</p>")
            parts.append(_list(_parameter(each) for each in operation.get("parameters", ())))
            parts += [_body(kind, spec) for kind in operation.get("requestBody", {}).get("content", {}).items()]
    return "\n".join(parts)


def _list(items: Any) -> str:
    found = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{found}</ul>" if found else ""


def _parameter(parameter: dict[str, Any]) -> str:
    default = parameter["schema"].get("default")
    told = f" = {default}" if default not in (None, "") else ""
    return f"<code>{escape(parameter['name'])}{escape(told)}</code> <small>{escape(parameter['in'])}</small>"


def _body(content: tuple[str, dict[str, Any]], spec: dict[str, Any]) -> str:
    kind, schema = content[0], content[1].get("schema", {})
    forms = schema.get("oneOf", [schema])
    return f"<p><small>{escape(kind)}</small></p>" + _list(_form(_resolved(form, spec)) for form in forms)


def _resolved(schema: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return spec["components"]["schemas"][name] if name else schema


def _form(schema: dict[str, Any]) -> str:
    fields = ", ".join(
        f"{name}={value['const']}" if "const" in value else name for name, value in schema.get("properties", {}).items()
    )
    return f"<code>{escape(fields)}</code> {escape(schema.get('description', ''))}"
