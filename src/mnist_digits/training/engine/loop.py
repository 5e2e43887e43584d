"""The training loop: one compiled program per epoch, Keras's callbacks around it.

`model.fit` crosses from Python into compiled code at every batch; for a small network on MNIST
that crossing is most of its time. Here the images stay in memory as bytes, and one program
gathers, scales, and takes the optimiser steps of an epoch. The mathematics is `model.fit`'s.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from mnist_digits.training.engine.augmentation import Distortion
from mnist_digits.training.engine.step import Step, scale
from mnist_digits.training.engine.weight_average import WeightAverage
from mnist_digits.training.recipes import DIGIT_CLASSES

if TYPE_CHECKING or keras.backend.backend() == "tensorflow":
    from mnist_digits.training.engine.tensorflow import compile_epoch, compile_function
else:
    from mnist_digits.training.engine.jax import compile_epoch, compile_function

EVALUATION_BATCH = 1000
"""Images per forward pass where no gradient is needed; only memory depends on it."""
TINY = 1e-30
"""Divided by where a float32 sum of probabilities may be 0."""


def sample_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch visits the images: a permutation, int32 (count,), from seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(count).astype(np.int32)


def fit(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    epochs: int = 1,
    batch_size: int = 32,
    seed: int = 0,
    initial_epoch: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    distortion: Distortion | None = None,
    strength: Callable[[int], float] = lambda epoch: 1.0,
    average: WeightAverage | None = None,
    jit_compile: bool = True,
) -> keras.callbacks.History:
    """Train a compiled model in place, like `model.fit`, at a multiple of its speed.

    model: float (n, 28, 28) in [0, 1] → probabilities (n, 10), compiled with an optimiser and a loss
        that takes integer labels.
    images: uint8 (n, 28, 28). labels: uint8 (n,), 0-9. validation: the same two, scored after each epoch.
    epochs: the epoch to stop after; initial_epoch: how many are done already, when resuming.
    seed: decides, with the epoch's number, the order of the images. The last batch may be smaller.
    callbacks: Keras callbacks; they see epochs, not batches. `model.stop_training` is obeyed.
    distortion: applied to every image in every epoch, differently each time, by seed and epoch.
    strength: of the distortion, in [0, 1], by epoch, from 0.
    average: follows the weights; validation then scores the average, and the caller applies it at the end.
    jit_compile: compile with XLA, which suits dense layers; plain graphs suit convolutions on a CPU. JAX always does.

    Returns the History with `loss`, `accuracy`, `seconds` (of training alone) and, with validation,
    `val_loss` and `val_accuracy`. Raises ValueError for arrays of another shape or dtype, or an uncompiled model.
    """
    _check(model, images, labels)
    step = Step(model, distortion, average)
    run_epoch = compile_epoch(step, images, labels, batch_size, jit_compile)
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
        totals = run_epoch(sample_order(len(labels), seed, epoch), _draw_key(seed, epoch), strength(epoch))
        loss, accuracy = (totals / len(labels)).tolist()
        logs = {"loss": loss, "accuracy": accuracy, "seconds": time.perf_counter() - start}
        if validation is not None:
            with average.applied() if average else nullcontext():
                logs["val_loss"], logs["val_accuracy"] = run_validation(*validation)
        observers.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    observers.on_train_end(logs)
    return history


def compile_prediction(model: keras.Model, temperature: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images, uint8 (n, 28, 28), to probabilities, float32 (n, 10); for any n.

    model, temperature: as for `classify`. Compiled once; on JAX, once for each size of batch.
    """
    return _in_batches(compile_function(lambda images: classify(model, images, temperature)[0], model), (10,))


def compile_rejection(model: keras.Model, temperature: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images, uint8 (n, 28, 28), to the probability that each is a digit, float32 (n,).

    model, temperature: as for `classify`.
    """
    return _in_batches(compile_function(lambda images: classify(model, images, temperature)[1], model), ())


def can_reject(model: keras.Model) -> bool:
    """Whether the model has an eleventh class, for images of no digit."""
    return model.output_shape[-1] > DIGIT_CLASSES


def classify(model: keras.Model, images: Any, temperature: float) -> tuple[Any, Any]:
    """Probabilities of the ten digits, float32 (n, 10), and that each image is a digit at all, float32 (n,).

    model: takes float (n, 28, 28) or (n, 28, 28, 1) in [0, 1]. What it gives to an eleventh class, no digit, is left
    out of the first: those are the probabilities of an image that is one. images: uint8 (n, 28, 28). temperature:
    what all logits are divided by; 1 leaves them as the network was trained.
    """
    classes = model(ops.reshape(scale(images), (-1, *model.input_shape[1:])), training=False)
    if temperature != 1:
        # Up to a constant, which softmax takes away again, the logarithms of probabilities are the logits.
        classes = ops.softmax(ops.log(classes) / temperature)
    digits = classes[:, :DIGIT_CLASSES]
    total = ops.sum(digits, 1)
    if can_reject(model):
        digits = digits / ops.maximum(total, TINY)[:, None]
    return digits, total


def _in_batches(forward: Callable[[np.ndarray], Any], shape: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
    """A compiled function applied to images a batch at a time. shape: of its result for one image."""

    def predict(images: np.ndarray) -> np.ndarray:
        batches = [ops.convert_to_numpy(forward(batch)) for batch in _batches(images)]
        return np.concatenate(batches) if batches else np.empty((0, *shape), np.float32)

    return predict


def _check(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> None:
    if not model.compiled:
        raise ValueError("the model is not compiled; expected one with optimiser and loss: call model.compile first")
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise ValueError(f"images {images.dtype} {images.shape}, expected uint8 (n, 28, 28); scaling is done inside")
    if labels.shape != (len(images),) or not len(labels):
        raise ValueError(
            f"labels {labels.shape}, expected ({len(images)},): one for each image, and at least one image"
        )


def _draw_key(seed: int, epoch: int) -> int:
    """What an epoch's random distortions start from, apart from the order of its images."""
    return int(np.random.default_rng([seed, epoch, 1]).integers(2**31))


def _compile_evaluation(step: Step) -> Callable[[np.ndarray, np.ndarray], tuple[float, float]]:
    """A function of images and labels that returns mean loss and accuracy."""
    totals = compile_function(lambda x, y: step.evaluate(scale(x), y, training=False)[1], step.model)

    def evaluate(images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        pairs = zip(_batches(images), _batches(labels), strict=True)
        loss, accuracy = sum(ops.convert_to_numpy(totals(*pair)) for pair in pairs) / len(labels)
        return float(loss), float(accuracy)

    return evaluate


def _batches(array: np.ndarray) -> list[np.ndarray]:
    return [array[start : start + EVALUATION_BATCH] for start in range(0, len(array), EVALUATION_BATCH)]
