"""The description of the API: what routes share in it, the token, and the page `/docs`."""

import importlib.util
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.responses import FileResponse, HTMLResponse

from mnist_digits.serving.middleware import CONTENT_SECURITY_POLICY

JSON, BYTES = "application/json", "application/octet-stream"

DOCS_PAGE = """<!doctype html>
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
DOCS_SCRIPT = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});\n'

# Swagger UI writes styles into its elements.
DOCS_POLICY = CONTENT_SECURITY_POLICY.replace("img-src", "style-src 'self' 'unsafe-inline'; img-src")

DOCS_FILES_HEADERS = {"Cache-Control": "max-age=86400"}


class PlainRoute(APIRoute):
    """A documented route whose function takes the request, reads and checks its body, and returns the response.

    It is called directly: FastAPI's own handling of parameters takes longer than the network.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's function itself."""
        return self.endpoint


EXAMPLES: dict[str, dict[str, Any]] = {}
"""Name of a model → what the description shows of it."""


def example(model: str, content: dict[str, Any]) -> ConfigDict:
    """The configuration of a model that is shown with this content."""
    # FastAPI leaves out every null of an example, and `described` therefore puts it in again.
    EXAMPLES[model] = content
    return ConfigDict(json_schema_extra={"examples": [content]})


class Error(BaseModel):
    """What was found, what was expected, what to do."""

    model_config = example("Error", {"error": "783 bytes, expected 784 for each image"})

    error: str


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": Error, "description": "The request is malformed."},
    401: {"model": Error, "description": "The token is missing or wrong."},
    403: {"model": Error, "description": "The request comes from another site's page."},
    408: {"model": Error, "description": "The body did not arrive in time."},
    413: {"model": Error, "description": "The body is too large."},
    415: {"model": Error, "description": "The body is compressed."},
    421: {"model": Error, "description": "The header Host names another service."},
    503: {"model": Error, "description": "Too many requests; the header Retry-After says when to try again."},
}
"""Error responses of every route that takes a body."""


def binary_body(*media_types: str) -> dict[str, Any]:
    """OpenAPI's `content` for bytes of one of these media types."""
    return {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI's `content` for JSON as the model has it."""
    return {JSON: {"schema": model.model_json_schema()}}


def body(*contents: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's `openapi_extra` for a body with one of these contents."""
    content = {media_type: schema for one in contents for media_type, schema in one.items()}
    return {"requestBody": {"required": True, "content": content}}


def complete_description(app: FastAPI) -> None:
    """Add the token to the description, so that it can be entered at `/docs`, and the examples."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        description = describe()
        scheme = {"type": "http", "scheme": "bearer", "description": "Needed if the service was started with a token."}
        description.setdefault("components", {})["securitySchemes"] = {"token": scheme}
        description["security"] = [{"token": []}, {}]
        for name, schema in description["components"]["schemas"].items():
            if name in EXAMPLES:
                schema["examples"] = [EXAMPLES[name]]
        return description

    app.openapi = described  # type: ignore[method-assign]


def add_docs(routes: APIRouter) -> None:
    """Add `/docs`, a Swagger UI that loads nothing from other servers."""

    async def docs(_: Request) -> Response:
        return HTMLResponse(DOCS_PAGE, headers={"Content-Security-Policy": DOCS_POLICY})

    async def script(_: Request) -> Response:
        return Response(DOCS_SCRIPT, media_type="text/javascript")

    routes.add_route("/docs", docs, include_in_schema=False)
    routes.add_route("/docs/start.js", script, include_in_schema=False)
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        _add_file(routes, f"/docs/{name}", _swagger_ui() / name)


def _add_file(routes: APIRouter, path: str, file: Path) -> None:
    async def send(_: Request) -> Response:
        return FileResponse(file, headers=DOCS_FILES_HEADERS)

    routes.add_route(path, send, include_in_schema=False)


def _swagger_ui() -> Path:
    """Folder with Swagger UI's files: that of the package fastapi-offline, which is not imported."""
    found = importlib.util.find_spec("fastapi_offline")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "static"
