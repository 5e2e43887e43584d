"""What a study has come to: its best recipe as a file, and whether that is better than the one it began with."""

import shlex
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mnist_digits.dataset import Dataset
from mnist_digits.errors import UsageError
from mnist_digits.files import read_json, write_json
from mnist_digits.training.recipes import by_current_names, write_recipe
from mnist_digits.training.train import Announce, train_seeds
from mnist_digits.training.tuning.space import default_values
from mnist_digits.training.tuning.study import FINISHED, Study

BEST, COMPARISON, REPORT = "best.json", "comparison.json", "report.html"
"""In a study's folder: the best recipe, what it is worth, and the page that shows it all."""


def summarise(study: Study) -> dict[str, Any]:
    """A study in numbers, as JSON.

    `study`, `recipe` (its name), `seed`, `space` (the fields searched), the numbers of trials `finished`, `pruned`,
    `running`, `waiting` and `interrupted`, the `seconds` that the finished ones took their workers one after another,
    and of the processor `processor_seconds`, None where a trial does not say. Of the first and the best trial, None
    while there is none, `default` and `best`, each with `trial`, `validation_accuracy` and `values`.
    """
    trials = study.trials()
    counts = {state: sum(trial.state == state for trial in trials) for state in TrialState}
    finished = [trial for trial in trials if trial.state in FINISHED]
    processor = [trial.user_attrs.get("processor_seconds") for trial in finished]
    best = study.best()
    own_values = default_values(study.plan.recipe, study.plan.space)
    # Interrupted, it was finished under another number than 0.
    first = next((trial for trial in finished if by_current_names(trial.params) == own_values), None)
    return {
        "study": study.name,
        "recipe": study.plan.recipe.name,
        "seed": study.plan.seed,
        "space": list(study.plan.space),
        "finished": len(finished),
        "pruned": counts[TrialState.PRUNED],
        "running": counts[TrialState.RUNNING],
        "waiting": counts[TrialState.WAITING],
        "interrupted": sum("worker" in trial.user_attrs for trial in trials if trial.state == TrialState.FAIL),
        "seconds": sum(trial.duration.total_seconds() for trial in finished if trial.duration),
        "processor_seconds": None if None in processor else sum(processor),
        "default": _describe(first) if first else None,
        "best": _describe(best) if best else None,
    }


def _describe(trial: FrozenTrial) -> dict[str, Any]:
    return {"trial": trial.number, "validation_accuracy": trial.value, "values": by_current_names(trial.params)}


def write_best(study: Study, folder: Path) -> Path:
    """Write the best recipe as `best.json`, for `digits train --recipe`; returns its path.

    Raises UsageError while no trial has run to its end.
    """
    best = study.best()
    if best is None:
        raise UsageError(f"{study.name}: no trial has come to its end yet; give it more time: the same command goes on")
    origin = {"name": study.name, **_describe(best), "finished": len(study.finished())}
    write_recipe(folder / BEST, study.recipe_of(best), study=origin)
    return folder / BEST


def compare_with_default(
    study: Study, data: Dataset, folder: Path, seeds: int, announce: Announce | None = None
) -> dict[str, Any] | None:
    """Train the study's best recipe and the one it began with over several seeds, none of them the study's own.

    Returns, and writes as `comparison.json`: `trial` and `seeds`, the summaries of `train_seeds` as `default` and
    `best`, and `p_value`, how likely two equally good recipes would differ so on the test images (Welch's test).
    None when the study found nothing better than what it began with. What has been trained already is kept, an
    interrupted run is resumed.
    """
    best = study.best()
    assert best is not None
    recipe, default = study.recipe_of(best), study.plan.recipe
    if recipe == default:
        (folder / COMPARISON).unlink(missing_ok=True)
        return None
    first_seed = study.plan.seed + 1
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


def _welch(first: list[float], second: list[float]) -> float | None:
    """The p-value of Welch's t-test; None for fewer than two values each, or values that do not vary."""
    from scipy import stats

    if min(len(first), len(second)) < 2 or len(set(first)) == len(set(second)) == 1:
        return None
    return float(stats.ttest_ind(first, second, equal_var=False).pvalue)


def read_comparison(study: Study, folder: Path) -> dict[str, Any] | None:
    """What `compare_with_default` wrote last, if it is about the trial that is now the best."""
    best = study.best()
    if best is None or not (folder / COMPARISON).exists():
        return None
    comparison: dict[str, Any] = read_json(folder / COMPARISON)
    return comparison if comparison.get("trial") == best.number else None


def train_command(path: Path) -> str:
    """What trains the recipe in a file."""
    return shlex.join(["digits", "train", "--recipe", str(path)])
