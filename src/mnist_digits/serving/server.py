"""Uvicorn around the application: a socket, one worker process or several, and a graceful shutdown."""

import os
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

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
    """Answer requests until SIGTERM, finish those in progress, and return.

    After SIGINT it raises KeyboardInterrupt instead, after SIGHUP SystemExit with the status that a shell gives.

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
            if supervisor.hung_up:
                _exit_hung_up()


def _serve_alone(service: Service, listener: socket.socket, ready: Callable[[], None]) -> None:
    app = service.create()
    server = Server(_config(service, 1, lambda: app), app)
    came: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        came.append(number)
        server.should_exit = True

    # Until Uvicorn has its own handlers, which do not know SIGHUP, and after: it raises again what ended it.
    numbers = [signal.SIGTERM, *_hangups()]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        ready()
        server.run([listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if set(came) & {*_hangups()}:
        _exit_hung_up()


def _hangups() -> list[signal.Signals]:
    """SIGHUP, if the system has it and nobody, such as nohup, has it ignored."""
    number = getattr(signal, "SIGHUP", None)
    return [number] if number and signal.getsignal(number) != signal.SIG_IGN else []


@contextmanager
def _hangups_blocked() -> Iterator[None]:
    """Block SIGHUP, which processes that are started meanwhile inherit; this one gets it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _hangups()) if _hangups() else None
    try:
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _exit_hung_up() -> NoReturn:
    sys.exit(128 + signal.SIGHUP)


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

    hung_up = False
    """Whether SIGHUP came."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        """As Uvicorn's."""
        ignored = not _hangups()
        super().__init__(config, sockets)
        if ignored and hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._last_reply_s: dict[int | None, float] = {}

    def handle_int(self) -> None:
        """Remember that SIGINT came, and shut down."""
        self.interrupted = True
        super().handle_int()

    def handle_hup(self) -> None:
        """Shut down, as no terminal is left, where Uvicorn would start other workers."""
        self.hung_up = True
        self.should_exit.set()

    def init_processes(self) -> None:
        """Start workers, which ignore SIGHUP: a terminal sends it to all of them, and this process shuts them down."""
        with _hangups_blocked():
            super().init_processes()

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
                with _hangups_blocked():
                    self.processes[index].start()


def _forget(pid: int | None) -> None:
    """Remove a dead worker's requests from the gauge of those in flight; its counters stay."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid, os.environ[FOLDER_VARIABLE])  # type: ignore[no-untyped-call]
