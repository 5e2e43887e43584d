"""The playground's training: its hyperparameters, its process, its state and the network that it gives."""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
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

ENDED = {"event": "refused", "reason": "the training's process has ended"}
"""What stands for the answer of a process that gives none any more."""

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


class KeepingError(Exception):
    """No run could be made of the network: the message says why."""


@dataclass(frozen=True)
class Training:
    """A training that is over, for the next one to be compared with."""

    settings: Choices
    history: list[dict[str, float]]
    network: DenseNetwork

    @property
    def state(self) -> dict[str, Any]:
        """Its settings and history, as in `Playground.state`."""
        return {"settings": self.settings.model_dump(), "history": self.history}


class Playground:
    """Trains one network at a time, in a process of its own."""

    def __init__(self, command: tuple[str, ...] | None = None, runs: Path | None = None) -> None:
        """command: starts the process; TRAINING_COMMAND by default. runs: the folder of kept runs; None keeps none."""
        self.network: DenseNetwork | None = None
        """The newest training's network after its last finished epoch; None before its first weights."""
        self.before: Training | None = None
        """The newest training before this one that has finished an epoch."""
        self.turned: dict[str, Any] | None = None
        """What the last epoch has turned: see `TurnedDigits.update`."""
        self.runs = runs
        self.owner: str | None = None
        """Secret of the browser that started the newest training; None where it sent none."""
        self._command = command or TRAINING_COMMAND
        self._stage: Stage = "idle"
        self._settings: Choices | None = None
        self._history: list[dict[str, float]] = []
        self._number = 0
        self._files: dict[str, bytes] | None = None
        self._kept: str | None = None
        self._keeping = asyncio.Lock()
        self._answer: asyncio.Future[dict[str, Any]] | None = None
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
        `units`: number of hidden units of `network`, 0 when it is None. `before`: settings and history of the training
        before; None without. `keeps`: whether it may be kept as a run; `kept`: that run's folder, None until then.
        `version`: grows with every change, also of the weights alone.
        """
        return {
            "training": self._number,
            "stage": self._stage,
            "settings": self._settings and self._settings.model_dump(),
            "history": self._history,
            "units": self.network.units if self.network else 0,
            "before": self.before and self.before.state,
            "keeps": self.runs is not None,
            "kept": self._kept,
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

    async def start(self, settings: Choices, owner: str | None = None) -> None:
        """Start a training. owner: who may stop it; None: everybody. Raises BusyError while another one runs."""
        if self.running:
            raise BusyError
        if self._history and self._settings and self.network:
            self.before = Training(self._settings, self._history, self.network)
        self._stage, self._settings, self._history, self.network = "starting", settings, [], None
        self.turned = self._files = self._kept = None
        self.owner = owner
        self._number += 1
        async with self._commands:
            await self._send({"settings": settings.for_recipe()})
        await self._notify()

    @property
    def running(self) -> bool:
        """Whether a network is being trained."""
        return self._stage in ("starting", "training")

    async def _send(self, task: dict[str, Any]) -> None:
        """Send a task to the process. Call it with `_commands` held."""
        await self._start_process()
        assert self._process is not None
        assert self._process.stdin is not None
        # If the process has died, `_listen` reports it.
        with suppress(ConnectionError):
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            await self._process.stdin.drain()

    async def files(self) -> dict[str, bytes]:
        """The trained network as files of a run, by name: `model.keras` and `model.onnx`. Errors: as of `keep`."""
        async with self._keeping:
            if self._files is None:
                await self._have_kept(None)
            assert self._files is not None
            return self._files

    async def keep(self) -> str:
        """Keep the trained network as a run in `runs`, once; returns the run's folder.

        Raises BusyError while it is trained, KeepingError when that fails. There must be a network, and `runs`.
        """
        async with self._keeping:
            if self._kept is None:
                await self._have_kept(self.runs)
            assert self._kept is not None
            return self._kept

    async def _have_kept(self, parent: Path | None) -> None:
        """Have the process that waits for the next training make a run of this one's network."""
        if self.running:
            raise BusyError
        assert self._settings is not None
        assert self.network is not None
        number = self._number
        network = base64.b64encode(self.network.to_bytes()).decode()
        task = {"settings": self._settings.for_recipe(), "history": self._history, "network": network}
        self._answer = answer = asyncio.get_running_loop().create_future()
        async with self._commands:
            await self._send({**task, "folder": parent and str(parent.resolve())})
        message = await answer
        if message["event"] != "kept":
            raise KeepingError(message["reason"])
        if number != self._number:
            raise KeepingError("another training has begun meanwhile")
        self._files = {name: base64.b64decode(content) for name, content in message["files"].items()}
        self._kept = message["folder"] or self._kept
        await self._notify()

    def _answer_with(self, message: dict[str, Any]) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(message)

    async def stop(self) -> None:
        """Stop the training, if one runs, at once; the network of the last finished epoch is kept."""
        async with self._commands:
            if self.running:
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
                self.turned = message.get("turned")
            elif message["event"] in ("kept", "refused"):
                self._answer_with(message)
                continue
            elif message["event"] == "done":
                self._stage, self._process = "done", None
                # The next training can then begin without delay.
                await self.warm_up()
            await self._notify()
        await process.wait()
        if self._process is process:
            self._process = None
            self._answer_with(ENDED)
            self._stage = "failed" if self.running else self._stage
            await self._notify()

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        self._answer_with(ENDED)
        if process:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _notify(self) -> None:
        """Wake everything that waits for a change."""
        self._version += 1
        async with self._change:
            self._change.notify_all()
