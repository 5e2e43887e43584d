"""How fast the recipes train on the backend and the device that are here: compiling, epochs, arithmetic, accuracy.

    python -m benchmarks.training.device                    # 5 seeds of dense, fast and cnn: results/device.json
    KERAS_BACKEND=jax python -m benchmarks.training.device --only fast best --together 20    # those rows anew
    python -m benchmarks.training.device --tiny --data FOLDER --output FILE    # for the tests

Each recipe has a process of its own in which nothing is kept from before: its first seed is compiled anew (cold), and
where the backend keeps compiled programs, JAX, the others take what the first left (cached). Seconds of training count
neither compiling nor the look at the test images after each epoch, by which nothing is chosen. The limit is the rate of
one large product of matrices in the recipe's precision. With --together, JAX also trains that many further seeds at the
same time, as one program.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np

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
    "seeds": Setting(5, 2, "trainings of each recipe, one after another"),
    "together": Setting(0, 2, "trainings of each recipe at the same time, on JAX"),
    "recipes": Setting(("dense", "fast", "cnn"), ("dense",)),
    "side": Setting(8192, 256),
    "changes": Setting({}, {"epochs": "2", "jit_compile": "false"}),
}
TARGETS = (0.97, 0.99, 0.995)
"""Test accuracies to reach."""
KEPT_FROM_SECONDS = "0.2"
"""Programs that take less to compile are not kept, as in `digits train`."""


def train(recipe: Recipe, data: Dataset, seed: int) -> dict[str, Any]:
    """Train a recipe: seconds of compiling, and of each epoch, and the test accuracy after it."""
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

    session.fit(data, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=after_epoch)])
    compiling, seconds, accuracies = zip(*rows, strict=True)
    flop = flop_per_image(session.model)
    return {"compile_seconds": sum(compiling), "seconds": seconds, "accuracies": accuracies, "flop_per_image": flop}


def train_together(recipe: Recipe, data: Dataset, seeds: range) -> dict[str, Any]:
    """Train all seeds of a recipe as one program, on JAX: seconds of compiling and of epochs, and test accuracies."""
    from mnist_digits.training.engine import jax, loop
    from mnist_digits.training.engine.augmentation import Distortion
    from mnist_digits.training.engine.session import TrainingSession
    from mnist_digits.training.engine.step import ClassifierStep

    images, labels = data.train.images, data.train.labels
    precision = backend.available_precision(recipe.precision)
    sessions = [TrainingSession.start(recipe, seed, len(labels), precision) for seed in seeds]
    steps = [ClassifierStep(one.model, one.average, Distortion.of(recipe)) for one in sessions]
    start = time.perf_counter()
    train_epoch = jax.compile_epochs_at_once(steps, (images, labels), recipe.batch_size)
    compiling, seconds = time.perf_counter() - start, []
    for epoch in range(recipe.epochs):
        orders = np.stack([loop.sample_order(len(labels), seed, epoch) for seed in seeds])
        keys = np.array([loop.draw_key(seed, epoch) for seed in seeds], np.int32)
        strength = recipe.distortion_strength(epoch)
        seconds.append(harness.measure_seconds(lambda: train_epoch(orders, keys, strength)))  # noqa: B023 - at once
    judge = sessions[0].finish()
    predict, accuracies = loop.compile_prediction(judge), []
    for session in sessions:
        judge.set_weights(session.finish().get_weights())
        accuracies.append(float((predict(data.test.images).argmax(1) == data.test.labels).mean()))
    return {"seeds": len(seeds), "compile_seconds": compiling, "seconds": seconds, "accuracies": accuracies}


def measure_part(name: str, options: argparse.Namespace) -> Any:
    """All seeds of a recipe, and the limit in its precision."""
    data, recipe = load_mnist(options.data), find_recipe(name).with_settings(options.changes)
    environment = harness.describe_environment()
    runs = [train(recipe, data, seed) for seed in range(options.seeds)]
    precision = backend.available_precision(recipe.precision)
    limit = measure_flop_per_second(options.side, "bfloat16" if "bfloat16" in precision else "float32")
    measured = {"environment": environment, "precision": precision, "flop_per_second": limit, "runs": runs}
    if options.together and backend.chosen_backend() == "jax":
        measured["together"] = train_together(recipe, data, range(options.seeds, options.seeds + options.together))
    return measured


def measure(name: str, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """The environment, and a recipe's row.

    All is measured in the part's process: one that has looked for a GPU keeps most of its memory from others.
    """
    with tempfile.TemporaryDirectory() as cache:
        variables = {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": KEPT_FROM_SECONDS,
        }
        measured = BENCHMARK.run_part(name, options, **variables)
    runs, images = measured["runs"], len(load_mnist(options.data).train)
    epoch = statistics.median(seconds for run in runs for seconds in run["seconds"])
    compiling = [run["compile_seconds"] for run in runs]
    row = {
        "precision": measured["precision"],
        "compile_seconds": {"cold": compiling[0], "cached": statistics.median(compiling[1:] or compiling)},
        "seconds_per_epoch": epoch,
        "images_per_second": images / epoch,
        "flop_per_image": runs[0]["flop_per_image"],
        "share_of_limit": images / epoch * runs[0]["flop_per_image"] / measured["flop_per_second"],
        "limit_flop_per_second": measured["flop_per_second"],
        "seconds_to": {str(target): [seconds_to(target, run) for run in runs] for target in TARGETS},
        "test_accuracy": summarise([run["accuracies"][-1] for run in runs]),
        "training_seconds": [sum(run["seconds"]) for run in runs],
    }
    if together := measured.get("together"):
        row["together"] = {
            "seeds": together["seeds"],
            "compile_seconds": together["compile_seconds"],
            "seconds_per_epoch": statistics.median(together["seconds"]),
            "training_seconds": sum(together["seconds"]),
            "test_accuracy": summarise(together["accuracies"]),
        }
    return measured["environment"], row


def summarise(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation and all values."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "sd": spread, "values": values}


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
    rows = read_json(options.output)["rows"] if options.only and options.output.exists() else {}
    for name in options.only or options.recipes:
        environment, rows[name] = measure(name, options)
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
    table = f"{where}:\n\n{harness.as_markdown(header, rows)}"
    together = {name: row for name, row in result["rows"].items() if "together" in row}
    return f"{table}\n\n{_as_table_of_together(together)}" if together else table


def _as_table_of_together(rows: dict[str, Any]) -> str:
    """What training several seeds as one program is worth."""
    header = [
        "recipe",
        "seeds at the same time",
        "s per epoch of all",
        "faster than one by one",
        "compiling",
        "in the end",
    ]
    cells = []
    for name, row in rows.items():
        one = row["together"]
        times = one["seeds"] * row["seconds_per_epoch"] / one["seconds_per_epoch"]
        epoch, compiling = f"{one['seconds_per_epoch']:.2g}", f"{one['compile_seconds']:.1f} s"
        cells.append([f"`{name}`", str(one["seeds"]), epoch, f"{times:.1f}×", compiling, _spread(one["test_accuracy"])])
    return harness.as_markdown(header, cells)


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
    parts=RECIPES_TIMED,
    measure_part=measure_part,
    folder="training",
)

if __name__ == "__main__":
    BENCHMARK.main()
