"""Runs the command `digits`, in the process of the tests or in one of its own."""

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from mnist_digits.cli import main

ODD_NAME = "a\x1b[31m\u202ered\x9b1m"
"""A file's name that is a command to a terminal, and reverses the direction of writing."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Digits(Protocol):
    """Type of the fixture `digits`."""

    def __call__(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[str]: ...


def command_line(*arguments: str | Path) -> list[str]:
    """The command line for a process of its own, in which TensorFlow takes seconds to start: prefer run_digits."""
    return [sys.executable, "-m", "mnist_digits", *map(str, arguments)]


def run_digits(
    *arguments: str | Path, folder: Path, env: Mapping[str, str] | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, from `sys.argv` to the exit status; the result is that of subprocess.run.

    folder: the current folder of the command. env: additional environment variables. An uncaught exception becomes a
    traceback on stderr and status 1. Environment variables, current folder, and handlers of signals and loggers are
    restored. What native code writes to file descriptors 1 and 2 is not captured.
    """
    words = [*map(str, arguments)]
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    status = 0
    with (
        _restored_state(),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        os.environ.update(env or {})
        sys.argv, sys.stdin = ["digits", *words], io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
        try:
            main()
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        except Exception:
            traceback.print_exc()
            status = 1
    said, complained = (stream.buffer.getvalue().decode() for stream in (stdout, stderr))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(["digits", *words], status, said, complained)


def unprintable(text: str) -> set[str]:
    """The characters of a text for people that are none for them."""
    return {sign for sign in text if not (sign.isprintable() or sign in "\n\N{NO-BREAK SPACE}")}


@contextlib.contextmanager
def _restored_state() -> Iterator[None]:
    """Restore the process's global state that the command may change."""
    variables, argv, stdin = dict(os.environ), sys.argv, sys.stdin
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    loggers = [(log, log.level, log.handlers[:]) for log in (logging.root, logging.getLogger("mnist_digits"))]
    try:
        yield
    finally:
        for log, level, log_handlers in loggers:
            log.setLevel(level)
            log.handlers[:] = log_handlers
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.argv, sys.stdin = argv, stdin
        os.environ.clear()
        os.environ.update(variables)
