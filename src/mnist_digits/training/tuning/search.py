"""search(): the best values of a recipe's fields by validation accuracy, over any number of processes and machines."""

import os
import pickle
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from optuna.trial import FrozenTrial

from mnist_digits.dataset import Dataset, holds_idx, write_dataset
from mnist_digits.errors import DataError, QualityError, UsageError
from mnist_digits.files import read_json, write_json
from mnist_digits.runs import RUNS
from mnist_digits.training.tuning.storage import DEFAULT_STORAGE
from mnist_digits.training.tuning.study import POLL_S, Study
from mnist_digits.training.tuning.worker import Job

MAX_DEATHS = 3
"""Workers that may be killed without a trial being finished in between."""
SECONDS = {"s": 1, "m": 60, "h": 3600}

Watch = Callable[[Sequence[FrozenTrial]], None]
"""Called again and again with all finished trials of a study."""


def folder_of(study: str) -> Path:
    """Where this machine keeps a study's trials and results."""
    return RUNS / f"tune-{study}"


def claim_folder(study: Study) -> Path:
    """The study's folder, made if needed.

    Raises DataError when it belongs to another study of the same name, in another database, or cannot be made.
    """
    folder = folder_of(study.name)
    owner = folder / "study.json"
    if owner.exists() and read_json(owner) != study.identity:
        raise DataError(f"{folder}: of another study {study.name}; move it away, or choose another --name")
    if not owner.exists():
        write_json(owner, study.identity)
    return folder


def parse_duration(text: str) -> float:
    """Seconds, from text such as `90s`, `10m` or `1.5h`. Raises UsageError for any other."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not found or not float(found[1]):
        raise UsageError(f"--timeout {text}: expected a number and s, m or h, such as 10m")
    return float(found[1]) * SECONDS[found[2]]


def search(
    study: Study,
    data: Dataset,
    target: int,
    *,
    workers: int = 1,
    storage: str | None = None,
    deadline: float | None = None,
    watch: Watch | None = None,
) -> bool:
    """Train trials until the study has `target` finished ones; returns whether it has.

    data: the images of the study's plan. workers: processes on this machine, which share its cores; others elsewhere
    may work on the same study. storage: the address that the study was opened at. deadline: time.monotonic() at which
    to stop. watch: see Watch. Trials that are running at the deadline, at Ctrl-C or at any other error are queued
    anew, to go on after their last finished epoch.

    Raises UsageError for a target or a number of workers below 1, and what a worker raises.
    """
    if target < 1 or workers < 1:
        raise UsageError(f"{target} trials by {workers} workers: expected at least 1 of each")
    if len(study.finished()) >= target:
        return True
    data_folder = data.folder
    if not holds_idx(data_folder):
        # What is no folder of IDX files is read once, for all workers.
        data_folder = folder_of(study.name) / "data" / data.fingerprint[:12]
        if not data_folder.is_dir():
            write_dataset(data, data_folder)
    job = Job(
        storage=storage or DEFAULT_STORAGE,
        study=study.name,
        target=target,
        folder=folder_of(study.name) / "trials",
        data_folder=data_folder,
        data_seed=data.seed,
        worker="",
    )
    with _Workers(study, job, workers) as processes:
        while True:
            # Counted before the trials are: what a worker stores just before it ends must be seen.
            working = processes.keep_working()
            finished = study.finished()
            if watch:
                watch(finished)
            if len(finished) >= target and not working:
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)


class _Workers:
    """Processes that train a study's trials. The end of the context kills them, and queues their trials anew."""

    def __init__(self, study: Study, job: Job, count: int) -> None:
        threads = f"{max(1, (os.cpu_count() or 1) // count)}"
        self._environment = {"TF_NUM_INTRAOP_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, **os.environ}
        self._study, self._job, self._count = study, job, count
        self._workers: list[_Worker] = []
        self._finished, self._deaths = 0, 0

    def keep_working(self) -> int:
        """Replace workers that have ended while there is work left; returns how many are at work.

        Raises what a worker raised; QualityError when MAX_DEATHS in a row were killed.
        """
        for worker in [worker for worker in self._workers if worker.status is not None]:
            self._workers.remove(worker)
            error = worker.close()
            if worker.status:
                self._study.give_back([worker.name])
            if error:
                raise error
            if worker.status:
                self._note_death(worker.status)
        if len(self._study.finished()) < self._job.target:
            while len(self._workers) < self._count:
                self._workers.append(_Worker(self._job, self._environment))
        return len(self._workers)

    def _note_death(self, status: int) -> None:
        finished = len(self._study.finished())
        self._deaths = 1 if finished > self._finished else self._deaths + 1
        self._finished = finished
        if self._deaths > MAX_DEATHS:
            raise QualityError(
                f"{self._deaths} workers were killed (signal {-status}) without finishing a trial; expected "
                "enough memory: use fewer --workers"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.kill()
        if self._workers:
            self._study.give_back([worker.name for worker in self._workers])


class _Worker:
    """A process of `tuning.worker`."""

    def __init__(self, job: Job, environment: dict[str, str]) -> None:
        self.name = uuid.uuid4().hex
        self._output, self._messages = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mnist_digits.training.tuning.worker"],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=self._messages,
            env=environment,
            # Ctrl-C is for the process that started it, which then kills it.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        # Not as an argument: others could read the password there. One that was killed at once is found by its status.
        with suppress(BrokenPipeError):
            self._process.stdin.write(pickle.dumps(replace(job, worker=self.name)))
            self._process.stdin.flush()

    @property
    def status(self) -> int | None:
        """The process's exit status, below 0 the signal that killed it; None while it runs."""
        return self._process.poll()

    def close(self) -> Exception | None:
        """Close the files of a process that has ended; returns what it raised, None when it was killed or is done."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with self._output, self._messages:
            self._output.seek(0)
            self._messages.seek(0)
            if self._process.returncode <= 0:
                return None
            try:
                error: Exception = pickle.load(self._output)
            except (EOFError, pickle.UnpicklingError):
                messages = self._messages.read().decode(errors="replace").strip()
                error = RuntimeError(f"a worker ended with status {self._process.returncode}\n{messages}")
            return error

    def kill(self) -> None:
        """End the process at once, which loses at most the epoch that it trains."""
        self._process.kill()
        self._process.wait()
        self.close()
