"""Runs on the same images: whether one is better than another, and the spread over several seeds."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_digits.errors import DataError, UsageError
from mnist_digits.evaluation.metrics import evaluate
from mnist_digits.evaluation.run_files import DataSource, Results, SplitMetrics, read_results
from mnist_digits.files import read_json
from mnist_digits.runs import Run


@dataclass(frozen=True)
class McNemar:
    """Result of McNemar's exact test (McNemar 1947), of the images that just one of two models misreads."""

    only_first: int
    """Number of images that only the first model reads correctly."""
    only_second: int
    """Number of images that only the second model reads correctly."""
    p_value: float
    """Probability, in [0, 1], of a split at least as uneven if both models were equally accurate."""


def mcnemar(labels: NDArray[np.integer], first: NDArray[np.integer], second: NDArray[np.integer]) -> McNemar:
    """Compare two models' predictions, integers (n,), for the same labels, integers (n,).

    Raises ValueError for arrays of different lengths.
    """
    from scipy.stats import binomtest

    if not labels.shape == first.shape == second.shape:
        raise ValueError(f"labels {labels.shape}, predictions {first.shape} and {second.shape}, expected equal shapes")
    first_right, second_right = first == labels, second == labels
    only_first, only_second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    differing = only_first + only_second
    p_value = float(binomtest(only_first, differing).pvalue) if differing else 1.0
    return McNemar(only_first, only_second, p_value)


Readings = tuple[NDArray[np.uint8], Sequence[NDArray[np.float32]]]
"""Labels of a set's test images, uint8 (n,), and each run's probabilities for them, float32 (n, 10)."""


def compare_runs(runs: Sequence[Run], readings: Readings | None = None) -> list[dict[str, Any]]:
    """A row for each run, in order, as JSON: its numbers on the test images, and its difference from the first run.

    readings: of other images than those that the runs were tested on.

    Each row: `run`, `recipe`, `seed`, `parameters`, `seconds`, `accuracy`, `interval95`, and but for the first
    `against_first` with the fields of McNemar. Raises UsageError for fewer than two runs, DataError when one
    is not finished or they were not tested on the same images.
    """
    if len(runs) < 2:
        raise UsageError(f"{len(runs)} run(s) to compare, expected two or more")
    results = [read_results(run) for run in runs]
    if readings:
        labels, probabilities = readings
        results = [_on_others(*pair, labels) for pair in zip(results, probabilities, strict=True)]
    rows = []
    for run, result in zip(runs, results, strict=True):
        row = _describe(run, result)
        if result is not results[0]:
            row["against_first"] = _against(results[0], result, runs[0], run)
        rows.append(row)
    return rows


def _describe(run: Run, result: Results) -> dict[str, Any]:
    test, training = result.metrics.test, result.metrics.training
    return {
        "run": str(run.folder),
        "recipe": result.recipe.recipe.name,
        "seed": result.recipe.seed,
        "parameters": training.parameters,
        "seconds": training.seconds,
        "accuracy": test.accuracy,
        "interval95": list(test.interval95),
    }


def _on_others(result: Results, probabilities: NDArray[np.float32], labels: NDArray[np.uint8]) -> Results:
    """A run's results, with those on other images in the place of those on its test images."""
    test = SplitMetrics.model_validate(evaluate(labels, probabilities).to_json())
    recipe = result.recipe.model_copy(update={"data": DataSource(folder=None, seed=0, fingerprint="")})
    metrics = result.metrics.model_copy(update={"test": test})
    return replace(result, recipe=recipe, metrics=metrics, labels=labels, probabilities=probabilities)


def _against(first: Results, second: Results, first_run: Run, second_run: Run) -> dict[str, Any]:
    if first.recipe.data.fingerprint != second.recipe.data.fingerprint:
        raise DataError(
            f"{second_run.folder}: tested on other images than {first_run.folder}; compare runs on the same data"
        )
    test = mcnemar(first.labels, first.probabilities.argmax(1), second.probabilities.argmax(1))
    return asdict(test)


def summarise_runs(runs: Sequence[Run]) -> dict[str, Any]:
    """Mean and spread of finished runs of one recipe, as JSON.

    Accuracies are fractions of the test images; standard deviations are the sample's (n - 1).
    Raises DataError when a file of a run is missing.
    """
    metrics, plans = [read_json(run.metrics) for run in runs], [read_json(run.recipe) for run in runs]
    return {
        "recipe": plans[0]["recipe"],
        "data": plans[0]["data"]["fingerprint"],
        "parameters": metrics[0]["training"]["parameters"],
        "count": len(runs),
        "test_accuracy": _spread([run["test"]["accuracy"] for run in metrics]),
        "validation_accuracy": _spread([run["validation"]["accuracy"] for run in metrics]),
        "test_loss": _spread([run["test"]["loss"] for run in metrics]),
        "seconds": _spread([run["training"]["seconds"] for run in metrics]),
        "seeds": [plan["seed"] for plan in plans],
        "environment": read_json(runs[0].environment),
    }


def _spread(values: list[float]) -> dict[str, Any]:
    return {
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else 0.0,
        "min": min(values),
        "max": max(values),
        "values": values,
    }
