"""Clients of an application: in this process, or through a socket."""

import asyncio
import io
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import uvicorn
from PIL import Image
from starlette.types import ASGIApp

from mnist_digits.serving.connections import Connection


@dataclass
class InProcess:
    """Sends requests to an application without a socket."""

    app: ASGIApp
    runner: asyncio.Runner

    def __call__(self, method: str, path: str, **named: Any) -> httpx.Response:
        """The response to a request."""
        return self.runner.run(self.answer(method, path, **named))

    async def answer(self, method: str, path: str, **named: Any) -> httpx.Response:
        """The same, for several requests at the same time."""
        transport = httpx.ASGITransport(self.app)
        # Loading certificates would take longer than the response.
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000", verify=False) as client:
            return await client.request(method, path, **named)


def as_png(pixels: np.ndarray) -> bytes:
    return as_bytes(pixels, "PNG")


def as_bytes(pixels: np.ndarray, kind: str) -> bytes:
    """A file of this kind."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@contextmanager
def behind_a_socket(app: ASGIApp) -> Iterator[tuple[str, int]]:
    """Address of the application, served on a free port by a thread of this process."""
    config = uvicorn.Config(
        app, http=Connection, ws="none", lifespan="on", log_config=None, server_header=False, timeout_keep_alive=2
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Small, so that responses wait in the server where a client does not read.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        address = listener.getsockname()
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join()


def exchange(address: tuple[str, int], *parts: bytes, pause: float = 0.0, timeout: float = 20.0) -> bytes:
    """Everything received until the server closes the connection, for parts that are sent one after another.

    As soon as a response arrives, the remaining parts are not sent. pause: seconds between two parts.
    """
    received = b""
    with socket.create_connection(address, timeout=timeout) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
                if select.select([connection], [], [], 0)[0]:
                    break
            while chunk := connection.recv(65536):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
    return received


@contextmanager
def serving(*arguments: str | Path, command: str = "serve") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`digits serve` on a free port: its process and its address, once it answers. Killed at the end."""
    line = [sys.executable, "-m", "mnist_digits", command, "--port", "0", *map(str, arguments)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            said = process.stdout.readline()
            assert said, process.stderr.read()
            address = said.split()[0].removesuffix("/#label")
            httpx.get(httpx.URL(address).join("/readyz").copy_with(fragment=None), timeout=60).raise_for_status()
            yield process, address
        finally:
            if process.poll() is None:
                for worker in psutil.Process(process.pid).children(recursive=True):
                    worker.kill()
                process.kill()


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "does not come about"
        time.sleep(0.05)
