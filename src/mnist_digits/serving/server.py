"""Uvicorn around the application: a socket, one process or several, and an orderly end."""

import os
import signal
import socket
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from mnist_digits.errors import DataError
from mnist_digits.recognition import Reader
from mnist_digits.serving.app import create_app
from mnist_digits.serving.connections import Connection
from mnist_digits.serving.metrics import FOLDER
from mnist_digits.serving.settings import Settings

BACKLOG = 2048
"""Connections that the system accepts before a worker takes them up."""

KEEP_ALIVE_SECONDS = 5
"""A connection without a request is closed after that time."""


HUNG_SECONDS = 60
"""A worker that gives no sign of life for so long is replaced; on a busy machine it may need long to load all."""


@dataclass(frozen=True)
class Service:
    """What each worker process sets up for itself."""

    model: Path | None
    """A model.onnx, or None for the shipped one."""
    settings: Settings

    def create(self) -> FastAPI:
        """The application, with everything loaded. Raises DataError as `Reader` does."""
        import cv2

        # Requests share the cores among themselves; OpenCV's own threads would only get in their way.
        cv2.setNumThreads(1)
        # What is wrong with a picture is told to who sent it.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        return create_app(Reader(self.model), self.settings)


def listen(host: str, port: int) -> socket.socket:
    """A socket on which clients may knock from now on. Raises DataError when there can be none."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        # Python adds the address to what the system says.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise DataError(
            f"{host}:{port}: {reason}; expected a free port of this machine, name another with --port"
        ) from None


def serve(service: Service, listener: socket.socket, workers: int, ready: Callable[[], None]) -> None:
    """Answer until SIGTERM, finish what has been begun, and return; KeyboardInterrupt after SIGINT.

    ready: called when the model is loaded. Raises DataError as `Reader` does.
    """
    with tempfile.TemporaryDirectory(prefix="digits-metrics-") as folder:
        if workers == 1:
            _serve_alone(service, listener, ready)
        else:
            os.environ[FOLDER] = folder
            # A model that cannot be loaded is told once, and not by each worker.
            Reader(service.model)
            ready()
            supervisor = Supervisor(_config(service, workers, service.create), [listener])
            supervisor.run()
            if supervisor.interrupted:
                raise KeyboardInterrupt


def _serve_alone(service: Service, listener: socket.socket, ready: Callable[[], None]) -> None:
    app = service.create()
    ready()
    # Uvicorn raises the signal that ended it once more when all is done; SIGTERM has then done its work.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        Server(_config(service, 1, lambda: app), app).run([listener])
    finally:
        signal.signal(signal.SIGTERM, before)


def _config(service: Service, workers: int, create: Callable[[], FastAPI]) -> uvicorn.Config:
    return uvicorn.Config(
        create,
        factory=True,
        workers=workers,
        http=Connection,
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(service.settings.body_seconds + service.settings.answer_seconds),
    )


class Server(uvicorn.Server):
    """Ends the playground's streams, which never end by themselves, before it waits for what will."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        """app: what the configuration serves."""
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what has been begun."""
        if hasattr(self._app.state, "playground"):
            await self._app.state.playground.close()
        await super().shutdown(sockets)


class Supervisor(Multiprocess):
    """Starts the workers, and others in place of those that die."""

    interrupted = False

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        """As Uvicorn's."""
        super().__init__(config, sockets)
        self._heard: dict[int | None, float] = {}

    def handle_int(self) -> None:
        """SIGINT came, rather than SIGTERM."""
        self.interrupted = True
        super().handle_int()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died or give no sign of life; what they had in flight is no longer counted.

        None of them is waited for, so that signals are heard while others start.
        """
        now = time.monotonic()
        for index, process in enumerate(self.processes):
            heard = self._heard.setdefault(process.pid, now)
            if process.is_alive(timeout=0.1):
                self._heard[process.pid] = now
            elif not process.process.is_alive() or now - heard > HUNG_SECONDS:
                process.kill()
                process.join()
                if process.exitcode == STARTUP_FAILURE:
                    # Another would fail in the same way.
                    self.should_exit.set()
                    return
                _forget(process.pid)
                self.processes[index] = Process(self.config, self.sockets)
                self.processes[index].start()


def _forget(pid: int | None) -> None:
    """Take a dead worker's requests out of what is in flight; its counts stay."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid, os.environ[FOLDER])  # type: ignore[no-untyped-call]
