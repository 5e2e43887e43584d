"""How fast the recipes train on the backend and the device that are here: compiling, epochs, arithmetic, accuracy.

    python -m benchmarks.training.device                    # 5 seeds of dense, fast and cnn: results/device.json
    KERAS_BACKEND=jax python -m benchmarks.training.device --only fast best --seeds 20    # those rows anew
    python -m benchmarks.training.device --tiny --data FOLDER --output FILE    # for the tests

Each recipe is compiled in a process of its own in which nothing is kept from before (cold), and once more in the
process that trains (cached, where the backend keeps compiled programs between processes: JAX). Seconds of training
count neither compiling nor the look at the test images after each epoch, by which nothing is chosen. The limit is the
rate of one large product of matrices in the recipe's precision.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from benchmarks import harness
from benchmarks.harness import Benchmark, Setting
from benchmarks.training.arithmetic import flop_per_image, measure_flop_per_second
from mnist_digits.dataset import Dataset, load_mnist
from mnist_digits.files import read_json
from mnist_digits.training import RECIPES, Recipe, backend, find_recipe

RESULTS = harness.RESULTS / "device.json"
RECIPES_TIMED = tuple(name for name, one in RECIPES.items() if one.members == 1 and not one.can_reject)
"""Those that train one network on the images as they are."""
SETTINGS = {
    "seeds": Setting(5, 2, "trainings of each recipe"),
    "recipes": Setting(("dense", "fast", "cnn"), ("dense",)),
    "side": Setting(8192, 256),
    "changes": Setting({}, {"epochs": "2"}),
}
TARGETS = (0.97, 0.99, 0.995)
"""Test accuracies to reach."""
COMPILE = "compile "
"""Begins the name of the part that only compiles a recipe."""


def train(recipe: Recipe, data: Dataset, seed: int, epochs: int) -> dict[str, Any]:
    """Train `epochs` of a recipe: seconds of compiling, and of each epoch, and the test accuracy after it."""
    import keras

    from mnist_digits.training.engine import loop
    from mnist_digits.training.engine.session import TrainingSession

    session = TrainingSession.start(recipe, seed, len(data.train), backend.available_precision(recipe.precision))
    predict = loop.compile_prediction(session.model)
    rows: list[tuple[float, float, float]] = []

    def after_epoch(epoch: int, logs: dict[str, float]) -> None:
        with session.average.applied() if session.average else nullcontext():
            accuracy = float((predict(data.test.images).argmax(1) == data.test.labels).mean())
        rows.append((logs["compile_seconds"], logs["seconds"], accuracy))
        session.model.stop_training = len(rows) >= epochs

    session.fit(data, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=after_epoch)])
    compiling, seconds, accuracies = zip(*rows, strict=True)
    flop = flop_per_image(session.model)
    return {"compile_seconds": sum(compiling), "seconds": seconds, "accuracies": accuracies, "flop_per_image": flop}


def measure_part(part: str, options: argparse.Namespace) -> Any:
    """All seeds of a recipe, and the limit in its precision; or the seconds that compiling it takes."""
    data, name = load_mnist(options.data), part.removeprefix(COMPILE)
    recipe = find_recipe(name).with_settings(options.changes)
    backend.start_keras()
    if part.startswith(COMPILE):
        return train(recipe, data, 0, 1)["compile_seconds"]
    runs = [train(recipe, data, seed, recipe.epochs) for seed in range(options.seeds)]
    precision = backend.available_precision(recipe.precision)
    limit = measure_flop_per_second(options.side, "bfloat16" if "bfloat16" in precision else "float32")
    return {"precision": precision, "flop_per_second": limit, "runs": runs}


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """A recipe's row."""
    with tempfile.TemporaryDirectory() as cache:
        cold = BENCHMARK.run_part(COMPILE + name, options, JAX_COMPILATION_CACHE_DIR=cache)
        measured = BENCHMARK.run_part(name, options, JAX_COMPILATION_CACHE_DIR=cache)
    runs, images = measured["runs"], len(load_mnist(options.data).train)
    epoch = statistics.median(seconds for run in runs for seconds in run["seconds"])
    final = [run["accuracies"][-1] for run in runs]
    spread = statistics.stdev(final) if len(final) > 1 else 0.0
    return {
        "precision": measured["precision"],
        "compile_seconds": {"cold": cold, "cached": runs[0]["compile_seconds"]},
        "seconds_per_epoch": epoch,
        "images_per_second": images / epoch,
        "flop_per_image": runs[0]["flop_per_image"],
        "share_of_limit": images / epoch * runs[0]["flop_per_image"] / measured["flop_per_second"],
        "limit_flop_per_second": measured["flop_per_second"],
        "seconds_to": {str(target): [seconds_to(target, run) for run in runs] for target in TARGETS},
        "test_accuracy": {"mean": statistics.fmean(final), "sd": spread, "values": final},
        "training_seconds": [sum(run["seconds"]) for run in runs],
    }


def seconds_to(target: float, run: dict[str, Any]) -> float | None:
    """Seconds of training until the test accuracy first reached the target; None when it never did."""
    seconds = 0.0
    for of_epoch, accuracy in zip(run["seconds"], run["accuracies"], strict=True):
        seconds += of_epoch
        if accuracy >= target:
            return seconds
    return None


def run(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure the recipes one by one."""
    environment = harness.describe_environment()
    rows = read_json(options.output)["rows"] if options.only and options.output.exists() else {}
    for name in options.only or options.recipes:
        rows[name] = measure(name, options)
        print(f"{name}: {rows[name]['seconds_per_epoch']:.3g} s per epoch", file=sys.stderr)
        yield {
            "environment": environment,
            "images": len(load_mnist(options.data).train),
            "rows": {known: rows[known] for known in RECIPES if known in rows},
        }


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table, below a line that names the device."""
    environment = result["environment"]
    header = ["recipe", "compiling, cold / cached", "s per epoch", "images/s", "of the limit"]
    header += [*(f"training to {100 * target:g} %" for target in TARGETS), "in the end"]
    rows = []
    for name, row in result["rows"].items():
        compiling = row["compile_seconds"]
        cached = f"{compiling['cached']:.1f} s" if environment["backend"] == "jax" else "–"
        rows.append(
            [
                f"`{name}`",
                f"{compiling['cold']:.1f} s / {cached}",
                f"{row['seconds_per_epoch']:.2g}",
                f"{row['images_per_second']:,.0f}",
                harness.as_percent(row["share_of_limit"]),
                *(_median(row["seconds_to"][str(target)]) for target in TARGETS),
                _spread(row["test_accuracy"]),
            ]
        )
    devices = ", ".join(environment["devices"])
    where = f"{environment['backend']} on {devices} ({environment['processor']}, {environment['cores']} cores)"
    return f"{where}:\n\n{harness.as_markdown(header, rows)}"


def _median(seconds: list[float | None]) -> str:
    """The median of all seeds, or of how many a target was reached at all."""
    reached = [one for one in seconds if one is not None]
    if len(reached) < len(seconds):
        return f"{len(reached)} of {len(seconds)}" if reached else "–"
    return f"{statistics.median(reached):.2g} s"


def _spread(accuracy: dict[str, Any]) -> str:
    mean, sd = (harness.as_percent(accuracy[key], 2) for key in ("mean", "sd"))
    return f"{mean} ± {sd} ({len(accuracy['values'])})"


BENCHMARK = Benchmark(
    RESULTS,
    __doc__,
    run,
    as_table,
    SETTINGS,
    needs_small_set=True,
    only=RECIPES_TIMED,
    parts=[*RECIPES_TIMED, *(COMPILE + name for name in RECIPES_TIMED)],
    measure_part=measure_part,
    folder="training",
)

if __name__ == "__main__":
    BENCHMARK.main()
