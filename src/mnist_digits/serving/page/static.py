"""Files that are sent as they are: the page, and the description of the API to read and to try."""

import importlib.util
import mimetypes
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, HTMLResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from mnist_digits.serving.middleware import POLICY

WEB = Path(__file__).parent / "web"
"""The page."""

# Some systems say that scripts are plain text, and browsers then refuse them.
mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("text/javascript", ".mjs")

DESCRIPTION = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>MNIST Digits: the API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});\n'
DESCRIPTION_POLICY = POLICY.replace("img-src", "style-src 'self' 'unsafe-inline'; img-src")
"""Swagger UI writes styles into its elements."""


class Page(StaticFiles):
    """The page's files. A browser asks each time whether its copy is still the newest, so no old one is ever shown."""

    def file_response(self, *arguments: object, **named: object) -> Response:
        """The file, or 304."""
        response = super().file_response(*arguments, **named)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


def page() -> ASGIApp:
    """What answers where no other route does: the page's files, smaller where the browser can unpack them."""
    return GZipMiddleware(Page(directory=WEB, html=True), minimum_size=1024)


def add_description(routes: APIRouter) -> None:
    """Add `/docs`, which asks no other server for anything."""
    folder = _swagger_ui()

    async def docs(_: Request) -> Response:
        return HTMLResponse(DESCRIPTION, headers={"Content-Security-Policy": DESCRIPTION_POLICY})

    async def start(_: Request) -> Response:
        return Response(START, media_type="text/javascript")

    routes.add_route("/docs", docs, include_in_schema=False)
    routes.add_route("/docs/start.js", start, include_in_schema=False)
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        routes.add_route(f"/docs/{name}", _file(folder / name), include_in_schema=False)


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    """A route's function that sends a file."""

    async def send(_: Request) -> Response:
        return FileResponse(path, headers={"Cache-Control": "max-age=86400"})

    return send


def _swagger_ui() -> Path:
    """Where the package that brings Swagger UI has its files; it is not imported."""
    found = importlib.util.find_spec("fastapi_offline")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "static"
