"""What a worker does: take a trial out of a study, train it, bring back its validation accuracy.

`python -m mnist_digits.training.tuning.worker` reads a Job from its first line of input, and ends when there is no
trial left, or with the process that started it.
"""

import gc
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from mnist_digits.dataset import Dataset, load_mnist
from mnist_digits.errors import DataError, DigitsError, QualityError, UsageError
from mnist_digits.runs import Run
from mnist_digits.training import backend
from mnist_digits.training.plan import check_data, check_same, create_run, read_plan
from mnist_digits.training.recipes import Recipe
from mnist_digits.training.tuning.space import apply_values
from mnist_digits.training.tuning.storage import Patience, open_storage
from mnist_digits.training.tuning.study import Study

TRIALS_PER_PROCESS = 20
"""A compiled program and its images stay in memory, 60 MB a trial, until their process ends."""
UNJUDGED = 0.0
"""The accuracy of a network whose loss has become infinite."""


@dataclass(frozen=True)
class Job:
    """What a worker needs to know."""

    storage: str
    """The database's address."""
    study: str
    target: int
    """So many finished trials shall the study have."""
    folder: str
    """Where trials are kept while they are trained, and what is left of them."""
    data_folder: str
    data_seed: int
    worker: str
    """The worker's own name, which no other has."""

    def to_line(self) -> str:
        """As `main` reads it. Not an argument of the process: others could read the password there."""
        return json.dumps(asdict(self)) + "\n"


def work(job: Job) -> None:
    """Train trials until the study has as many as it shall have, or this process has trained enough.

    Raises DataError when the study is about other images.
    """
    data = load_mnist(Path(job.data_folder), job.data_seed)
    study = Study.open(open_storage(job.storage, create=False), job.study, Patience())
    if study.plan.fingerprint != data.fingerprint:
        raise DataError(f"{job.study}: a study on other images; continue it with the --data it was begun with")
    backend.start_keras()
    for _ in range(TRIALS_PER_PROCESS):
        trial = study.take(job.target, job.worker)
        if trial is None:
            return
        train_trial(study, trial, data, Path(job.folder))


def train_trial(study: Study, trial: optuna.Trial, data: Dataset, folder: Path) -> None:
    """Train one trial, epoch by epoch, and bring back its validation accuracy; the test images are not looked at.

    folder: holds a folder for each trial with its recipe and history, and while it is trained its checkpoint, from
    which an interrupted one goes on. A trial that others took for dead meanwhile is left to them.
    """
    from mnist_digits.training.engine import checkpoint

    recipe = apply_values(study.plan.recipe, trial.params)
    taken = study.trials()[trial.number]
    known = set(taken.intermediate_values)
    # One that was interrupted goes on in the folder where it began.
    run = _open_run(folder / f"{taken.system_attrs.get('failed_trial', trial.number)}", recipe, data, study.plan.seed)

    def report(epoch: int, accuracy: float) -> None:
        if epoch - 1 not in known:
            study.patience(lambda: trial.report(accuracy, epoch - 1))

    def follow(epoch: int, row: dict[str, float]) -> None:
        report(epoch, row["val_accuracy"])
        if epoch < recipe.epochs and study.patience(trial.should_prune):
            raise optuna.TrialPruned

    begun = time.process_time()
    value, state = None, TrialState.PRUNED
    try:
        with study.kept_alive(trial.number):
            try:
                history = _fit(run, recipe, data, follow)
                value, state = float(history[-1, checkpoint.COLUMNS.index("val_accuracy")]), TrialState.COMPLETE
            except optuna.TrialPruned:
                pass
            except QualityError:
                report(recipe.epochs, UNJUDGED)
            study.patience(lambda: trial.set_user_attr("processor_seconds", time.process_time() - begun))
            study.tell(trial.number, value, state)
    except UpdateFinishedTrialError:
        return
    run.discard_checkpoint()
    gc.collect()


def _fit(run: Run, recipe: Recipe, data: Dataset, follow: Callable[[int, dict[str, float]], None]) -> np.ndarray:
    from mnist_digits.training.train import Observers, fit_network

    precision = backend.available_precision(recipe.precision)
    return fit_network(run, read_plan(run), data, Observers(progress=follow), precision)[1]


def _open_run(folder: Path, recipe: Recipe, data: Dataset, seed: int) -> Run:
    """The folder of a trial, with what an interrupted training of the same left in it, or empty."""
    run = Run(folder)
    if run.recipe.exists():
        try:
            check_same(run, recipe, seed)
            check_data(run, data)
        except (UsageError, DataError):
            shutil.rmtree(folder)
        else:
            run.remove_leftovers()
            return run
    shutil.rmtree(folder, ignore_errors=True)
    return create_run(recipe, data, folder, seed)


def _end_with_parent() -> None:
    # Not through sys.stdin, whose lock a thread that waits there would hold to the end.
    while os.read(0, 1):
        pass
    # Nothing to tidy up: a worker may be killed at any time.
    os._exit(1)


def main() -> int:
    """Work on the job that is read; returns the exit status."""
    job = Job(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work(job)
    except DigitsError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
