"""Uvicorn around the application: a socket, one worker process or several, and a graceful shutdown."""

import asyncio
import functools
import logging
import os
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
from mnist_digits.serving import acceptor
from mnist_digits.serving.app import create_app
from mnist_digits.serving.connections import Connection
from mnist_digits.serving.metrics import FOLDER_VARIABLE
from mnist_digits.serving.middleware import access_logger
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
        if self.settings.access_log:
            _write_access_log()
        return create_app(Reader(self.model), self.settings)


def _write_access_log() -> None:
    """Write the access log to stderr, each line as it is."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    access_logger.addHandler(handler)
    access_logger.setLevel(logging.INFO)
    access_logger.propagate = False


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
            supervisor = Supervisor(_config(service, workers, service.create), listener)
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


class WorkerServer(uvicorn.Server):
    """Uvicorn's server in a worker process that is given connections, where it would accept them itself."""

    _channel: socket.socket

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections from the channel, which is the only one of these sockets."""
        assert sockets is not None
        (self._channel,) = sockets
        await super().startup([])
        asyncio.get_running_loop().add_reader(self._channel, self._take)
        self._say(acceptor.READY)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests in progress, those of connections that were being passed as well."""
        # From now on none can be passed, and all that were can be taken.
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RD)
        self._take()
        asyncio.get_running_loop().remove_reader(self._channel)
        await super().shutdown()

    def _take(self) -> None:
        """Take all connections that are there; without the supervisor, this process ends, too."""
        try:
            while (received := socket.recv_fds(self._channel, 1, 1))[0]:
                self._say(acceptor.TAKEN)
                if not received[1]:  # this process can open no more
                    self._say(acceptor.CLOSED)
                for descriptor in received[1]:
                    connecting = asyncio.get_running_loop().create_task(self._connect(socket.socket(fileno=descriptor)))
                    self.server_state.tasks.add(connecting)
                    connecting.add_done_callback(self.server_state.tasks.discard)
        except BlockingIOError:
            return
        except ConnectionError:
            pass
        self.should_exit = True

    async def _connect(self, connection: socket.socket) -> None:
        def create() -> Connection:
            made = Connection(self.config, self.server_state, self.lifespan.state)
            made.on_lost = functools.partial(self._say, acceptor.CLOSED)
            return made

        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(create, connection)
        except OSError:  # the client has gone
            connection.close()
            self._say(acceptor.CLOSED)

    def _say(self, what: bytes) -> None:
        with suppress(OSError):
            self._channel.send(what)


class Worker(Process):
    """A worker process. Where connections cannot be passed to it, it accepts them itself."""

    def __init__(self, config: uvicorn.Config, source: acceptor.Acceptor | socket.socket) -> None:
        """source: what it gets connections from."""
        self.is_given = isinstance(source, acceptor.Acceptor)
        self._socket = source.add_worker() if isinstance(source, acceptor.Acceptor) else source
        super().__init__(config, [self._socket])

    def start(self) -> None:
        """Start it."""
        super().start()
        if self.is_given:
            self._socket.close()

    @property
    def server(self) -> uvicorn.Server:
        """The server, in the worker process."""
        if self._server is None:
            self._server = WorkerServer(self.config) if self.is_given else uvicorn.Server(self.config)
        return self._server


class Supervisor(Multiprocess):
    """Starts the worker processes, accepts connections for them, and replaces those that die or hang."""

    interrupted = False
    """Whether SIGINT came, rather than SIGTERM."""

    hung_up = False
    """Whether SIGHUP came."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        """listener: accepts the connections."""
        ignored = not _hangups()
        super().__init__(config, [listener])
        if ignored and hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._last_reply_s: dict[int | None, float] = {}
        self._source = acceptor.Acceptor(listener) if acceptor.CAN_PASS else listener

    def handle_int(self) -> None:
        """Remember that SIGINT came, and shut down."""
        self.interrupted = True
        super().handle_int()

    def handle_hup(self) -> None:
        """Shut down, as no terminal is left, where Uvicorn would start other workers."""
        self.hung_up = True
        self.should_exit.set()

    def init_processes(self) -> None:
        """Start all workers."""
        self.processes = [self._start() for _ in range(self.processes_num)]

    def handle_ttin(self) -> None:
        """Start one worker more."""
        self.processes_num += 1
        self.processes.append(self._start())

    def terminate_all(self) -> None:
        """Accept no more connections, and have the workers finish."""
        if isinstance(self._source, acceptor.Acceptor):
            self._source.close()
        super().terminate_all()

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
                self.processes[index] = self._start()

    def _start(self) -> Worker:
        """A new worker. It ignores SIGHUP: a terminal sends it to all processes, and this one shuts the others down."""
        worker = Worker(self.config, self._source)
        with _hangups_blocked():
            worker.start()
        return worker


def _forget(pid: int | None) -> None:
    """Remove a dead worker's requests from the gauge of those in flight; its counters stay."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid, os.environ[FOLDER_VARIABLE])  # type: ignore[no-untyped-call]
