"""`/v1/teach`, for the page of `digits serve --collect`: the reader is taught with the drawings that were corrected.

It is taught in a process of its own, `teaching_process`, which keeps what it does in a file in their folder: so each of
several worker processes can tell how far it is, stop it, and give the network that it made.
"""

import functools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from mnist_digits.errors import DataError
from mnist_digits.files import read_json
from mnist_digits.recognition import Classifier
from mnist_digits.serving.api.openapi import BYTES
from mnist_digits.serving.page.browser_network import pack_classifier
from mnist_digits.serving.page.own.collecting import Collection
from mnist_digits.serving.page.own.teaching_process import STATE
from mnist_digits.serving.workers import Workers

COMMAND = (sys.executable, "-m", "mnist_digits.serving.page.own.teaching_process")
"""Starts the process that teaches."""


class Teacher:
    """Has the reader taught with a collection, once at a time."""

    def __init__(self, collection: Collection, model: Path, command: tuple[str, ...] | None = None) -> None:
        """model: of the classifier that is taught. command: starts the process; COMMAND by default."""
        self._collection, self._model, self._command = collection, model, command or COMMAND
        self._process: subprocess.Popen[bytes] | None = None

    def state(self) -> dict[str, Any]:
        """What the newest teaching does: see `teaching_process`; its `stage` is `idle` before the first.

        Only one whose process is there is `running`: one that was killed has `failed`.
        """
        try:
            state: dict[str, Any] = read_json(self._collection.folder / STATE)
        except DataError:
            return {"stage": "idle"}
        if state["stage"] == "running" and not _is_alive(state["pid"]):
            state |= {"stage": "failed", "says": "the process that taught has ended; the service's log may say why"}
        return state

    def start(self) -> dict[str, Any]:
        """Begin. Raises HTTPException 409 when there are too few drawings, or one is being taught already."""
        from mnist_digits.training.teaching import MIN_PICTURES

        count = self._collection.state()["digits"]
        if count < MIN_PICTURES:
            raise HTTPException(
                409, f"{count} drawings are labelled with a digit, expected at least {MIN_PICTURES}; correct more"
            )
        if self.state()["stage"] == "running":
            raise HTTPException(409, "the reader is being taught already: wait until it is done, or stop it")
        command = [*self._command, str(self._collection.folder), str(self._model)]
        # It ends when its stdin is closed, so also when this process is killed.
        process = self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        # It says that it has begun, or ends.
        with process.stdout as said:
            said.readline()
        threading.Thread(target=_await_end, args=[process], daemon=True).start()
        return self.state()

    def stop(self) -> dict[str, Any]:
        """End the teaching, if there is one."""
        state = self.state()
        if state["stage"] == "running":
            with suppress(ProcessLookupError):
                os.kill(state["pid"], signal.SIGTERM)
        return state

    def close(self) -> None:
        """End the teaching that this process has begun."""
        if self._process:
            self._process.kill()

    def network(self) -> bytes | None:
        """The taught network, packed for the browser; None where the browser cannot run it.

        Raises HTTPException 404 when there is none.
        """
        run = self.state().get("run")
        if run is None:
            raise HTTPException(404, "nothing has been taught yet: begin first")
        return _packed(Path(run) / "model.onnx")


def _await_end(process: subprocess.Popen[bytes]) -> None:
    """Let the system forget a process when it has ended: until then it looks alive."""
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


@functools.lru_cache(maxsize=2)
def _packed(path: Path) -> bytes | None:
    return pack_classifier(Classifier(path))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def router(teacher: Teacher, workers: Workers) -> APIRouter:
    """Routes below `/v1/teach`, for the page only.

    `GET /state`: see `Teacher.state`. `POST /start` begins, `POST /stop` ends; both give the state. `GET /network.bin`:
    the taught network, 404 while there is none, 204 where the browser cannot run it.
    """

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield
        teacher.close()

    routes = APIRouter(prefix="/v1/teach", include_in_schema=False, lifespan=lifespan)

    @routes.get("/state")
    async def state() -> dict[str, Any]:
        return await workers.do(teacher.state)

    @routes.post("/start", status_code=202)
    async def start() -> dict[str, Any]:
        return await workers.do(teacher.start)

    @routes.post("/stop")
    async def stop() -> dict[str, Any]:
        return await workers.do(teacher.stop)

    @routes.get("/network.bin")
    async def network() -> Response:
        content = await workers.do(teacher.network)
        return Response(status_code=204) if content is None else Response(content, media_type=BYTES)

    return routes
