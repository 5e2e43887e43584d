"""The page's files, and `/page.json`, which tells the page what this service offers."""

import json
import mimetypes
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from mnist_digits.serving.api.openapi import JSON
from mnist_digits.serving.settings import Settings

WEB = Path(__file__).parent / "web"
"""The page."""

# Some systems say that scripts are plain text, and browsers then refuse them.
mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("text/javascript", ".mjs")


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


def add_facts(routes: APIRouter, settings: Settings) -> None:
    """Add `/page.json`: whether there is a `playground`, and whether a `token` is needed. It needs none itself."""
    facts = json.dumps({"playground": settings.playground, "token": settings.token is not None})

    @routes.get("/page.json", include_in_schema=False)
    async def page(_: Request) -> Response:
        return Response(facts, media_type=JSON)
