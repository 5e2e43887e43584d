"""The playground's training: its hyperparameters, its process, its state and the network that it gives."""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mnist_digits.serving.page.dense_network import DenseNetwork
from mnist_digits.training.recipes import DENSE, DENSE_PLUS

TRAINING_COMMAND = (sys.executable, "-m", "mnist_digits.serving.page.training_process")
"""Starts the process that trains: see the module of that name."""

MAX_MESSAGE_BYTES = 16 * 2**20
"""Maximum size of a message of the process; one with the weights of the largest network has about 2 MB."""

HEARTBEAT_S = 10.0
"""Seconds without a change after which a stream of events sends a comment, so that a lost connection is noticed."""

DISTORTIONS = ("rotation", "scaling", "shear", "translation", "elastic")
"""Fields of the recipe that are as in `dense-plus` when `Choices.distortion` is 1."""

Stage = Literal["idle", "starting", "training", "done", "stopped", "failed"]


class Choices(BaseModel):
    """Hyperparameters that may be chosen; all others are those of the recipe `dense`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    hidden_units: int = Field(DENSE.hidden_units, ge=1, le=512)
    learning_rate: float = Field(DENSE.learning_rate, ge=1e-5, le=1.0)
    batch_size: int = Field(DENSE.batch_size, ge=8, le=1024)
    epochs: int = Field(DENSE.epochs, ge=1, le=50)
    dropout: float = Field(DENSE.dropout, ge=0.0, le=0.9)
    distortion: float = Field(0.0, ge=0.0, le=1.0)

    def for_recipe(self) -> dict[str, str]:
        """Fields of a recipe, as `Recipe.with_settings` takes them."""
        chosen = self.model_dump(exclude={"distortion"})
        distorted = {name: self.distortion * getattr(DENSE_PLUS, name) for name in DISTORTIONS}
        return {name: str(value) for name, value in {**chosen, **distorted}.items()}


class BusyError(Exception):
    """A network is being trained already."""


class Playground:
    """Trains one network at a time, in a process of its own."""

    def __init__(self, command: tuple[str, ...] | None = None) -> None:
        """command: starts the process; TRAINING_COMMAND by default."""
        self.network: DenseNetwork | None = None
        """The newest training's network after its last finished epoch; None before its first weights."""
        self._command = command or TRAINING_COMMAND
        self._stage: Stage = "idle"
        self._settings: Choices | None = None
        self._history: list[dict[str, float]] = []
        self._number = 0
        self._process: asyncio.subprocess.Process | None = None
        self._listeners: set[asyncio.Task[None]] = set()
        self._commands = asyncio.Lock()
        self._change = asyncio.Condition()
        self._version = 0
        self._closed = False

    @property
    def state(self) -> dict[str, Any]:
        """The state of the newest training, as plain values.

        `training`: its number, from 1; 0 before the first. `stage`: see Stage. `settings`: its Choices; None before the
        first. `history`: a row for each finished epoch: epoch, loss, accuracy, val_loss, val_accuracy, seconds.
        `units`: number of hidden units of `network`, 0 when it is None. `version`: grows with every change, also of
        the weights alone.
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
        """Start the next training's process in advance, for it needs seconds to load."""
        async with self._commands:
            await self._start_process()

    async def _start_process(self) -> None:
        if self._process is None and not self._closed:
            pipe = asyncio.subprocess.PIPE
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, limit=MAX_MESSAGE_BYTES
            )
            listener = asyncio.create_task(self._listen(self._process))
            self._listeners.add(listener)
            listener.add_done_callback(self._listeners.discard)

    async def start(self, settings: Choices) -> None:
        """Start a training. Raises BusyError while another one runs."""
        if self._stage in ("starting", "training"):
            raise BusyError
        self._stage, self._settings, self._history, self.network = "starting", settings, [], None
        self._number += 1
        async with self._commands:
            await self._start_process()
            assert self._process is not None
            assert self._process.stdin is not None
            # If the process has died, `_listen` reports it.
            with suppress(ConnectionError):
                self._process.stdin.write(json.dumps(settings.for_recipe()).encode() + b"\n")
                await self._process.stdin.drain()
        await self._notify()

    async def stop(self) -> None:
        """Stop the training, if one runs, at once; the network of the last finished epoch is kept."""
        async with self._commands:
            if self._stage in ("starting", "training"):
                await self._end_process()
                self._stage = "stopped"
                await self._start_process()
        await self._notify()

    async def close(self) -> None:
        """End the process and everything that `follow` gives."""
        self._closed = True
        async with self._commands:
            await self._end_process()
        await asyncio.gather(*self._listeners)
        await self._notify()

    async def follow(self) -> AsyncIterator[dict[str, Any] | None]:
        """The state now and after every change; None after every HEARTBEAT_S without one."""
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
        """Wait for another version than this one."""
        async with self._change:
            await self._change.wait_for(lambda: self._closed or self._version != version)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Process the messages of a training process, until it ends."""
        assert process.stdout is not None
        async for line in process.stdout:
            if self._process is not process:
                # The training was stopped before this message was read.
                continue
            message = json.loads(line)
            if message["event"] == "epoch":
                self._stage = "training"
                self.network = DenseNetwork.load(base64.b64decode(message["network"]))
                self._history += [message["row"]] if message["row"] else []
            elif message["event"] == "done":
                self._stage, self._process = "done", None
                # The next training can then begin without delay.
                await self.warm_up()
            await self._notify()
        await process.wait()
        if self._process is process:
            self._process = None
            self._stage = "failed" if self._stage in ("starting", "training") else self._stage
            await self._notify()

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _notify(self) -> None:
        """Wake everything that waits for a change."""
        self._version += 1
        async with self._change:
            self._change.notify_all()
