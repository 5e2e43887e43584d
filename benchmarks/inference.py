"""Images through trained networks: this project's classifier, Keras in three ways, LiteRT and NumPy, in one run.

    python benchmarks/inference.py                 # writes results/inference.json, prints the tables; ~2 minutes
    python benchmarks/inference.py --tiny --output FILE    # a few seconds, for the tests

Measured are the time for one image, with everything loaded and warm, the rate for many on all cores, beside what the
processor's arithmetic allows, a whole process of `digits predict`, and what has to be installed for it. The weights are
random but for the shipped model's: how long a network takes does not depend on them.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mnist_digits.dataset import load_mnist
from mnist_digits.files import write_json
from mnist_digits.recognition import Classifier
from mnist_digits.training import RECIPES, backend

if TYPE_CHECKING:
    import keras

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results" / "inference.json"
NETWORKS = ("dense", "cnn", "reader")
SHIPPED = "reader"
"""Whose file comes with the package."""

Way = Callable[[np.ndarray], Any]
"""From images, uint8 (n, 28, 28), to probabilities."""
WAYS = ("Classifier", "LiteRT", "NumPy", "tf.function", "model(x)", "model.predict")


WATCH = """
import json, os, sys, time
start = time.perf_counter()
command = [sys.executable, "-m", "mnist_digits", "predict", sys.argv[1]]
_, status, usage = os.wait4(os.spawnv(os.P_NOWAIT, sys.executable, command), 0)
assert status == 0
print(json.dumps([time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""
"""Started by a small process, because Linux counts as a child's memory what its parent had."""


def measure_installation() -> float:
    """Megabytes of files that `pip install .` puts into an empty virtual environment."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder)
        pip = [sys.executable, "-m", "pip", "--python", str(Path(folder) / "bin" / "python"), "--quiet"]
        subprocess.run([*pip, "install", "--constraint", str(ROOT / "constraints.txt"), str(ROOT)], check=True)
        packages = next(Path(folder).glob("lib/*/site-packages"))
        return sum(path.stat().st_size for path in packages.rglob("*") if path.is_file()) / 1e6


def measure_process(picture: Path, runs: int) -> dict[str, Any]:
    """Wall and processor seconds and resident megabytes of `digits predict`, each time in a fresh process."""
    command = [sys.executable, "-c", WATCH, str(picture)]
    # The first run warms up the disk.
    lines = [subprocess.check_output(command, text=True).splitlines()[-1] for _ in range(1 + runs)][1:]
    seconds, processor, memory = zip(*map(json.loads, lines), strict=True)
    return {
        "seconds": seconds,
        "median_seconds": statistics.median(seconds),
        "processor_seconds": statistics.median(processor),
        "resident_megabytes": max(memory),
    }


def open_ways(name: str, model: "keras.Model", classifier: Classifier) -> dict[str, Way]:
    """Every way to use a recipe's network on one image."""
    from mnist_digits.training.engine import loop

    return {
        "Classifier": classifier.probabilities,
        "LiteRT": open_litert(model),
        **({"NumPy": open_numpy(model)} if name == "dense" else {}),
        "tf.function": loop.compile_prediction(model),
        "model(x)": lambda images: np.asarray(model(images / np.float32(255), training=False)),
        "model.predict": lambda images: model.predict(images / np.float32(255), batch_size=1000, verbose=0),
    }


def export(name: str, model: "keras.Model", folder: Path, images: np.ndarray) -> Path | None:
    """Where the network lies as ONNX; None for the shipped model."""
    from mnist_digits.training.export.onnx import export_onnx

    if name == SHIPPED:
        return None
    export_onnx(model, folder / f"{name}.onnx", {"recipe": name}, images)
    return folder / f"{name}.onnx"


def open_litert(model: "keras.Model") -> Way:
    """LiteRT with one thread, as TensorFlow brings it; takes one image at a time."""
    import tensorflow as tf

    # Keras prints where it keeps the network for the converter.
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (takes,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()

    def classify(images: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(takes["index"], images / np.float32(255))
        interpreter.invoke()
        return interpreter.get_tensor(gives["index"])

    return classify


def open_numpy(model: "keras.Model") -> Way:
    """Two products of matrices."""
    hidden, hidden_bias, last, last_bias = model.get_weights()

    def classify(images: np.ndarray) -> np.ndarray:
        pixels = images.reshape(-1, 784) / np.float32(255)
        powers = np.exp(np.maximum(pixels @ hidden + hidden_bias, 0) @ last + last_bias)
        return powers / powers.sum(axis=1, keepdims=True)

    return classify


def time_calls(classify: Way, images: np.ndarray, seconds: float) -> list[float]:
    """Seconds of each call, as many as fit into so many seconds, at least one."""
    timings: list[float] = []
    while not timings or sum(timings) < seconds:
        start = time.perf_counter()
        classify(images)
        timings.append(time.perf_counter() - start)
    return timings


def take_turns(ways: dict[str, Way], images: np.ndarray, rounds: int, seconds: float) -> dict[str, float]:
    """Median seconds of a call, by way.

    They take turns of so many seconds, because a machine's speed drifts; the first calls of a turn do not count.
    """
    timings: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, classify in ways.items():
            time_calls(classify, images, seconds / 5)
            timings[name] += time_calls(classify, images, seconds)
    return {name: statistics.median(values) for name, values in timings.items()}


def flop_per_image(model: "keras.Model") -> int:
    """Multiplications and additions of its convolutions and dense layers."""
    kernels = [(layer.output.shape[1:-1], layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")]
    return sum(2 * math.prod(places) * math.prod(kernel) for places, kernel in kernels)


def measure_network(name: str, images: np.ndarray, options: argparse.Namespace) -> dict[str, Any]:
    """A recipe's network on one image, with one thread, and on many, with one for each core.

    The arithmetic limit is the rate at which the cores multiply and add in one large product of matrices.
    """
    from mnist_digits.training import networks

    model = networks.for_use(networks.build(RECIPES[name]))
    with tempfile.TemporaryDirectory() as folder:
        path = export(name, model, Path(folder), images)
        one, every = Classifier(path), Classifier(path, threads=os.cpu_count() or 1)
    ways = open_ways(name, model, one)
    single = take_turns(ways, images[:1], options.rounds, options.seconds)
    matrix = np.random.default_rng(0).random((options.side, options.side), np.float32)
    large = {
        "Classifier": every.probabilities,
        "model.predict": ways["model.predict"],
        "limit": lambda _: matrix @ matrix,
    }
    many = take_turns(large, images, options.rounds, options.seconds)
    limit = 2 * options.side**3 / many.pop("limit")
    rates = {way: len(images) / seconds for way, seconds in many.items()}
    flop = flop_per_image(model)
    return {
        "name": name,
        "parameters": model.count_params(),
        "flop_per_image": flop,
        "one_image_microseconds": {way: 1e6 * seconds for way, seconds in single.items()},
        "times_faster_than_predict": single["model.predict"] / single["Classifier"],
        "arithmetic_limit_flop_per_second": limit,
        "images_per_second": rates,
        "share_of_arithmetic_limit": {way: rate * flop / limit for way, rate in rates.items()},
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything."""
    images = load_mnist().test.images[: options.images]
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "one.png"
        Image.fromarray(255 - np.kron(images[0], np.ones((10, 10), np.uint8))).save(picture)
        process = measure_process(picture, options.processes)
    backend.start_keras()
    rows = []
    for name in options.networks:
        rows.append(measure_network(name, images, options))
        print(rows[-1], file=sys.stderr)
    return {
        "command": "python benchmarks/inference.py" + (" --tiny" if options.tiny else ""),
        "images": len(images),
        "shipped": SHIPPED,
        "environment": backend.describe_environment(),
        "networks": rows,
        "digits_predict": process,
        # In tiny mode nothing is installed: that needs a network.
        "installation_megabytes": None if options.tiny else measure_installation(),
    }


def as_table(result: dict[str, Any]) -> str:
    """The result as three Markdown tables: one image, many, and the command."""
    rows = result["networks"]
    heads = [f"`{row['name']}`" + ", shipped" * (row["name"] == result["shipped"]) for row in rows]
    lines = [f"| one image | {' | '.join(heads)} |", "|---|" + "---:|" * len(rows)]
    for way in WAYS:
        cells = [_duration(row["one_image_microseconds"].get(way)) for row in rows]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    lines += ["", f"| {result['images']:,} images | {' | '.join(heads)} |", "|---|" + "---:|" * len(rows)]
    for way in rows[0]["images_per_second"]:
        cells = [
            f"{row['images_per_second'][way]:,.0f} per s, {row['share_of_arithmetic_limit'][way]:.0%}" for row in rows
        ]
        lines.append(f"| {way} | {' | '.join(cells)} |".replace("%", " %"))
    process = result["digits_predict"]
    times = " | ".join(f"{process[key]:.2f} s" for key in ("median_seconds", "processor_seconds"))
    installed = result["installation_megabytes"]
    sizes = " | ".join(f"{size:.0f} MB" if size else "" for size in (process["resident_megabytes"], installed))
    lines += [
        "",
        "| a process of its own | from start to end | processor | memory | installed |",
        "|---|" + "---:|" * 4,
    ]
    lines.append(f"| `digits predict one.png` | {times} | {sizes} |")
    return "\n".join(lines)


def _duration(microseconds: float | None) -> str:
    if microseconds is None:
        return ""
    return f"{microseconds:.0f} µs" if microseconds < 1000 else f"{microseconds / 1000:.1f} ms"


def main() -> None:
    """Parse, measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="one network, few images, one turn each")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each way takes (default: 5)")
    parser.add_argument("--processes", type=int, default=10, help="of `digits predict` (default: 10)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file to write")
    options = parser.parse_args()
    if options.tiny and options.output == RESULTS:
        parser.error("--tiny measures nothing worth keeping: name another --output")
    options.networks, options.images, options.seconds, options.side = NETWORKS, 10_000, 0.2, 2048
    if options.tiny:
        options.networks, options.images, options.seconds, options.side = ("dense",), 100, 0.01, 128
        options.rounds, options.processes = 1, 1
    result = run(options)
    write_json(options.output, result)
    print(as_table(result))


if __name__ == "__main__":
    main()
