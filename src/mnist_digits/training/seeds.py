"""One recipe over several seeds: what a result is worth is seen from its spread."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_digits.dataset import Dataset
from mnist_digits.errors import UsageError
from mnist_digits.files import read_json, write_json
from mnist_digits.runs import Run
from mnist_digits.training.plan import check_data, check_same, create_run
from mnist_digits.training.recipes import Recipe
from mnist_digits.training.train import Progress, resume

if TYPE_CHECKING:
    import keras

SUMMARY = "summary.json"

Announce = Callable[[Run], Progress]
"""Called before each training with its run; gives what is then called after every epoch."""


def new_series(recipe: Recipe, count: int, folder: Path | None = None) -> Path:
    """A new, empty folder for `train_seeds`: `folder`, or `runs/<recipe>-x<count>`, numbered when taken.

    Raises DataError when the folder holds something already or cannot be made.
    """
    return Run.create(f"{recipe.name}-x{count}", folder).folder


def train_seeds(
    recipe: Recipe,
    data: Dataset,
    count: int,
    folder: Path,
    first_seed: int = 0,
    *,
    callbacks: Sequence["keras.callbacks.Callback"] = (),
    tensorboard: bool = False,
    announce: Announce | None = None,
) -> Path:
    """Train one run per seed, one after another, and summarise them; returns the path of the summary.

    count: how many seeds, from `first_seed` on. folder: will hold `seed-N` for each run, and `summary.json`.
    callbacks, tensorboard: as in `train`. announce: see Announce. Members in there that are finished are kept, an
    interrupted one is resumed: the same call continues what was broken off.
    Raises UsageError for a count below 1 or a member of another recipe, DataError for one of other data,
    before anything is trained; and as `train` does.
    """
    if count < 1:
        raise UsageError(f"{count} seeds: expected at least 1")
    members = [Run(folder / f"seed-{seed}") for seed in range(first_seed, first_seed + count)]
    begun = [member.recipe.exists() for member in members]
    for seed, member in enumerate(members, first_seed):
        if begun[seed - first_seed]:
            check_same(member, recipe, seed)
            check_data(member, data)
    for seed, member in enumerate(members, first_seed):
        if not begun[seed - first_seed]:
            create_run(recipe, data, member.folder, seed)
        if not member.finished:
            progress = announce(member) if announce else None
            resume(member, data, callbacks=callbacks, tensorboard=tensorboard, progress=progress)
    write_json(folder / SUMMARY, summarise(members))
    return folder / SUMMARY


def summarise(members: list[Run]) -> dict[str, Any]:
    """Mean and spread of finished runs of one recipe, as JSON.

    Accuracies are fractions on the test set; the standard deviation is the sample's (n - 1).
    Raises DataError when a member's files are missing.
    """
    metrics = [read_json(member.metrics) for member in members]
    plan = read_json(members[0].recipe)
    return {
        "recipe": plan["recipe"],
        "data": plan["data"]["fingerprint"],
        "parameters": metrics[0]["training"]["parameters"],
        "count": len(members),
        "test_accuracy": _spread([run["test"]["accuracy"] for run in metrics]),
        "validation_accuracy": _spread([run["validation"]["accuracy"] for run in metrics]),
        "test_loss": _spread([run["test"]["loss"] for run in metrics]),
        "seconds": _spread([run["training"]["seconds"] for run in metrics]),
        "seeds": [read_json(member.recipe)["seed"] for member in members],
        "environment": read_json(members[0].environment),
    }


def _spread(values: list[float]) -> dict[str, Any]:
    return {
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else 0.0,
        "min": min(values),
        "max": max(values),
        "values": values,
    }
