"""`/v1/playground`, for the page: training a network while its visitors watch."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from mnist_digits.serving.api.openapi import BYTES
from mnist_digits.serving.page.browser_network import pack_dense
from mnist_digits.serving.page.dense_network import DenseNetwork
from mnist_digits.serving.page.live_training import BusyError, Choices, Playground


def router(playground: Playground) -> APIRouter:
    """Routes below `/v1/playground`, for the page only. The training ends with the application.

    `GET ""`: `Playground.state`. `GET /events`: the state now and after every change, as server-sent events.
    `POST /training`, with Choices: starts a training; 409 while one runs. `DELETE /training` stops it.
    `GET /units`: the bytes of the trained network's `weight_images`. `GET /network.bin`: the network, packed for the
    browser. The last two are 404 while there is no network.
    """

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        await playground.close()

    routes = APIRouter(prefix="/v1/playground", include_in_schema=False, lifespan=lifespan)

    @routes.get("")
    async def state() -> dict[str, Any]:
        return playground.state

    @routes.get("/events")
    async def events() -> StreamingResponse:
        await playground.warm_up()
        # nginx would hold events back until it has collected a buffer of them.
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(_as_events(playground.follow()), media_type="text/event-stream", headers=headers)

    @routes.post("/training", status_code=202)
    async def start(choices: Choices) -> dict[str, Any]:
        try:
            await playground.start(choices)
        except BusyError:
            raise HTTPException(409, "a network is being trained: stop it first, or wait until it is done") from None
        return playground.state

    @routes.delete("/training")
    async def stop() -> dict[str, Any]:
        await playground.stop()
        return playground.state

    @routes.get("/units")
    async def units() -> Response:
        return Response(_network(playground).weight_images().tobytes(), media_type=BYTES)

    @routes.get("/network.bin")
    async def packed() -> Response:
        return Response(pack_dense(_network(playground)), media_type=BYTES)

    return routes


def _network(playground: Playground) -> DenseNetwork:
    if playground.network is None:
        raise HTTPException(404, "no network has been trained yet: begin a training first")
    return playground.network


async def _as_events(states: AsyncIterator[dict[str, Any] | None]) -> AsyncIterator[str]:
    """Server-sent events: one for each state, a comment for None."""
    async for state in states:
        yield f"data: {json.dumps(state)}\n\n" if state else ": no change\n\n"
