"""Latency and throughput of networks: this project's classifier, LiteRT, NumPy, and Keras in three ways."""

import argparse
import math
import os
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import measure_seconds
from mnist_digits.recognition import Classifier
from mnist_digits.training import RECIPES

if TYPE_CHECKING:
    import keras

SHIPPED = "reader"
"""The recipe whose model comes with the package."""
Runtime = Callable[[NDArray[np.uint8]], Any]
"""From images, uint8 (n, 28, 28), to probabilities, (n, 10)."""
RUNTIMES = ("Classifier", "LiteRT", "NumPy", "tf.function", "model(x)", "model.predict")


def measure_network(name: str, images: NDArray[np.uint8], options: argparse.Namespace) -> dict[str, Any]:
    """A recipe's network on one image, with one thread, and on many, with one thread for each core.

    The weights are random but for the shipped model's: latency does not depend on them. The arithmetic limit is the
    rate at which the cores multiply and add in one large product of matrices.
    """
    from mnist_digits.training import networks

    model = networks.for_use(networks.build(RECIPES[name]))
    with tempfile.TemporaryDirectory() as folder:
        path = export(name, model, Path(folder), images)
        one, every = Classifier(path), Classifier(path, threads=os.cpu_count() or 1)
    runtimes = open_runtimes(name, model, one)
    single = take_turns(runtimes, images[:1], options.rounds, options.seconds)
    matrix = np.random.default_rng(0).random((options.side, options.side), np.float32)
    large = {
        "Classifier": every.probabilities,
        "model.predict": runtimes["model.predict"],
        "limit": lambda _: matrix @ matrix,
    }
    many = take_turns(large, images, options.rounds, options.seconds)
    limit = 2 * options.side**3 / many.pop("limit")
    rates = {runtime: len(images) / seconds for runtime, seconds in many.items()}
    flop = flop_per_image(model)
    return {
        "name": name,
        "parameters": model.count_params(),
        "flop_per_image": flop,
        "one_image_microseconds": {runtime: 1e6 * seconds for runtime, seconds in single.items()},
        "times_faster_than_predict": single["model.predict"] / single["Classifier"],
        "arithmetic_limit_flop_per_second": limit,
        "images_per_second": rates,
        "share_of_arithmetic_limit": {runtime: rate * flop / limit for runtime, rate in rates.items()},
    }


def open_runtimes(name: str, model: "keras.Model", classifier: Classifier) -> dict[str, Runtime]:
    """Every way to run a recipe's network on one image."""
    from mnist_digits.training.engine import loop

    return {
        "Classifier": classifier.probabilities,
        "LiteRT": open_litert(model),
        **({"NumPy": open_numpy(model)} if name == "dense" else {}),
        "tf.function": loop.compile_prediction(model),
        "model(x)": lambda images: np.asarray(model(images / np.float32(255), training=False)),
        "model.predict": lambda images: model.predict(images / np.float32(255), batch_size=1000, verbose=0),
    }


def export(name: str, model: "keras.Model", folder: Path, images: NDArray[np.uint8]) -> Path | None:
    """Path of the network as ONNX; None for the shipped model, which `Classifier` loads by default."""
    from mnist_digits.training.export.onnx import export_onnx

    if name == SHIPPED:
        return None
    export_onnx(model, folder / f"{name}.onnx", {"recipe": name}, images)
    return folder / f"{name}.onnx"


def open_litert(model: "keras.Model") -> Runtime:
    """LiteRT with one thread, as TensorFlow brings it; takes one image at a time."""
    import tensorflow as tf

    # Keras prints where it keeps the network for the converter.
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (takes,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()

    def classify(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        interpreter.set_tensor(takes["index"], images / np.float32(255))
        interpreter.invoke()
        return interpreter.get_tensor(gives["index"])

    return classify


def open_numpy(model: "keras.Model") -> Runtime:
    """A network of two dense layers, as two products of matrices."""
    hidden, hidden_bias, last, last_bias = model.get_weights()

    def classify(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = images.reshape(-1, 784) / np.float32(255)
        powers = np.exp(np.maximum(pixels @ hidden + hidden_bias, 0) @ last + last_bias)
        return powers / powers.sum(axis=1, keepdims=True)

    return classify


def time_calls(classify: Runtime, images: NDArray[np.uint8], seconds: float) -> list[float]:
    """Seconds of each call; calls until their sum exceeds `seconds`, at least one."""
    timings: list[float] = []
    while not timings or sum(timings) < seconds:
        timings.append(measure_seconds(lambda: classify(images)))
    return timings


def take_turns(
    runtimes: dict[str, Runtime], images: NDArray[np.uint8], rounds: int, seconds: float
) -> dict[str, float]:
    """Median seconds of a call, by runtime.

    They take turns of `seconds` each, because a machine's speed drifts; each turn begins with a fifth of that to warm
    up, which is not counted.
    """
    timings: dict[str, list[float]] = {name: [] for name in runtimes}
    for _ in range(rounds):
        for name, classify in runtimes.items():
            time_calls(classify, images, seconds / 5)
            timings[name] += time_calls(classify, images, seconds)
    return {name: statistics.median(values) for name, values in timings.items()}


def flop_per_image(model: "keras.Model") -> int:
    """Multiplications and additions of the convolutions and dense layers."""
    kernels = [(layer.output.shape[1:-1], layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")]
    return sum(2 * math.prod(places) * math.prod(kernel) for places, kernel in kernels)
