"""A process beside the training that has its figures' libraries loaded when the model is ready."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from mnist_digits.errors import DataError
from mnist_digits.runs import Run

FINISH = "finish"
"""The line that tells the process to write the report; without it, it ends when its input does."""

PATIENCE = 5
"""Seconds a process that is no longer wanted may take to put its brushes away."""


class ReportProcess:
    """Draws the figures and the report of one run in another process, so that they cost the training nothing.

    Start it before importing anything slow; it loads what it needs and draws the figures of the
    data meanwhile. Once the files of the run are there, `finish` has it paint the rest. Leaving the
    context waits for it; leaving by an exception stops it, and leaves no half-written file.
    """

    def __init__(self, run: Run, data_folder: Path, data_seed: int) -> None:
        """Start the process. data_folder, data_seed: what `load_mnist` made the run's data from."""
        module = "mnist_digits.evaluation.report"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(run.folder), str(data_folder), str(data_seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            # Ctrl-C is for the training, which then decides what becomes of the report.
            start_new_session=True,
        )

    def finish(self) -> None:
        """Have the report written, now that all files of the run are there. Does not wait for it."""
        assert self._process.stdin is not None
        # A process that has failed already says why in `wait`.
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{FINISH}\n")
            self._process.stdin.flush()

    def wait(self) -> None:
        """Wait for the process to end: with the report after `finish`, without it before.

        Raises DataError with its message when a file could not be read or written.
        """
        _, message = self._process.communicate()
        if self._process.returncode == DataError.exit_status:
            raise DataError(message.strip())
        if self._process.returncode:
            raise RuntimeError(f"the report's process ended with status {self._process.returncode}\n{message}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.wait()
        else:
            self._stop()

    def _stop(self) -> None:
        """End the process, whatever it is doing."""
        self._process.terminate()
        try:
            self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
