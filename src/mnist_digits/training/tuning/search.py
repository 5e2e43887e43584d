"""search(): the best values of a recipe's fields, by validation accuracy, over any number of processes and machines."""

import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from optuna.trial import FrozenTrial

from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError, DigitsError, QualityError, UsageError
from mnist_digits.files import read_json, write_json
from mnist_digits.runs import RUNS
from mnist_digits.training.tuning.storage import DEFAULT_STORAGE
from mnist_digits.training.tuning.study import POLL, Study
from mnist_digits.training.tuning.worker import Job

DEATHS = 3
"""So many workers may die without a trial being finished in between."""
UNITS = {"s": 1, "m": 60, "h": 3600}

Watch = Callable[[Sequence[FrozenTrial]], None]
"""Called again and again with all of a study's finished trials."""


def folder_of(study: str) -> Path:
    """Where this machine keeps a study's trials and results."""
    return RUNS / f"tune-{study}"


def claim_folder(study: Study) -> Path:
    """That folder, made for this very study.

    Raises DataError when it belongs to another one of the same name, in another database, or cannot be made.
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
    return float(found[1]) * UNITS[found[2]]


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
    """Train trials until the study has `target` finished ones; whether it has them now.

    data: the images of the study's plan. workers: processes here, each with its share of the cores; others elsewhere
    may work on the same study. storage: the address that the study was opened at. deadline: seconds of
    `time.monotonic()` at which to stop. watch: see Watch. Trials under way at the deadline, at Ctrl-C or at any
    other error go back into the queue, to be continued after their last finished epoch.

    Raises UsageError for a target or a number of workers below 1, and what a worker raises.
    """
    if target < 1 or workers < 1:
        raise UsageError(f"{target} trials by {workers} workers: expected at least 1 of each")
    if len(study.finished()) >= target:
        return True
    job = Job(
        storage=storage or DEFAULT_STORAGE,
        study=study.name,
        target=target,
        folder=str(folder_of(study.name) / "trials"),
        data_folder=str(data.folder),
        data_seed=data.seed,
        worker="",
    )
    with _Workers(study, job, workers) as crew:
        while True:
            # Looked at first: what a worker brings back at its end must be seen.
            working = crew.keep_working()
            finished = study.finished()
            if watch:
                watch(finished)
            if len(finished) >= target and not working:
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(POLL)


class _Workers:
    """Processes that train a study's trials; whatever ends the context ends them, and their trials go back."""

    def __init__(self, study: Study, job: Job, count: int) -> None:
        threads = max(1, (os.cpu_count() or 1) // count)
        self._environment = {"TF_NUM_INTRAOP_THREADS": f"{threads}", "OPENBLAS_NUM_THREADS": f"{threads}", **os.environ}
        self._study, self._job, self._count = study, job, count
        self._crew: dict[str, _Worker] = {}
        self._finished, self._deaths = 0, 0

    def keep_working(self) -> int:
        """Replace workers that have ended while there is work left; gives the number of those that are at work.

        Raises what a worker ended with: a DigitsError, or RuntimeError for a bug in it.
        """
        for name, worker in list(self._crew.items()):
            if worker.ended:
                del self._crew[name]
                if worker.killed:
                    worker.close()
                    self._study.give_back([name])
                    self._note_death(worker)
                else:
                    worker.raise_its_error()
        if len(self._study.finished()) < self._job.target:
            for _ in range(self._count - len(self._crew)):
                worker = _Worker(self._job, self._environment)
                self._crew[worker.name] = worker
        return len(self._crew)

    def _note_death(self, worker: "_Worker") -> None:
        finished = len(self._study.finished())
        self._deaths = 1 if finished > self._finished else self._deaths + 1
        self._finished = finished
        if self._deaths > DEATHS:
            raise QualityError(
                f"{self._deaths} workers were killed (signal {-worker.status}) without finishing a trial; expected "
                "enough memory: use fewer --workers"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._crew.values():
            worker.kill()
        if self._crew:
            self._study.give_back(list(self._crew))


class _Worker:
    """One process of `search_worker`."""

    def __init__(self, job: Job, environment: dict[str, str]) -> None:
        self.name = uuid.uuid4().hex
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mnist_digits.training.tuning.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            text=True,
            env=environment,
            # Ctrl-C is for whoever started it, which ends it.
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(Job(**{**vars(job), "worker": self.name}).to_line())
        self._process.stdin.flush()

    @property
    def ended(self) -> bool:
        """Whether its process has."""
        return self._process.poll() is not None

    @property
    def status(self) -> int:
        """What its process ended with; below 0 the signal that killed it."""
        return self._process.returncode

    @property
    def killed(self) -> bool:
        """Whether a signal ended its process."""
        return self.status < 0

    def raise_its_error(self) -> None:
        """Raise what it ended with, if that was an error."""
        self._said.seek(0)
        said = self._said.read().strip()
        self.close()
        for kind in DigitsError.__subclasses__():
            if self.status == kind.exit_status:
                raise kind(said.splitlines()[-1] if said else "a worker failed without a word")
        if self.status:
            raise RuntimeError(f"a worker ended with status {self.status}\n{said}")

    def kill(self) -> None:
        """End its process at once; it is made for that."""
        self._process.kill()
        self._process.wait()
        self.close()

    def close(self) -> None:
        """Close what led to the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._said.close()
