"""Writes a run's report in another process, which imports the figures' libraries while the model trains."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from mnist_digits.errors import DataError
from mnist_digits.runs import Run

FINISH = "finish"
"""The line on stdin that tells the process to write the report; at the end of stdin without it, the process ends."""

TERMINATION_SECONDS = 5
"""Seconds between SIGTERM and SIGKILL for the report process."""


class ReportProcess:
    """Draws the figures and writes the report of one run in another process, in parallel with the training.

    Start it before importing anything slow: it meanwhile imports what it needs and draws the figures of the data.
    Call `finish` when the run's files are written: it then writes the rest. Leaving the context waits for the
    process; leaving it by an exception stops the process, and no half-written file remains.
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
            # Ctrl-C reaches only the training, which then stops this process.
            start_new_session=True,
        )

    def finish(self) -> None:
        """Let the process write the report, now that the run's files are written. Does not wait for it."""
        assert self._process.stdin is not None
        # If the process has failed already, `wait` says why.
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{FINISH}\n")
            self._process.stdin.flush()

    def wait(self) -> None:
        """Wait for the process to end; there is a report if `finish` was called.

        Raises DataError with the process's message when a file could not be read or written.
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
        """Terminate the process, and kill it if it does not end in time."""
        self._process.terminate()
        try:
            self._process.communicate(timeout=TERMINATION_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
