"""How a route of this service is made: documented like any other of FastAPI's, but called directly."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

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
