"""Keras networks: building them by a recipe, and loading saved ones.

Every network maps float32 (n, 28, 28) in [0, 1] to probabilities, float32 (n, 10), or (n, 11) where its recipe has a
class for images of no digit.
"""

import json
import math
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from mnist_digits.errors import DataError
from mnist_digits.recognition.session import MAX_WEIGHTS
from mnist_digits.training.engine.batch_norm_relu import BatchNormRelu
from mnist_digits.training.recipes import DIGIT_CLASSES, Recipe


def dense(recipe: Recipe) -> keras.Sequential:
    """One hidden layer, 784-128-10 by default, with dropout and batch norm if the recipe has them."""
    additions = [*_dropout(recipe), *([layers.BatchNormalization()] if recipe.batch_norm else [])]
    return _classifier(recipe, layers.Flatten(), layers.Dense(recipe.hidden_units, "relu"), *additions)


def fast(recipe: Recipe) -> keras.Sequential:
    """Two strided convolutions and a dense layer: the fewest operations that reach 99 % in two epochs."""
    return _classifier(
        recipe,
        layers.Reshape((28, 28, 1)),
        layers.Conv2D(16, 5, strides=2, activation="relu"),
        layers.Conv2D(48, 3, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(recipe.hidden_units, "relu"),
    )


def cnn(recipe: Recipe) -> keras.Sequential:
    """Four convolutions, each with batch norm and relu, directly before the output layer.

    No padding: the border of an MNIST image is blank, and an epoch takes 40 % less time without it.
    """
    return _convolutional(recipe, (24, 5, 2), (48, 3, 1), (64, 3, 2), (64, 3, 1))


def tiny(recipe: Recipe) -> keras.Sequential:
    """Fewer than 2,000 parameters: three narrow convolutions, the first two followed by 2×2 max pooling."""
    first, second, third = _convolution(6, 5), _convolution(8, 3), _convolution(7, 3)
    hidden = [*first, layers.MaxPooling2D(), *second, layers.MaxPooling2D(), *third]
    return _classifier(recipe, layers.Reshape((28, 28, 1)), *hidden, layers.Flatten())


def best(recipe: Recipe) -> keras.Sequential:
    """Six convolutions, the first at full resolution; two cores train it within an hour."""
    return _convolutional(recipe, (32, 5, 1), (64, 3, 2), (96, 3, 1), (96, 3, 1), (128, 3, 1), (128, 3, 1))


def reader(recipe: Recipe) -> keras.Sequential:
    """Four convolutions, wider than those of `cnn`, for pictures unlike MNIST's."""
    return _convolutional(recipe, (32, 5, 2), (64, 3, 1), (128, 3, 2), (128, 3, 1))


def _convolutional(recipe: Recipe, *shapes: tuple[int, int, int]) -> keras.Sequential:
    """Convolutions without padding, and dropout if the recipe has it. shapes: (filters, kernel size, stride)."""
    hidden = [layer for shape in shapes for layer in _convolution(*shape)]
    return _classifier(recipe, layers.Reshape((28, 28, 1)), *hidden, layers.Flatten(), *_dropout(recipe))


def _convolution(filters: int, side: int, stride: int = 1) -> list[keras.Layer]:
    """A convolution, batch norm, relu."""
    return [
        layers.Conv2D(filters, side, strides=stride, use_bias=False, kernel_initializer="he_normal"),
        BatchNormRelu(momentum=0.9),
    ]


def _dropout(recipe: Recipe) -> list[keras.Layer]:
    return [layers.Dropout(recipe.dropout)] if recipe.dropout else []


def _classifier(recipe: Recipe, *hidden: keras.Layer) -> keras.Sequential:
    """The hidden layers, and the probabilities of the recipe's classes, in float32 whatever the precision before."""
    output = layers.Dense(recipe.classes, "softmax", dtype="float32")
    return keras.Sequential([layers.Input((28, 28)), *hidden, output])


MAX_CONFIG_BYTES = 10_000_000
"""Size of the description of a Keras model; that of the largest recipe has 20 kB."""

MAX_OUTPUTS = 500_000
"""Number of outputs of a layer for one image, of which a thousand are computed at a time."""

INPUT_SHAPES = ((None, 28, 28), (None, 28, 28, 1))
"""Input shapes of a classifier of grey images."""
OUTPUT_SHAPES = ((None, DIGIT_CLASSES), (None, DIGIT_CLASSES + 1))
"""Its output shapes: ten digits, or one more class for images of no digit."""

NETWORKS = {"dense": dense, "fast": fast, "cnn": cnn, "tiny": tiny, "best": best, "reader": reader}
"""A recipe's `network` → its builder."""


def build(recipe: Recipe, images: int = 55_000, precision: str = "float32") -> keras.Sequential:
    """The recipe's network, initialised from Keras's global seed, compiled with the recipe's optimiser and loss.

    images: training images per epoch, which decide the length of the learning rate's schedule.
    precision: dtype policy of the layers, `float32` or `mixed_bfloat16`; the probabilities are always float32.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = NETWORKS[recipe.network](recipe)
    finally:
        keras.config.set_dtype_policy(before)
    model.compile(optimizer=_optimizer(recipe, images), loss=_loss(recipe), metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    return model


def _optimizer(recipe: Recipe, images: int) -> keras.optimizers.Optimizer:
    options = {
        "learning_rate": _learning_rate(recipe, recipe.epochs * -(-images // recipe.batch_size)),
        "beta_1": recipe.beta_1,
        "beta_2": recipe.beta_2,
    }
    if not recipe.weight_decay:
        return keras.optimizers.Adam(**options)
    optimizer = keras.optimizers.AdamW(weight_decay=recipe.weight_decay, **options)
    # Kernels only: there is no reason to shrink biases, or the scales and shifts of batch norm.
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _learning_rate(recipe: Recipe, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if recipe.schedule == "constant":
        return recipe.learning_rate
    return WarmUpThenFall(recipe.learning_rate, steps, recipe.warm_up, recipe.schedule)


@keras.saving.register_keras_serializable("mnist_digits")
class WarmUpThenFall(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that rises linearly from 0 to a peak, then decays to 0 at the last step."""

    def __init__(self, peak: float, steps: int, warm_up: float, shape: str) -> None:
        """peak: above 0. steps: total number. warm_up: fraction of them that rises. shape: `linear` or `cosine`."""
        self.peak, self.steps, self.warm_up, self.shape = peak, steps, warm_up, shape

    def __call__(self, step: Any) -> Any:
        """The learning rate, float32 (), at a step, counted from 0."""
        rising = self.warm_up * self.steps
        step = keras.ops.cast(step, "float32")
        fallen = keras.ops.clip((step - rising) / (self.steps - rising), 0, 1)
        left = 1 - fallen if self.shape == "linear" else (1 + keras.ops.cos(np.pi * fallen)) / 2
        return self.peak * keras.ops.minimum((step + 1) / max(rising, 1), left)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for saving."""
        return {"peak": self.peak, "steps": self.steps, "warm_up": self.warm_up, "shape": self.shape}


def _loss(recipe: Recipe) -> Any:
    """Cross-entropy against integer labels, with label smoothing if the recipe has it."""
    if not recipe.label_smoothing:
        return "sparse_categorical_crossentropy"

    def smoothed_crossentropy(labels: Any, probabilities: Any) -> Any:
        wanted = keras.ops.one_hot(keras.ops.cast(labels, "int32"), recipe.classes)
        return keras.losses.categorical_crossentropy(wanted, probabilities, label_smoothing=recipe.label_smoothing)

    return smoothed_crossentropy


def for_use(model: keras.Sequential) -> keras.Sequential:
    """A copy to be saved: the same weights, float32 throughout, with stock layers, loss and optimiser only."""
    kept = keras.Sequential([layers.Input((28, 28)), *(twin for layer in model.layers for twin in _stock(layer))])
    kept.set_weights(model.get_weights())
    return _compiled_for_use(kept)


def average(models: Sequence[keras.Model]) -> keras.Model:
    """One network whose probabilities are the mean of those of the given ones."""
    for number, model in enumerate(models):
        # Layers of a network need unique names, and every network is named `sequential`.
        model.name = f"member_{number}"
    images = layers.Input((28, 28))
    return _compiled_for_use(keras.Model(images, layers.Average()([model(images) for model in models])))


def _compiled_for_use(model: keras.Model) -> keras.Model:
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _stock(layer: keras.Layer) -> list[keras.Layer]:
    """New stock layers that compute in float32 what this layer computes."""
    config = {**layer.get_config(), "dtype": "float32"}
    if isinstance(layer, BatchNormRelu):
        return [layers.BatchNormalization.from_config(config), layers.Activation("relu")]
    return [type(layer).from_config(config)]


def load(path: Path) -> keras.Model:
    """A digit classifier from a `.keras` file; code in it (Lambda layers) is never executed.

    Raises DataError when the file is missing, is no Keras model, contains code, has more than MAX_WEIGHTS or layers of
    more than MAX_OUTPUTS, or does not classify 28×28 images into ten digits or ten digits and a class for images of no
    digit.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a model saved by Keras, or the folder of a run")
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise DataError(
            f"{path}: not a .keras archive (older formats are refused: they may hold code); "
            "save it with model.save('model.keras')"
        )
    try:
        _check_size(path)
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except DataError:
        raise
    except Exception as error:  # Loading may raise anything that the layers raise.
        code = "ambda" in str(error)
        reason = "it holds a Lambda layer, code that is never executed here" if code else _first_line(error)
        raise DataError(f"{path}: cannot be loaded as a Keras model: {reason}; expected layers without code") from error
    if model.input_shape not in INPUT_SHAPES or model.output_shape not in OUTPUT_SHAPES:
        raise DataError(
            f"{path}: maps {model.input_shape} to {model.output_shape}, expected (None, 28, 28) to (None, 10)"
        )
    return model


def _check_size(path: Path) -> None:
    """Raise DataError for a model too large, before memory is taken for it: a few bytes may ask for any amount.

    Raises anything else that loading the model would.
    """
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
            raise DataError(f"{path}: a description of more than {MAX_CONFIG_BYTES:,} bytes, expected a classifier's")
        config = json.loads(archive.read("config.json"))
    config.pop("compile_config", None)
    # A thread of its own, because Keras keeps variables that are described and not made to make them later.
    with ThreadPoolExecutor(1) as thread:
        weights, outputs = thread.submit(_sizes, config).result()
    if weights > MAX_WEIGHTS or outputs > MAX_OUTPUTS:
        raise DataError(
            f"{path}: {weights:,} weights and up to {outputs:,} outputs of a layer, expected at most {MAX_WEIGHTS:,} "
            f"and {MAX_OUTPUTS:,}"
        )


def _sizes(config: dict[str, Any]) -> tuple[int, int]:
    """Number of weights of the model that is described, and of outputs of its largest layer for one image."""
    with keras.StatelessScope(initialize_variables=False):
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        shapes = [tensor.shape for layer in _layers(model) for tensor in keras.tree.flatten(layer.output)]
        weights = sum(math.prod(variable.shape) for variable in model.variables)
    return weights, max((math.prod(size or 1 for size in shape) for shape in shapes), default=0)


def _layers(model: Any) -> Iterator[Any]:
    """All layers of a model, and of the models in it."""
    for layer in model.layers:
        yield layer
        yield from _layers(layer) if hasattr(layer, "layers") else ()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
