"""The command `digits`: called in the process of the tests, or as a command line where the process is the point."""

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

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Digits(Protocol):
    """Runs the command in a test's own folder: the fixture `digits`."""

    def __call__(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[str]: ...


def command_line(*arguments: str | Path) -> list[str]:
    """What starts the command as a process of its own. TensorFlow takes seconds to start there: prefer run_digits."""
    return [sys.executable, "-m", "mnist_digits", *map(str, arguments)]


def run_digits(
    *arguments: str | Path, folder: Path, env: Mapping[str, str] | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, from `sys.argv` to the exit status, as subprocess.run would in another.

    folder: the current folder meanwhile. env: variables to set besides those that are set. An exception that leaves
    the command becomes a traceback on stderr and status 1, as Python makes it. What the command changes of the
    process (variables, folder, handlers of signals and of logs) is put back; native code's own lines on file
    descriptors 1 and 2 are not in the result.
    """
    words = [*map(str, arguments)]
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    status = 0
    with _as_it_was(), contextlib.chdir(folder), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
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


@contextlib.contextmanager
def _as_it_was() -> Iterator[None]:
    """Put back at the end what a command may change of the process that it believes to be its own."""
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
