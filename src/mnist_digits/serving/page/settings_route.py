"""What the page must know of the service before it asks for anything: `/page.json`."""

import json

from fastapi import APIRouter, Request, Response

from mnist_digits.serving.api.openapi import JSON
from mnist_digits.serving.settings import Settings


def router(settings: Settings) -> APIRouter:
    """A route that anybody may ask: whether there is a `playground`, and whether a `token` is asked for."""
    routes = APIRouter(include_in_schema=False)
    facts = json.dumps({"playground": settings.playground, "token": settings.token is not None})

    @routes.get("/page.json")
    async def page(_: Request) -> Response:
        """What the page must know."""
        return Response(facts, media_type=JSON)

    return routes
