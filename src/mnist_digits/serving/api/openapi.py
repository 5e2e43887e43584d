"""How a route of this service is made: documented like any other of FastAPI's, but called directly."""

import importlib.util
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import FileResponse, HTMLResponse

from mnist_digits.serving.middleware import POLICY

JSON = "application/json"


class PlainRoute(APIRoute):
    """A route whose function takes the request and gives the response; it reads and checks the body itself.

    What FastAPI does around other functions takes longer than the network.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The function itself."""
        return self.endpoint


class Error(BaseModel):
    """What was found, what was expected, what to do."""

    error: str


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": Error, "description": "The request is damaged."},
    401: {"model": Error, "description": "No token, or a wrong one."},
    403: {"model": Error, "description": "Another site's page asks."},
    408: {"model": Error, "description": "The body did not come in time."},
    413: {"model": Error, "description": "The body is too large."},
    415: {"model": Error, "description": "The body is of a kind that is not taken."},
    421: {"model": Error, "description": "The service does not go by that name."},
    503: {"model": Error, "description": "Too much to do; the header Retry-After says when to come again."},
}
"""What any route that takes a body may answer besides its result."""


def binary_body(*media_types: str) -> dict[str, Any]:
    """Part of OpenAPI's description of a body: bytes of these types."""
    return {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """The same of JSON, as the model has it."""
    return {JSON: {"schema": model.model_json_schema()}}


def body(*contents: dict[str, Any]) -> dict[str, Any]:
    """What FastAPI takes as `openapi_extra` for a body of one of these contents."""
    content = {media_type: schema for one in contents for media_type, schema in one.items()}
    return {"requestBody": {"required": True, "content": content}}


def describe_token(app: FastAPI) -> None:
    """Describe the token in OpenAPI, so that whoever tries the API at /docs may give it."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        description = describe()
        scheme = {"type": "http", "scheme": "bearer", "description": "Where the service was started with a token."}
        description.setdefault("components", {})["securitySchemes"] = {"token": scheme}
        description["security"] = [{"token": []}, {}]
        return description

    app.openapi = described  # type: ignore[method-assign]


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


def add_docs(routes: APIRouter) -> None:
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
