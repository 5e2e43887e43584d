"""Training while people watch: `/v1/playground`, for the page.

One network at a time learns, in a process of its own.
"""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from mnist_digits.recognition import find_ink, normalise, read_picture
from mnist_digits.recognition.classifier import SURE
from mnist_digits.serving.dense import DenseNetwork
from mnist_digits.serving.inside import describe_dense, packed
from mnist_digits.serving.routes import JSON
from mnist_digits.serving.work import Workers

LEARNER = (sys.executable, "-m", "mnist_digits.training.learner")
"""What trains: see the module of that name."""

LONGEST_MESSAGE = 16 * 2**20
"""Bytes; the weights of the largest network are a sixth of it."""

HEARTBEAT_S = 10.0
"""A stream without news says so after that time, and both sides notice when the other has gone."""

DISTORTION = {"rotation": 8.0, "scaling": 0.08, "shear": 0.08, "translation": 1.5, "elastic": 1.0}
"""The recipe `dense-plus`'s, which is what a distortion of 1 stands for."""

Stage = Literal["idle", "starting", "training", "done", "stopped", "failed"]


class Choices(BaseModel):
    """What may be chosen; the rest is as in the recipe `dense`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    hidden_units: int = Field(128, ge=1, le=512)
    learning_rate: float = Field(1e-3, ge=1e-5, le=1.0)
    batch_size: int = Field(32, ge=8, le=1024)
    epochs: int = Field(10, ge=1, le=50)
    dropout: float = Field(0.0, ge=0.0, le=0.9)
    distortion: float = Field(0.0, ge=0.0, le=1.0)

    def for_recipe(self) -> dict[str, str]:
        """Fields of a recipe, as `Recipe.with_settings` takes them."""
        chosen = self.model_dump(exclude={"distortion"})
        distorted = {name: most * self.distortion for name, most in DISTORTION.items()}
        return {name: str(value) for name, value in {**chosen, **distorted}.items()}


class BusyError(Exception):
    """A network is learning already."""


class Playground:
    """The one training there is: its process, its course so far, and what it has learned."""

    def __init__(self, command: tuple[str, ...] | None = None) -> None:
        """command: starts a process that speaks as LEARNER does, which it is by default."""
        self.network: DenseNetwork | None = None
        """After the last finished epoch of the newest training; None before the first."""
        self._command = command or LEARNER
        self._stage: Stage = "idle"
        self._settings: Choices | None = None
        self._history: list[dict[str, float]] = []
        self._number = 0
        self._process: asyncio.subprocess.Process | None = None
        self._listeners: set[asyncio.Task[None]] = set()
        self._commands = asyncio.Lock()
        self._news = asyncio.Condition()
        self._version = 0
        self._closed = False

    @property
    def state(self) -> dict[str, Any]:
        """All that is known of the newest training, as plain values.

        `training`: its number, from 1. `stage`: see Stage. `settings`: or null before the first. `history`: a row
        for each finished epoch: epoch, loss, accuracy, val_loss, val_accuracy, seconds. `units`: of the network that
        there is, 0 where there is none. `version`: grows with every change, that of the weights included.
        """
        return {
            "training": self._number,
            "stage": self._stage,
            "settings": self._settings and self._settings.model_dump(),
            "history": self._history,
            "units": self.network.units if self.network else 0,
            "version": self._version,
        }

    async def warm_up(self) -> None:
        """Start the process of the next training, which takes seconds to load, unless it is there."""
        async with self._commands:
            await self._start_process()

    async def _start_process(self) -> None:
        if self._process is None and not self._closed:
            pipe = asyncio.subprocess.PIPE
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, limit=LONGEST_MESSAGE
            )
            listener = asyncio.create_task(self._listen(self._process))
            self._listeners.add(listener)
            listener.add_done_callback(self._listeners.discard)

    async def start(self, settings: Choices) -> None:
        """Begin a training. Raises BusyError when there is one."""
        if self._stage in ("starting", "training"):
            raise BusyError
        self._stage, self._settings, self._history, self.network = "starting", settings, [], None
        self._number += 1
        async with self._commands:
            await self._start_process()
            assert self._process is not None
            assert self._process.stdin is not None
            # A process that died while it waited is reported by its listener.
            with suppress(ConnectionError):
                self._process.stdin.write(json.dumps(settings.for_recipe()).encode() + b"\n")
                await self._process.stdin.drain()
        await self._tell()

    async def stop(self) -> None:
        """End the training, if there is one, at once; what the last finished epoch learned is kept."""
        async with self._commands:
            if self._stage in ("starting", "training"):
                await self._end_process()
                self._stage = "stopped"
                await self._start_process()
        await self._tell()

    async def close(self) -> None:
        """End the process and all streams of news."""
        self._closed = True
        async with self._commands:
            await self._end_process()
        await asyncio.gather(*self._listeners)
        await self._tell()

    async def follow(self) -> AsyncIterator[dict[str, Any] | None]:
        """The state, and the state after every change; None from time to time when there is no change."""
        seen = -1
        while not self._closed:
            if seen != self._version:
                seen = self._version
                yield self.state
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._wait(seen)
            except TimeoutError:
                yield None

    async def _wait(self, version: int) -> None:
        """Wait until there is another version."""
        async with self._news:
            await self._news.wait_for(lambda: self._closed or self._version != version)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Take in what the process says, to its end."""
        assert process.stdout is not None
        async for line in process.stdout:
            if self._process is not process:
                # It was stopped, with this already on its way.
                continue
            message = json.loads(line)
            if message["event"] == "epoch":
                self._stage = "training"
                self.network = _unpacked(message["weights"])
                self._history += [message["row"]] if message["row"] else []
            elif message["event"] == "done":
                self._stage, self._process = "done", None
                # The next training is to begin at once.
                await self.warm_up()
            await self._tell()
        await process.wait()
        if self._process is process:
            self._process = None
            self._stage = "failed" if self._stage in ("starting", "training") else self._stage
            await self._tell()

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _tell(self) -> None:
        """Wake all who follow."""
        self._version += 1
        async with self._news:
            self._news.notify_all()


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
    """As `/v1/inside` answers, without `cnn`. A network of ten digits cannot decline what is none."""
    blob = normalise(find_ink(read_picture(content)))
    dense = describe_dense(network, blob.image)
    confidence = max(dense["probabilities"])
    reason = None if blob.parts == 1 or (blob.parts and confidence >= SURE) else "several-digits"
    prediction = {
        "digit": None if reason else dense["digit"],
        "confidence": confidence,
        "probabilities": dense["probabilities"],
        "reason": reason,
    }
    if not blob.parts:
        prediction |= {"confidence": 0.0, "probabilities": [0.1] * 10, "reason": "blank"}
    return {"prediction": prediction, "image": packed(blob.image), "dense": dense}


async def _as_events(states: AsyncIterator[dict[str, Any] | None]) -> AsyncIterator[str]:
    """Lines of a stream of server-sent events, whose one kind is a state; comments where there is none."""
    async for state in states:
        yield f"data: {json.dumps(state)}\n\n" if state else ": nothing new\n\n"


def _unpacked(weights: dict[str, str]) -> DenseNetwork:
    arrays = {name: np.frombuffer(base64.b64decode(text), np.float32) for name, text in weights.items()}
    units = len(arrays["hidden_bias"])
    shapes = {"hidden_weights": (784, units), "class_weights": (units, 10)}
    return DenseNetwork(**{name: values.reshape(shapes.get(name, values.shape)) for name, values in arrays.items()})
