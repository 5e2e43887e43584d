"""Training while people watch: `/v1/playground`, for the page.

One network at a time learns, in a process of its own.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from mnist_digits.recognition import find_ink, normalise, read_picture
from mnist_digits.recognition.classifier import predictions_of
from mnist_digits.recognition.results import as_base64
from mnist_digits.serving.api.openapi import JSON
from mnist_digits.serving.page.dense_network import DenseNetwork
from mnist_digits.serving.page.introspection import describe_dense
from mnist_digits.serving.page.live_training import BusyError, Choices, Playground
from mnist_digits.serving.workers import Workers


def router(playground: Playground, workers: Workers) -> APIRouter:
    """Routes below `/v1/playground`, which are the page's own; the training ends with the application.

    `GET ""`: `Playground.state`. `GET /events`: the same as server-sent events, first as it is, then after every
    change. `POST /training`, with Choices: begins one; 409 when there is one. `DELETE /training` stops it.
    `GET /units`: what each hidden unit looks for, as for `/v1/inside`. `POST /inside`, a picture of one digit: what
    the trained network reads in it; 404 for the last two before there is a network.
    """

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        await playground.close()

    routes = APIRouter(prefix="/v1/playground", include_in_schema=False, lifespan=lifespan)

    @routes.get("")
    async def state() -> dict[str, Any]:
        """How far the training is."""
        return playground.state

    @routes.get("/events")
    async def events() -> StreamingResponse:
        """The same after every change, as server-sent events."""
        await playground.warm_up()
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_as_events(playground.follow()), media_type="text/event-stream", headers=headers)

    @routes.post("/training", status_code=202)
    async def start(settings: Choices) -> dict[str, Any]:
        """Begin a training."""
        try:
            await playground.start(settings)
        except BusyError:
            raise HTTPException(409, "a network is learning already: stop it first, or wait for its end") from None
        return playground.state

    @routes.delete("/training")
    async def stop() -> dict[str, Any]:
        """Stop the training; what was learned is kept."""
        await playground.stop()
        return playground.state

    @routes.get("/units")
    async def units() -> Response:
        """What each hidden unit looks for: int8 (units, 28, 28)."""
        images = _network(playground).weight_images()
        return Response(images.tobytes(), media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

    @routes.post("/inside")
    async def look_inside(request: Request) -> Response:
        """What the trained network reads in a drawing."""
        look = await workers.do(_read, _network(playground), await request.body())
        return Response(json.dumps(look), media_type=JSON)

    return routes


def _network(playground: Playground) -> DenseNetwork:
    if playground.network is None:
        raise HTTPException(404, "no network has learned anything yet: begin a training first")
    return playground.network


def _read(network: DenseNetwork, content: bytes) -> dict[str, Any]:
    """As `/v1/inside` answers, without `cnn`. A network of ten classes cannot reject what is no digit."""
    found = normalise(find_ink(read_picture(content)))
    (prediction,) = predictions_of([found], network.probabilities(found.image[None]))
    dense = describe_dense(network, found.image)
    return {"prediction": prediction.to_json(), "image": as_base64(found.image), "dense": dense}


async def _as_events(states: AsyncIterator[dict[str, Any] | None]) -> AsyncIterator[str]:
    """Lines of a stream of server-sent events, whose one kind is a state; comments where there is none."""
    async for state in states:
        yield f"data: {json.dumps(state)}\n\n" if state else ": nothing new\n\n"
