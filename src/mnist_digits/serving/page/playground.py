"""`/v1/playground`, for the page: training a network while its visitors watch."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from mnist_digits.serving.api.openapi import BYTES
from mnist_digits.serving.page.browser_network import pack_dense
from mnist_digits.serving.page.dense_network import DenseNetwork
from mnist_digits.serving.page.live_training import BusyError, Choices, KeepingError, Playground

MAX_RUNS = 100
"""Maximum number of folders in the folder of kept runs."""

Made = TypeVar("Made")

Visitor = Annotated[str | None, Header(pattern="^[0-9a-f]{32}$")]
"""What a browser is known again by: a secret that its page has made."""


def router(playground: Playground) -> APIRouter:
    """Routes below `/v1/playground`, for the page only. The training ends with the application.

    `GET ""`: `Playground.state`. `GET /events`: the state now and after every change, as server-sent events.
    `POST /training`, with Choices: starts a training; 409 while one runs. `DELETE /training` stops it; 403 for all but
    whoever started it, known by the secret in the header `X-Visitor`, and this machine.
    `GET /units`: the bytes of the trained network's `weight_images`. `GET /network.bin`: the network, packed for the
    browser; `GET /before.bin`: that of the training before. `GET /turned`: which digits the last epoch has turned.
    `GET /model.keras` and `/model.onnx`: the trained network as a file. `POST /run` keeps it as a run; 403 where the
    service keeps none. While there is no network, what the page shows of it is 204, without a word in the browser's
    console, because a training may begin at any time; files and runs are 404.
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
    async def start(choices: Choices, x_visitor: Visitor = None) -> dict[str, Any]:
        try:
            await playground.start(choices, x_visitor)
        except BusyError:
            raise HTTPException(409, "a network is being trained: stop it first, or wait until it is done") from None
        return playground.state

    @routes.delete("/training")
    async def stop(request: Request, x_visitor: Visitor = None) -> dict[str, Any]:
        owner = playground.owner
        if owner and not (compare_digest(owner, x_visitor or "") or _is_at_this_machine(request)):
            raise HTTPException(403, "somebody else started this training: they can stop it, or this machine's owner")
        await playground.stop()
        return playground.state

    @routes.get("/units")
    async def units() -> Response:
        return _shown(playground.network, lambda network: network.weight_images().tobytes())

    @routes.get("/network.bin")
    async def packed() -> Response:
        return _shown(playground.network, pack_dense)

    @routes.get("/before.bin")
    async def packed_before() -> Response:
        return _shown(playground.before.network if playground.before else None, pack_dense)

    @routes.get("/turned", response_model=None)
    async def turned() -> dict[str, Any] | Response:
        return Response(status_code=204) if playground.turned is None else playground.turned

    @routes.get("/model.{kind}")
    async def file(kind: Literal["keras", "onnx"]) -> Response:
        _network(playground)
        return Response((await _kept(playground.files()))[f"model.{kind}"], media_type=BYTES)

    @routes.post("/run", status_code=201)
    async def run() -> dict[str, Any]:
        if playground.runs is None:
            raise HTTPException(403, "this service keeps no runs: start it with --keep-runs FOLDER")
        _network(playground)
        if sum(1 for _ in _folders(playground.runs)) >= MAX_RUNS:
            raise HTTPException(507, f"{MAX_RUNS} runs are kept already: remove some from the service's folder of runs")
        await _kept(playground.keep())
        return playground.state

    return routes


def _is_at_this_machine(request: Request) -> bool:
    """Whether the request comes from the machine that serves: not through a proxy, behind which all clients are."""
    if not request.client or {"x-forwarded-for", "forwarded"} & set(request.headers):
        return False
    server = request.scope.get("server") or (None,)
    return request.client.host in ("127.0.0.1", "::1", server[0])


def _folders(parent: Path) -> Iterator[Path]:
    return (path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else iter(())


async def _kept(making: Awaitable[Made]) -> Made:
    """What is made of the trained network; HTTPException where that fails."""
    try:
        return await making
    except BusyError:
        raise HTTPException(
            409, "the network is still being trained: stop it first, or wait until it is done"
        ) from None
    except KeepingError as error:
        raise HTTPException(503, f"the network was not kept: {error}; try again") from None


def _shown(network: DenseNetwork | None, pack: Callable[[DenseNetwork], bytes]) -> Response:
    """What the page shows of a network; no content where there is none."""
    return Response(pack(network), media_type=BYTES) if network else Response(status_code=204)


def _network(playground: Playground) -> DenseNetwork:
    if playground.network is None:
        raise HTTPException(404, "no network has been trained yet: begin a training first")
    return playground.network


async def _as_events(states: AsyncIterator[dict[str, Any] | None]) -> AsyncIterator[str]:
    """Server-sent events: one for each state, a comment for None."""
    async for state in states:
        yield f"data: {json.dumps(state)}\n\n" if state else ": no change\n\n"
