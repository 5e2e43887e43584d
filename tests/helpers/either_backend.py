"""Computations whose results must not depend on Keras's backend; as a program, it runs them with JAX.

python tests/helpers/either_backend.py DATA_FOLDER OUTPUT_FOLDER
"""

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from mnist_digits.dataset import Dataset, load_mnist
from mnist_digits.training import backend, create_run, find_recipe, resume, train

if TYPE_CHECKING:
    import keras

    from mnist_digits.training.engine.session import TrainingSession

RECIPE = replace(find_recipe("dense-plus"), epochs=2, batch_size=110, dropout=0.1)
"""A recipe with every source of randomness: initial weights, order, distortion, dropout."""


def compute(data: Dataset) -> dict[str, np.ndarray]:
    """Name → numbers that must not depend on the backend, except for rounding."""
    import keras

    from mnist_digits.training.engine import corruption
    from mnist_digits.training.engine.augmentation import DRAWS, Distortion
    from mnist_digits.training.engine.loop import compile_function, compile_prediction, fit
    from mnist_digits.training.engine.weight_average import WeightAverage

    model = new_model()
    random = np.random.default_rng(0)
    draws = random.uniform(-1, 1, (50, DRAWS)).astype(np.float32)
    corruption_draws = random.uniform(-1, 1, (38, corruption.DRAWS)).astype(np.float32)
    distort = compile_function(Distortion(rotation=15, scaling=0.15, shear=0.15, translation=3, elastic=1), model)
    corrupt: Any = corruption.Corruption(1.0)
    if keras.backend.backend() == "jax":
        # One by one, JAX would compile each of its many operations for seconds.
        corrupt = compile_function(corrupt, model)
    # A second round would corrupt in the same ways, and take as long again to compile.
    with mock.patch.object(corruption, "ROUNDS", (1.0,)):
        corrupted = keras.ops.convert_to_numpy(corrupt(data.train.images[:38].astype(np.float32), corruption_draws))
    average = WeightAverage(model, decay=0.5)
    validation = (data.test.images, data.test.labels)
    # The last batch is a smaller one.
    images, labels = data.train.images[:100], data.train.labels[:100]
    history = fit(model, images, labels, epochs=2, average=average, validation=validation, jit_compile=False).history
    weights = flat(model)
    average.apply()
    return {
        "distorted": keras.ops.convert_to_numpy(distort(images[:50], draws)),
        "corrupted": corrupted,
        "weights": weights,
        "average": flat(model),
        "loss": np.array([history["loss"], history["val_loss"]]),
        "accuracy": np.array([history["accuracy"], history["val_accuracy"]]),
        "probabilities": compile_prediction(model)(data.test.images),
    }


def new_model() -> "keras.Model":
    """A convolution, batch norm, relu, pooling, the classes; always the same initial weights."""
    import keras
    from keras import layers

    from mnist_digits.training.engine.batch_norm_relu import BatchNormRelu

    # Weights that are to be replaced need not be random, which takes JAX a second to compile for each shape.
    blank = {"kernel_initializer": "zeros"}
    model = keras.Sequential(
        [
            layers.Input((28, 28)),
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(6, 5, strides=2, use_bias=False, **blank),
            BatchNormRelu(momentum=0.9),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, "softmax", **blank),
        ]
    )
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.2, w.shape) if w.ndim > 1 else w for w in model.get_weights()])
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    return model


def flat(model: "keras.Model") -> np.ndarray:
    """All weights, concatenated."""
    return np.concatenate([w.ravel() for w in model.get_weights()])


def train_two(data: Dataset, at_once: bool) -> np.ndarray:
    """All that two networks with other seeds are after training, one after another or at the same time: (2, n)."""
    from mnist_digits.training.engine.session import TrainingSession

    sessions = [TrainingSession.start(RECIPE, seed, len(data.train), "float32") for seed in (3, 4)]
    if at_once:
        fit_at_once(sessions, data)
    for session in () if at_once else sessions:
        session.fit(data)
    states = ([np.asarray(variable).ravel() for variable in session.variables] for session in sessions)
    return np.stack([np.concatenate(state, dtype=np.float64) for state in states])


def fit_at_once(sessions: "list[TrainingSession]", data: Dataset) -> None:
    """Train networks by RECIPE at the same time."""
    from mnist_digits.training.engine import jax, loop
    from mnist_digits.training.engine.augmentation import Distortion
    from mnist_digits.training.engine.step import ClassifierStep

    images, labels = data.train.images, data.train.labels
    steps = [ClassifierStep(one.model, one.average, Distortion.of(RECIPE)) for one in sessions]
    program = jax.compile_epochs_at_once(steps, (images, labels), RECIPE.batch_size)
    for epoch in range(RECIPE.epochs):
        orders = np.stack([loop.sample_order(len(labels), one.seed, epoch) for one in sessions])
        keys = np.array([loop.draw_key(one.seed, epoch) for one in sessions], np.int32)
        program(orders, keys, RECIPE.distortion_strength(epoch))


class Crash(Exception):
    """An interruption between two epochs."""


def export_where_matrices_are_rounded(data: Dataset, path: Path, guarded: bool) -> str:
    """Export a network where float32 products are rounded as on a GPU, unless full precision is asked for.

    guarded: whether what asks for it does so. Returns why nothing was written, or nothing.
    """
    import jax
    import keras

    from mnist_digits.errors import DataError
    from mnist_digits.training.export.onnx import export_onnx
    from mnist_digits.training.networks import build

    keras.utils.set_random_seed(0)
    model, multiply = build(find_recipe("dense")), keras.src.backend.numpy.matmul

    def multiply_as_a_gpu(*factors: Any) -> jax.Array:
        if jax.config.jax_default_matmul_precision == "highest":
            return multiply(*factors)
        # TF32 has ten bits of mantissa; bfloat16, with seven, errs in the same way.
        return multiply(*(jax.numpy.asarray(factor, "bfloat16").astype("float32") for factor in factors))

    always = nullcontext() if guarded else mock.patch("jax.default_matmul_precision", return_value=nullcontext())
    with always, mock.patch.object(keras.src.backend.numpy, "matmul", multiply_as_a_gpu):
        try:
            export_onnx(model, path, {}, data.test.images)
        except DataError as error:
            return str(error)
    return ""


def crash(epoch: int, row: dict[str, float]) -> None:
    raise Crash


def main(data_folder: str, output: str) -> None:
    """Write `results.npz`, `two.npz` and two runs without a report: an uninterrupted one, and a resumed one."""
    # Whatever else is installed here, JAX must do without it.
    sys.modules["tensorflow"] = None  # type: ignore[assignment]
    backend.start_keras()
    data, folder = load_mnist(Path(data_folder)), Path(output)
    np.savez(folder / "results.npz", allow_pickle=False, **compute(data))
    np.savez(folder / "two.npz", alone=train_two(data, at_once=False), at_once=train_two(data, at_once=True))
    for guarded in (True, False):
        name = "guarded" if guarded else "unguarded"
        reason = export_where_matrices_are_rounded(data, folder / f"{name}.onnx", guarded)
        (folder / f"{name}.txt").write_text(reason)
    with mock.patch("mnist_digits.training.train.ReportProcess"):
        train(RECIPE, data, folder / "whole", seed=3)
        run = create_run(RECIPE, data, folder / "broken", seed=3)
        try:
            resume(run, data, progress=crash)
        except Crash:
            resume(run, data)


if __name__ == "__main__":
    main(*sys.argv[1:])
