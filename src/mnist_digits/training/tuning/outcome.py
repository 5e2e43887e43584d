"""The outcome of a study: its numbers, its best recipe as a file, and how that compares with the one it began with."""

import shlex
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mnist_digits.dataset import Dataset
from mnist_digits.errors import DataError, UsageError
from mnist_digits.files import read_json, write_json
from mnist_digits.training.recipes import write_recipe
from mnist_digits.training.train import Announce, train_seeds
from mnist_digits.training.tuning.storage import WORKER
from mnist_digits.training.tuning.study import FINISHED, POLL_S, Study

BEST, COMPARISON, REPORT = "best.json", "comparison.json", "report.html"
"""Files in a study's folder: the best recipe, its comparison with the default, and the report."""


def summarise(study: Study) -> dict[str, Any]:
    """A study in numbers, as JSON.

    `study`, `recipe` (its name), `seed`, `space` (the fields searched); the numbers of trials `finished`, `pruned`,
    `running`, `waiting` and `interrupted`; the total `seconds` of the finished ones, and their `processor_seconds`,
    None where a trial does not say; `default` and `best`, the first and the best trial, None while there is none,
    each with `trial`, `validation_accuracy` and `values`.
    """
    trials = study.trials()
    counts = {state: sum(trial.state == state for trial in trials) for state in TrialState}
    finished = [trial for trial in trials if trial.state in FINISHED]
    processor = [trial.user_attrs.get("processor_seconds") for trial in finished]
    best = study.best()
    # By its values: one that was interrupted was finished under another number than 0.
    first = next((trial for trial in finished if trial.params == study.plan.default_values), None)
    return {
        "study": study.name,
        "recipe": study.plan.recipe.name,
        "seed": study.plan.seed,
        "space": list(study.plan.space),
        "finished": len(finished),
        "pruned": counts[TrialState.PRUNED],
        "running": counts[TrialState.RUNNING],
        "waiting": counts[TrialState.WAITING],
        "interrupted": sum(WORKER in trial.user_attrs for trial in trials if trial.state == TrialState.FAIL),
        "seconds": sum(trial.duration.total_seconds() for trial in finished if trial.duration),
        "processor_seconds": None if None in processor else sum(processor),
        "default": _describe(first) if first else None,
        "best": _describe(best) if best else None,
    }


def _describe(trial: FrozenTrial) -> dict[str, Any]:
    return {"trial": trial.number, "validation_accuracy": trial.value, "values": trial.params}


def write_best(study: Study, folder: Path) -> Path:
    """Write the best recipe as `best.json`, for `digits train --recipe`; returns its path.

    Raises UsageError before a trial has run to its end.
    """
    best = study.best()
    if best is None:
        raise UsageError(f"{study.name}: no trial has come to its end yet; give it more time: the same command goes on")
    origin = {"name": study.name, **_describe(best), "finished": len(study.finished())}
    write_recipe(folder / BEST, study.recipe_of(best), study=origin)
    return folder / BEST


def compare_with_default(
    study: Study,
    data: Dataset,
    folder: Path,
    seeds: int,
    announce: Announce | None = None,
    on_wait: Callable[[], None] | None = None,
) -> dict[str, Any] | None:
    """Train the study's best recipe and the one it began with over several seeds, none of them the study's own.

    Returns, and writes as `comparison.json`: `trial` and `seeds`, the summaries of `train_seeds` as `default` and
    `best`, and `p_value`, the probability of so different test accuracies if the recipes were equally good (Welch's
    test). None when the study found nothing better than the default. Runs that are finished are kept, an interrupted
    one is resumed. While another process compares in this folder this one waits, after a call of `on_wait`, and then
    finds all of it done.
    """
    best = study.best()
    assert best is not None
    recipe, default = study.recipe_of(best), study.plan.recipe
    if recipe == default:
        (folder / COMPARISON).unlink(missing_ok=True)
        return None
    first_seed = study.plan.seed + 1
    with _locked(folder, on_wait):
        summaries = {
            name: read_json(
                train_seeds(of, data, seeds, folder / "comparison" / place, first_seed, announce=announce),
            )
            for name, of, place in (("default", default, "default"), ("best", recipe, f"trial-{best.number}"))
        }
        accuracies = [summaries[name]["test_accuracy"]["values"] for name in ("best", "default")]
        comparison = {"trial": best.number, "seeds": seeds, "p_value": _welch(*accuracies), **summaries}
        write_json(folder / COMPARISON, comparison)
    return comparison


@contextmanager
def _locked(folder: Path, on_wait: Callable[[], None] | None) -> Iterator[None]:
    """Hold the folder's lock. SQLite's locks work on every system, and end with their process."""
    with closing(sqlite3.connect(folder / ".lock", timeout=0, isolation_level=None)) as lock:
        waiting = False
        while not lock.in_transaction:
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise DataError(f"{folder}: {error}; expected a folder that can be written: free it") from error
                if on_wait and not waiting:
                    on_wait()
                waiting = True
                time.sleep(POLL_S)
        yield


def _welch(first: list[float], second: list[float]) -> float | None:
    """The p-value of Welch's t-test; None for fewer than two values each, or values that do not vary."""
    from scipy import stats

    if min(len(first), len(second)) < 2 or len(set(first)) == len(set(second)) == 1:
        return None
    return float(stats.ttest_ind(first, second, equal_var=False).pvalue)


def read_comparison(study: Study, folder: Path) -> dict[str, Any] | None:
    """What `compare_with_default` wrote last; None unless it is about the trial that is now the best."""
    best = study.best()
    if best is None or not (folder / COMPARISON).exists():
        return None
    comparison: dict[str, Any] = read_json(folder / COMPARISON)
    return comparison if comparison.get("trial") == best.number else None


def train_command(path: Path) -> str:
    """The command that trains the recipe in a file."""
    return shlex.join(["digits", "train", "--recipe", str(path)])
