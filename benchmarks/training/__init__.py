"""Training the same 784-128-10 network: this engine, `model.fit` in two ways, and scikit-learn, in one run.

    python -m benchmarks.training                 # writes results/training.json, prints the table; ~6 minutes
    python -m benchmarks.training --tiny --data FOLDER --output FILE    # a minute on a small set, for the tests

Measured are seconds per epoch (median, all in one process, after warm-up), and the seconds until the test accuracy
first reaches 97 %, of the training alone and of a whole process from its start. The test accuracy is computed after
every epoch with the clock stopped; nothing is chosen by it.
"""

import argparse
import statistics
import sys
from typing import Any

from benchmarks import harness
from benchmarks.harness import Benchmark, OnEpoch, Predict, Setting, Stopwatch
from benchmarks.peers.contenders import fit_mlp, observe_epochs, scale
from benchmarks.training.arithmetic import flop_per_image, measure_flop_per_second
from mnist_digits.dataset import Dataset, Split, load_mnist
from mnist_digits.training import backend, find_recipe

RESULTS = harness.RESULTS / "training.json"


def train_engine(train: Split, epochs: int, on_epoch: OnEpoch) -> None:
    """Train with this project's engine."""
    from mnist_digits.training import networks
    from mnist_digits.training.engine import loop

    model = networks.build(find_recipe("dense"))
    callbacks = observe_epochs(on_epoch, loop.compile_prediction(model))
    loop.fit(model, train.images, train.labels, epochs=epochs, callbacks=callbacks)


def train_keras(train: Split, epochs: int, on_epoch: OnEpoch, **compile_options: Any) -> None:
    """Train with `model.fit` on images scaled beforehand, as tutorials do it."""
    import keras

    from mnist_digits.training import networks

    model = networks.build(find_recipe("dense"))
    model.compile(keras.optimizers.Adam(1e-3), model.loss, metrics=["accuracy"], **compile_options)
    images = scale(train.images)
    callbacks = observe_epochs(on_epoch, lambda batch: model.predict(scale(batch), batch_size=1000, verbose=0))
    model.fit(images, train.labels, batch_size=32, epochs=epochs, verbose=0, callbacks=callbacks)


def train_keras_in_hundreds(train: Split, epochs: int, on_epoch: OnEpoch) -> None:
    """Train with `model.fit`, a hundred steps to each call from Python."""
    train_keras(train, epochs, on_epoch, steps_per_execution=100)


def train_sklearn(train: Split, epochs: int, on_epoch: OnEpoch) -> None:
    """Train scikit-learn's MLPClassifier with the same layer, optimiser, learning rate and batch."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((128,), batch_size=32, learning_rate_init=1e-3, alpha=0, random_state=0)
    fit_mlp(model, train, epochs, on_epoch)


ENGINE, DEFAULTS, SKLEARN = "mnist-digits engine", "model.fit, defaults", "scikit-learn MLPClassifier"
PEERS = {
    ENGINE: train_engine,
    DEFAULTS: train_keras,
    "model.fit, steps_per_execution=100": train_keras_in_hundreds,
    SKLEARN: train_sklearn,
}
SETTINGS = {
    "rounds": Setting(3, 1, "turns that each peer takes"),
    "epochs": Setting(5, 1, "epochs that are measured in each turn"),
    "target": Setting(0.97, 0.3, "test accuracy to reach"),
    "warm_up": Setting(2, 1),
    "side": Setting(4096, 512),
    "racers": Setting(tuple(PEERS), (ENGINE,)),
}
NOT_REACHED: dict[str, float | None] = {"epochs": None, "training": None, "whole_process": None}


def measure_epochs(data: Dataset, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of each epoch after warm-up, by peer, all in this process.

    The peers take turns, because a machine's speed drifts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in PEERS}
    for _ in range(options.rounds):
        for name, peer in PEERS.items():
            watch = Stopwatch()
            peer(data.train, options.warm_up + options.epochs, watch)
            seconds[name] += watch.seconds[options.warm_up :]
            print(f"{name}: {statistics.median(seconds[name]):.2f} s per epoch", file=sys.stderr)
    return seconds


def race(name: str, options: argparse.Namespace) -> dict[str, float | None]:
    """Train one peer in this process until the test accuracy reaches the target."""

    class TargetReached(Exception):  # noqa: N818
        """Stops the training."""

    data = load_mnist(options.data)
    if name != SKLEARN:
        backend.start_keras()
    watch = Stopwatch(data.test)

    def stop_when_reached(predict: Predict) -> None:
        watch(predict)
        if watch.accuracies[-1] >= options.target:
            raise TargetReached

    try:
        PEERS[name](data.train, options.epochs, stop_when_reached)
    except TargetReached:
        whole = harness.seconds_since_start() - watch.paused
        return {"epochs": len(watch.seconds), "training": sum(watch.seconds), "whole_process": whole}
    return NOT_REACHED


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    from mnist_digits.training import networks

    data = load_mnist(options.data)
    environment = harness.describe_environment()
    seconds = measure_epochs(data, options)
    limit = len(data.train) * flop_per_image(networks.build(find_recipe("dense")))
    limit /= measure_flop_per_second(options.side)
    rows = []
    for name in PEERS:
        to_target = BENCHMARK.run_part(name, options) if name in options.racers else NOT_REACHED
        print(f"{name}: {to_target}", file=sys.stderr)
        rows.append(
            {
                "name": name,
                "seconds_per_epoch": statistics.median(seconds[name]),
                "seconds_of_each_epoch": seconds[name],
                "times_faster_than_defaults": statistics.median(seconds[DEFAULTS]) / statistics.median(seconds[name]),
                "times_the_arithmetic_limit": statistics.median(seconds[name]) / limit,
                "to_target": to_target,
            }
        )
    return {
        "images": len(data.train),
        "batch_size": 32,
        "target_test_accuracy": options.target,
        "arithmetic_limit_seconds": limit,
        "environment": environment,
        "rows": rows,
    }


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    target = f"{result['target_test_accuracy']:.0%}"
    header = [f"784-128-10, batch 32, {result['images']:,} images", "s per epoch", "faster than defaults"]
    header += ["× arithmetic limit", f"training to {target}", f"whole process to {target}"]
    rows = []
    for row in result["rows"]:
        reached = row["to_target"]
        times = [f"{reached[key]:.1f} s" if reached[key] else "not reached" for key in ("training", "whole_process")]
        faster, limits = f"{row['times_faster_than_defaults']:.1f}×", f"{row['times_the_arithmetic_limit']:.1f}"
        rows.append([row["name"], f"{row['seconds_per_epoch']:.2f}", faster, limits, *times])
    rows.append(["*arithmetic limit*", f"{result['arithmetic_limit_seconds']:.2f}", "", "1.0", "", ""])
    return harness.as_markdown(header, rows)


BENCHMARK = Benchmark(RESULTS, __doc__, run, as_table, SETTINGS, needs_small_set=True, parts=PEERS, measure_part=race)
