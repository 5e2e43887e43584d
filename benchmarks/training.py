"""Training the same 784-128-10 network: this engine, `model.fit` in two ways, and scikit-learn, in one run.

    python benchmarks/training.py                 # writes results/training.json, prints the table; ~6 minutes
    python benchmarks/training.py --tiny --data FOLDER --output FILE    # a minute on a small set, for the tests

Measured are seconds per epoch (median, all in one process, after warm-up), and the time until the test accuracy
first reaches 97 %, of the training alone and of a whole process from its start. The accuracy is looked up
afterwards with the clock stopped; nothing is chosen by it.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from mnist_digits.dataset import Dataset, Split, load_mnist
from mnist_digits.files import write_json
from mnist_digits.training import backend, find_recipe
from stopwatch import OnEpoch, Predict, Stopwatch, run_in_own_process, seconds_since_start

RESULTS = Path(__file__).parent.parent / "results" / "training.json"
WARM_UP = 2
TARGET = 0.97
# Multiply and add, for the forward product and the two products of its gradient; the images need no gradient.
FLOP_PER_IMAGE = 2 * (2 * 784 * 128 + 3 * 128 * 10)


def train_engine(train: Split, epochs: int, on_epoch: OnEpoch) -> None:
    """This project's engine."""
    import keras

    from mnist_digits.training import networks
    from mnist_digits.training.engine import loop

    model = networks.build(find_recipe("dense"))
    predict = loop.compile_prediction(model)
    observer = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_epoch(predict))
    loop.fit(model, train.images, train.labels, epochs=epochs, callbacks=[observer])


def train_keras(train: Split, epochs: int, on_epoch: OnEpoch, **compile_options: Any) -> None:
    """`model.fit` on images scaled beforehand, as tutorials do it."""
    import keras

    from mnist_digits.training import networks

    model = networks.build(find_recipe("dense"))
    model.compile(keras.optimizers.Adam(1e-3), model.loss, metrics=["accuracy"], **compile_options)
    images = train.images.astype(np.float32) / 255

    def predict(batch: np.ndarray) -> np.ndarray:
        return model.predict(batch.astype(np.float32) / 255, batch_size=1000, verbose=0)

    observer = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_epoch(predict))
    model.fit(images, train.labels, batch_size=32, epochs=epochs, verbose=0, callbacks=[observer])


def train_keras_in_hundreds(train: Split, epochs: int, on_epoch: OnEpoch) -> None:
    """`model.fit` with a hundred steps to each crossing from Python."""
    train_keras(train, epochs, on_epoch, steps_per_execution=100)


def train_sklearn(train: Split, epochs: int, on_epoch: OnEpoch) -> None:
    """scikit-learn's MLPClassifier with the same layer, optimiser, rate and batch."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((128,), batch_size=32, learning_rate_init=1e-3, alpha=0, random_state=0)
    images = train.images.reshape(-1, 784).astype(np.float32) / 255
    for _ in range(epochs):
        model.partial_fit(images, train.labels, classes=range(10))
        on_epoch(lambda batch: model.predict_proba(batch.reshape(-1, 784).astype(np.float32) / 255))


PEERS = {
    "mnist-digits engine": train_engine,
    "model.fit, defaults": train_keras,
    "model.fit, steps_per_execution=100": train_keras_in_hundreds,
    "scikit-learn MLPClassifier": train_sklearn,
}


def measure_epochs(data: Dataset, rounds: int, epochs: int) -> dict[str, list[float]]:
    """Seconds of each epoch after warm-up, by peer, all in this process.

    The peers take turns, because a machine's speed drifts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in PEERS}
    for _ in range(rounds):
        for name, peer in PEERS.items():
            watch = Stopwatch()
            peer(data.train, WARM_UP + epochs, watch)
            seconds[name] += watch.seconds[WARM_UP:]
            print(f"{name}: {statistics.median(seconds[name]):.2f} s per epoch", file=sys.stderr)
    return seconds


def measure_arithmetic(images: int) -> float:
    """Seconds that the epoch's multiplications and additions take as one large product of matrices."""
    import tensorflow as tf

    side = 4096
    matrix = tf.random.stateless_uniform((side, side), seed=(0, 0))
    timings = []
    for _ in range(5):
        start = time.perf_counter()
        tf.linalg.matmul(matrix, matrix).numpy()
        timings.append(time.perf_counter() - start)
    return images * FLOP_PER_IMAGE * statistics.median(timings) / (2 * side**3)


def race(name: str, folder: Path | None, epochs: int, target: float) -> dict[str, float | None]:
    """Train one peer in this process until the test accuracy reaches the target."""

    class TargetReached(Exception):  # noqa: N818
        """Stop here."""

    data = load_mnist(folder)
    if name != "scikit-learn MLPClassifier":
        backend.start_keras()
    watch = Stopwatch(data.test)

    def stop_when_reached(predict: Predict) -> None:
        watch(predict)
        if watch.accuracies[-1] >= target:
            raise TargetReached

    try:
        PEERS[name](data.train, epochs, stop_when_reached)
    except TargetReached:
        whole = seconds_since_start() - watch.paused
        return {"epochs": len(watch.seconds), "training": sum(watch.seconds), "whole_process": whole}
    return {"epochs": None, "training": None, "whole_process": None}


def race_in_own_process(name: str, options: argparse.Namespace) -> dict[str, float | None]:
    """The same in a process of its own."""
    data = ["--data", str(options.data)] if options.data else []
    limits = ["--target", str(options.target), "--epochs", str(options.epochs)]
    return run_in_own_process(__file__, "--race", name, *limits, *data)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    data = load_mnist(options.data)
    backend.start_keras()
    seconds = measure_epochs(data, options.rounds, options.epochs)
    limit = measure_arithmetic(len(data.train))
    default = statistics.median(seconds["model.fit, defaults"])
    rows = []
    for name in PEERS:
        race_result = race_in_own_process(name, options)
        print(f"{name}: {race_result}", file=sys.stderr)
        rows.append(
            {
                "name": name,
                "seconds_per_epoch": statistics.median(seconds[name]),
                "seconds_of_each_epoch": seconds[name],
                "times_faster_than_defaults": default / statistics.median(seconds[name]),
                "times_the_arithmetic_limit": statistics.median(seconds[name]) / limit,
                "to_target": race_result,
            }
        )
    return {
        "command": "python benchmarks/training.py" + (" --tiny" if options.tiny else ""),
        "images": len(data.train),
        "batch_size": 32,
        "target_test_accuracy": options.target,
        "arithmetic_limit_seconds": limit,
        "environment": backend.describe_environment(),
        "rows": rows,
    }


def as_table(result: dict[str, Any]) -> str:
    """The result as a Markdown table."""
    target = f"{result['target_test_accuracy']:.0%}"
    lines = [
        f"| 784-128-10, batch 32, {result['images']:,} images | s per epoch | faster than defaults "
        f"| × arithmetic limit | training to {target} | whole process to {target} |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        reached = row["to_target"]
        times = [f"{reached[key]:.1f} s" if reached[key] else "not reached" for key in ("training", "whole_process")]
        lines.append(
            f"| {row['name']} | {row['seconds_per_epoch']:.2f} | {row['times_faster_than_defaults']:.1f}× "
            f"| {row['times_the_arithmetic_limit']:.1f} | {times[0]} | {times[1]} |"
        )
    lines.append(f"| *arithmetic limit* | {result['arithmetic_limit_seconds']:.2f} | | 1.0 | | |")
    return "\n".join(lines)


def main() -> None:
    """Parse, measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="few epochs and an easy target")
    parser.add_argument("--data", type=Path, help="a folder with four IDX files instead of MNIST")
    parser.add_argument("--rounds", type=int, default=3, help="turns that each peer takes (default: 3)")
    parser.add_argument("--epochs", type=int, default=5, help="measured in each turn (default: 5)")
    parser.add_argument("--target", type=float, default=TARGET, help="test accuracy to reach (default: 0.97)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file to write")
    parser.add_argument("--race", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tiny and (options.data is None or options.output == RESULTS) and not options.race:
        parser.error("--tiny measures nothing worth keeping: name a small set with --data and another --output")
    if options.tiny:
        options.rounds, options.epochs, options.target = 1, 1, 0.3
    if options.race:
        print(json.dumps(race(options.race, options.data, options.epochs, options.target)))
        return
    result = run(options)
    write_json(options.output, result)
    print(as_table(result))


if __name__ == "__main__":
    main()
