"""A worker process: it takes trials out of a study, trains them, and stores their validation accuracy.

`python -m mnist_digits.training.tuning.worker` reads a pickled Job from its input. It ends when no trial is left, or
with the process that started it, and writes the pickled exception that ended it, if any, to its output.
"""

import gc
import os
import pickle
import shutil
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from mnist_digits.dataset import Dataset, load_mnist
from mnist_digits.errors import DataError, QualityError, UsageError
from mnist_digits.runs import Run
from mnist_digits.training import backend
from mnist_digits.training.plan import check_data, check_same, create_run, read_plan
from mnist_digits.training.recipes import Recipe
from mnist_digits.training.tuning.storage import open_storage
from mnist_digits.training.tuning.study import Study

TRIALS_PER_PROCESS = 20
"""Trials until a worker is replaced: compiled programs and their images, 60 MB a trial, are freed only with it."""
DIVERGED_ACCURACY = 0.0
"""Validation accuracy of a network whose loss has become infinite."""


@dataclass(frozen=True)
class Job:
    """What a worker needs to know."""

    storage: str
    """Address of the database, which may hold a password."""
    study: str
    target: int
    """Number of finished trials that the study shall have."""
    folder: Path
    """Holds a folder for each trial."""
    data_folder: Path
    data_seed: int
    worker: str
    """The worker's name, which no other has."""


def work(job: Job) -> None:
    """Train trials until the study has as many as it shall have, or TRIALS_PER_PROCESS.

    Raises DataError when the study is about other images.
    """
    data = load_mnist(job.data_folder, job.data_seed)
    study = Study.open(open_storage(job.storage, create=False), job.study)
    if study.plan.fingerprint != data.fingerprint:
        raise DataError(f"{job.study}: a study on other images; continue it with the --data it was begun with")
    backend.start_keras()
    for _ in range(TRIALS_PER_PROCESS):
        if not run_next(study, data, job.folder, job.target, job.worker):
            return


def run_next(study: Study, data: Dataset, folder: Path, target: int, worker: str) -> bool:
    """Train one trial and store its validation accuracy; see `Study.run_next`. The test images are not used.

    folder: holds a folder for each trial with its recipe and history, and while it is trained its checkpoint, from
    which an interrupted one goes on.
    """

    def after(trial: FrozenTrial) -> None:
        _run_of(trial, folder).discard_checkpoint()
        gc.collect()

    return study.run_next(partial(_train, study, data, folder), target, worker, after)


def _train(study: Study, data: Dataset, folder: Path, trial: optuna.Trial, frozen: FrozenTrial) -> float:
    from mnist_digits.training.engine import checkpoint
    from mnist_digits.training.train import Observers, fit_network

    recipe = study.recipe_of(frozen)
    run = _open_run(_run_of(frozen, folder), recipe, data, study.plan.seed)

    def report(epoch: int, accuracy: float) -> None:
        # One that goes on has the results of its first epochs already.
        if epoch - 1 not in frozen.intermediate_values:
            trial.report(accuracy, epoch - 1)

    def follow(epoch: int, row: dict[str, float]) -> None:
        report(epoch, row["val_accuracy"])
        if epoch < recipe.epochs and trial.should_prune():
            raise optuna.TrialPruned

    begun = time.process_time()
    accuracy = None
    try:
        precision = backend.available_precision(recipe.precision)
        _, history = fit_network(run, read_plan(run), data, Observers(progress=follow), precision)
        accuracy = float(history[-1, checkpoint.COLUMNS.index("val_accuracy")])
    except optuna.TrialPruned:
        pass
    except QualityError:
        report(recipe.epochs, DIVERGED_ACCURACY)
    trial.set_user_attr("processor_seconds", time.process_time() - begun)
    if accuracy is None:
        raise optuna.TrialPruned
    return accuracy


def _run_of(trial: FrozenTrial, folder: Path) -> Run:
    # A trial that was queued anew goes on in the folder where it began.
    return Run(folder / f"{trial.system_attrs.get('failed_trial', trial.number)}")


def _open_run(run: Run, recipe: Recipe, data: Dataset, seed: int) -> Run:
    """The run, with what an interrupted training of the same recipe left in its folder, or empty."""
    if run.recipe.exists():
        try:
            check_same(run, recipe, seed)
            check_data(run, data)
        except (UsageError, DataError):
            pass
        else:
            run.remove_leftovers()
            return run
    shutil.rmtree(run.folder, ignore_errors=True)
    return create_run(recipe, data, run.folder, seed)


def _end_with_parent() -> None:
    # Not through sys.stdin, whose lock a thread that waits there would hold to the end.
    while os.read(0, 1):
        pass
    # Nothing to tidy up: a worker may be killed at any time.
    os._exit(1)


def main() -> int:
    """Work on the job that is read; returns the exit status."""
    # Prints of others must not get between what is pickled.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    job: Job = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work(job)
    except Exception as error:
        error.add_note(f"in a worker:\n{traceback.format_exc()}")
        with output:
            pickle.dump(error, output)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
