"""Studies for tests: small plans, trials that are finished or left running at once, and what a storage holds."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from mnist_digits.training import RECIPES
from mnist_digits.training.recipes import Recipe
from mnist_digits.training.tuning.plan import StudyPlan
from mnist_digits.training.tuning.storage import open_storage
from mnist_digits.training.tuning.study import Study

NO_DISTORTION = {"rotation": "0", "scaling": "0", "shear": "0", "translation": "0", "elastic": "0"}
TINY = ["--set=epochs=2", "--set=jit_compile=false", *(f"--set={name}=0" for name in NO_DISTORTION)]
"""Arguments of `digits tune` for trials of a second."""

Begin = Callable[..., Study]


def plan(seed: int = 0, recipe: Recipe = RECIPES["dense"], **settings: str) -> StudyPlan:
    return StudyPlan(recipe.with_settings(settings), tuple(settings), seed, "images")


def sqlite_in(folder: Path) -> str:
    return f"sqlite:///{folder}/tuning.db"


class _Died(Exception):
    pass


def leave_running(study: Study, target: int, worker: str) -> FrozenTrial | None:
    """A trial that its worker has begun, as it is when the worker dies; None when the study is full."""
    begun = []

    def train(_: optuna.Trial, frozen: FrozenTrial) -> float:
        begun.append(frozen)
        raise _Died

    with suppress(_Died):
        study.run_next(train, target, worker)
    return begun[-1] if begun else None


def finish(study: Study, target: int, worker: str, value: float | None = None) -> FrozenTrial | None:
    """A trial whose accuracy is `value`, or else its number; None when the study is full."""
    done: list[FrozenTrial] = []
    result = lambda _, frozen: float(frozen.number if value is None else value)  # noqa: E731
    while not done and study.run_next(result, target, worker, done.append):
        pass
    return done[0] if done else None


def finish_all(study: Study, target: int, worker: str) -> list[dict[str, Any]]:
    """The values of all trials that were left for this worker, in order."""
    values = []
    while (trial := finish(study, target, worker)) is not None:
        values.append(trial.params)
    return values


def trials(storage: str, study: str = "dense") -> list[FrozenTrial]:
    """The study's trials; none before it has been created."""
    opened = open_storage(storage, create=False)
    try:
        return optuna.load_study(storage=opened, study_name=study).trials
    except KeyError:
        return []
    finally:
        opened.engine.dispose()


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> None:
    """Wait, on a busy machine for long, and fail after that."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
