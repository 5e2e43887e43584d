"""Uvicorn around the application: a socket, one worker process or several, and a graceful shutdown."""

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
from mnist_digits.serving.metrics import FOLDER_VARIABLE
from mnist_digits.serving.settings import Settings

MAX_PENDING_CONNECTIONS = 2048
"""Maximum number of connections that wait to be accepted by a worker process."""

KEEP_ALIVE_TIMEOUT_S = 5
"""Seconds between two requests of a connection until it is closed."""

WORKER_TIMEOUT_S = 60.0
"""Seconds without a reply to Uvicorn's ping until a worker process is replaced; loading is slow on a busy machine."""


@dataclass(frozen=True)
class Service:
    """Configuration from which each worker process creates its application."""

    model: Path | None
    """A model.onnx; None for the shipped one."""
    settings: Settings

    def create(self) -> FastAPI:
        """The application, with all models loaded. Raises DataError as `Reader` does."""
        import cv2

        # Several requests are handled at the same time: OpenCV's own threads would only compete with them.
        cv2.setNumThreads(1)
        # Defects of a picture are reported in the response.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        return create_app(Reader(self.model), self.settings)


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections at this address. Raises DataError when it cannot be opened."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=MAX_PENDING_CONNECTIONS)
    except OSError as error:
        # Python appends the address to the system's message.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise DataError(
            f"{host}:{port}: {reason}; expected a free port of this machine, name another with --port"
        ) from None


def serve(service: Service, listener: socket.socket, workers: int, ready: Callable[[], None]) -> None:
    """Answer requests until SIGTERM, finish those in progress, and return; after SIGINT raise KeyboardInterrupt.

    workers: number of processes. ready: called once the model is loaded. Raises DataError as `Reader` does.
    """
    with tempfile.TemporaryDirectory(prefix="digits-metrics-") as folder:
        if workers == 1:
            _serve_alone(service, listener, ready)
        else:
            os.environ[FOLDER_VARIABLE] = folder
            # A model that cannot be loaded is reported once here, not by each worker.
            Reader(service.model)
            ready()
            supervisor = Supervisor(_config(service, workers, service.create), [listener])
            supervisor.run()
            if supervisor.interrupted:
                raise KeyboardInterrupt


def _serve_alone(service: Service, listener: socket.socket, ready: Callable[[], None]) -> None:
    app = service.create()
    ready()
    # After its shutdown Uvicorn raises the signal again; SIGTERM would then kill the process.
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
        backlog=MAX_PENDING_CONNECTIONS,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_TIMEOUT_S,
        timeout_graceful_shutdown=round(service.settings.body_seconds + service.settings.answer_seconds),
    )


class Server(uvicorn.Server):
    """Uvicorn's server, which on shutdown first closes the playground's event streams: they never end by themselves."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        """app: the application of the configuration."""
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests in progress."""
        if hasattr(self._app.state, "playground"):
            await self._app.state.playground.close()
        await super().shutdown(sockets)


class Supervisor(Multiprocess):
    """Starts the worker processes, and replaces those that die or hang."""

    interrupted = False
    """Whether SIGINT came, rather than SIGTERM."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        """As Uvicorn's."""
        super().__init__(config, sockets)
        self._last_reply_s: dict[int | None, float] = {}

    def handle_int(self) -> None:
        """Remember that SIGINT came, and shut down."""
        self.interrupted = True
        super().handle_int()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died or hang; their requests are no longer counted as in flight.

        It waits for none of them, so that signals are handled while workers start.
        """
        now = time.monotonic()
        for index, process in enumerate(self.processes):
            last_reply_s = self._last_reply_s.setdefault(process.pid, now)
            if process.is_alive(timeout=0.1):
                self._last_reply_s[process.pid] = now
            elif not process.process.is_alive() or now - last_reply_s > WORKER_TIMEOUT_S:
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
    """Remove a dead worker's requests from the gauge of those in flight; its counters stay."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid, os.environ[FOLDER_VARIABLE])  # type: ignore[no-untyped-call]
