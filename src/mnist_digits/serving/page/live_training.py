"""The one training there is on the page: what may be chosen, its process, its course, what it has learned."""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mnist_digits.serving.page.dense_network import DenseNetwork

LEARNER = (sys.executable, "-m", "mnist_digits.serving.page.training_process")
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


def _unpacked(weights: dict[str, str]) -> DenseNetwork:
    arrays = {name: np.frombuffer(base64.b64decode(text), np.float32) for name, text in weights.items()}
    units = len(arrays["hidden_bias"])
    shapes = {"hidden_weights": (784, units), "class_weights": (units, 10)}
    return DenseNetwork(**{name: values.reshape(shapes.get(name, values.shape)) for name, values in arrays.items()})
