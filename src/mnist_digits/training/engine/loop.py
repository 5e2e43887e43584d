"""The training loop: one compiled program per epoch, with Keras's callbacks around it; and compiled predictions.

`model.fit` calls compiled code from Python at every batch; for a small network on MNIST these calls take most of the
time. Here the images stay in memory as bytes, and one program gathers and scales them and takes all optimiser steps of
an epoch. The steps are those of `model.fit`.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from mnist_digits.training.engine.augmentation import Distortion
from mnist_digits.training.engine.corruption import Corruption
from mnist_digits.training.engine.step import ClassifierStep, scale
from mnist_digits.training.engine.weight_average import WeightAverage
from mnist_digits.training.recipes import DIGIT_CLASSES

if TYPE_CHECKING or keras.backend.backend() == "tensorflow":
    from mnist_digits.training.engine.tensorflow import compile_epoch as compile_epoch
    from mnist_digits.training.engine.tensorflow import compile_function as compile_function
else:
    from mnist_digits.training.engine.jax import compile_epoch as compile_epoch
    from mnist_digits.training.engine.jax import compile_function as compile_function

EVALUATION_BATCH = 1000
"""Images per forward pass without gradients; it affects memory and speed only."""
MIN_DIVISOR = 1e-30
"""Replaces a sum of probabilities that is 0 in float32, where it is divided by."""

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From images, (n, 28, 28), any n, to an array (n, …)."""


def sample_order(count: int, seed: int, epoch: int) -> NDArray[np.int32]:
    """The order of the images in an epoch: a permutation, int32 (count,), that depends on seed and epoch only."""
    return np.random.default_rng([seed, epoch]).permutation(count).astype(np.int32)


def fit(
    model: keras.Model,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    *,
    validation: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None,
    epochs: int = 1,
    batch_size: int = 32,
    seed: int = 0,
    initial_epoch: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    distortion: Distortion | None = None,
    strength: Callable[[int], float] = lambda epoch: 1.0,
    corruption: Corruption | None = None,
    average: WeightAverage | None = None,
    jit_compile: bool = True,
) -> keras.callbacks.History:
    """Train a compiled model in place, like `model.fit`, several times as fast.

    model: maps float (n, 28, 28) in [0, 1] to probabilities (n, classes); compiled with an optimiser and a loss of
        integer labels.
    images: uint8 (n, 28, 28). labels: uint8 (n,), below the number of classes. validation: images and labels to
        evaluate the model on after each epoch.
    epochs: number of the last epoch. initial_epoch: number of epochs done already, when resuming.
    batch_size: images per step; the last batch of an epoch may be smaller.
    seed: decides, with the number of the epoch, the order of the images and their distortion.
    callbacks: Keras callbacks, called around epochs but not batches; `model.stop_training` is obeyed.
    distortion: applied to every image, with new random numbers in every epoch.
    strength: from an epoch, counted from 0, to the factor in [0, 1] of the distortion's random numbers.
    corruption: applied after the distortion, with new random numbers in every epoch.
    average: updated after each step, and used in validation; the caller applies it at the end.
    jit_compile: compile with XLA, which is faster for dense layers; plain graphs are faster for convolutions on a CPU.
        JAX always uses XLA.

    Returns the History with `loss`, `accuracy`, `seconds` (of training alone), `compile_seconds` (before an epoch) and,
    with validation, `val_loss` and `val_accuracy`. Raises ValueError for arrays of another shape or dtype, or an
    uncompiled model.
    """
    _check(model, images, labels)
    step = ClassifierStep(model, average, distortion, corruption)
    start = time.perf_counter()
    run_epoch = compile_epoch(step, (images, labels), batch_size, jit_compile)
    compile_seconds = time.perf_counter() - start
    run_validation = _compile_evaluation(step)
    history = keras.callbacks.History()
    batches = -(-len(labels) // batch_size)
    observers = keras.callbacks.CallbackList(
        [*callbacks, history], model=model, epochs=epochs, steps=batches, verbose=0
    )
    model.stop_training = False
    observers.on_train_begin()
    logs: dict[str, float] = {}
    for epoch in range(initial_epoch, epochs):
        observers.on_epoch_begin(epoch)
        start = time.perf_counter()
        totals = run_epoch(sample_order(len(labels), seed, epoch), draw_key(seed, epoch), strength(epoch))
        loss, accuracy = (totals / len(labels)).tolist()
        logs = {"loss": loss, "accuracy": accuracy, "seconds": time.perf_counter() - start}
        logs["compile_seconds"] = compile_seconds if epoch == initial_epoch else 0.0
        if validation is not None:
            with average.applied() if average else nullcontext():
                logs["val_loss"], logs["val_accuracy"] = run_validation(*validation)
        observers.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    observers.on_train_end(logs)
    return history


def compile_prediction(model: keras.Model, temperature: float = 1.0) -> Predict:
    """A function from images, uint8 (n, 28, 28), any n, to probabilities of the ten digits, float32 (n, 10).

    model, temperature: as for `classify`. It is compiled once; on JAX, once for each batch size.
    """
    return _in_batches(compile_function(lambda images: classify(model, images, temperature)[0], model), (10,))


def compile_rejection(model: keras.Model, temperature: float = 1.0) -> Predict:
    """A function from images, uint8 (n, 28, 28), to the probability that each is a digit, float32 (n,).

    model, temperature: as for `classify`.
    """
    return _in_batches(compile_function(lambda images: classify(model, images, temperature)[1], model), ())


def can_reject(model: keras.Model) -> bool:
    """Whether the model has an eleventh class, for images of no digit."""
    return model.output_shape[-1] > DIGIT_CLASSES


def classify(model: keras.Model, images: Any, temperature: float) -> tuple[Any, Any]:
    """Probabilities of the ten digits, float32 (n, 10), and that each image is a digit at all, float32 (n,).

    The former are conditional on the image being a digit: they sum to 1 whether or not there is an eleventh class.
    model: maps float (n, 28, 28) or (n, 28, 28, 1) in [0, 1] to probabilities (n, 10) or (n, 11). images: uint8
    (n, 28, 28). temperature: divisor of all logits; 1 for those of the model itself.
    """
    classes = model(ops.reshape(scale(images), (-1, *model.input_shape[1:])), training=False)
    if temperature != 1:
        # The logarithms of the probabilities are the logits up to a constant, to which softmax is invariant.
        classes = ops.softmax(ops.log(classes) / temperature)
    digits = classes[:, :DIGIT_CLASSES]
    total = ops.sum(digits, 1)
    if can_reject(model):
        digits = digits / ops.maximum(total, MIN_DIVISOR)[:, None]
    return digits, total


def _in_batches(forward: Callable[[NDArray[np.uint8]], Any], shape: tuple[int, ...]) -> Predict:
    """A function that applies a compiled one to images in batches. shape: of its result for one image."""

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        batches = [ops.convert_to_numpy(forward(batch)) for batch in _batches(images)]
        return np.concatenate(batches) if batches else np.empty((0, *shape), np.float32)

    return predict


def _check(model: keras.Model, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
    if not model.compiled:
        raise ValueError("the model is not compiled; expected one with optimiser and loss: call model.compile first")
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise ValueError(f"images {images.dtype} {images.shape}, expected uint8 (n, 28, 28); scaling is done inside")
    if labels.shape != (len(images),) or not len(labels):
        raise ValueError(
            f"labels {labels.shape}, expected ({len(images)},): one for each image, and at least one image"
        )


def draw_key(seed: int, epoch: int) -> int:
    """Seed of an epoch's random changes, independent of the order of its images."""
    return int(np.random.default_rng([seed, epoch, 1]).integers(2**31))


def _compile_evaluation(step: ClassifierStep) -> Callable[[NDArray[np.uint8], NDArray[np.uint8]], tuple[float, float]]:
    """A function from images and labels to their mean loss and accuracy."""
    totals = compile_function(lambda x, y: step.evaluate(scale(x), y, training=False)[1], step.model)

    def evaluate(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> tuple[float, float]:
        pairs = zip(_batches(images), _batches(labels), strict=True)
        loss, accuracy = sum(ops.convert_to_numpy(totals(*pair)) for pair in pairs) / len(labels)
        return float(loss), float(accuracy)

    return evaluate


def _batches(array: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [array[start : start + EVALUATION_BATCH] for start in range(0, len(array), EVALUATION_BATCH)]
