"""The training loop: one compiled program per epoch, Keras's callbacks around it.

`model.fit` crosses from Python into compiled code at every batch; for a small network on MNIST
that crossing is most of its time. Here the images stay in memory as bytes, and one program
gathers, scales, and takes the optimiser steps of an epoch, all but that of a last, smaller
batch. The mathematics is `model.fit`'s.
"""

import functools
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from mnist_digits.training.augmentation import DRAWN, Distortion
from mnist_digits.training.averaging import WeightAverage

EVALUATION_BATCH = 1000
"""Images per forward pass where no gradient is needed; only memory depends on it."""


def scale(images: tf.Tensor) -> tf.Tensor:
    """0-255 → float32 0-1: the only place where pixels are scaled."""
    return tf.cast(images, tf.float32) / 255.0


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
    jit_compile: compile with XLA, which suits dense layers; plain graphs suit convolutions on a CPU.

    Returns the History with `loss`, `accuracy`, `seconds` (of training alone) and, with validation,
    `val_loss` and `val_accuracy`. Raises ValueError for arrays of another shape or dtype, or an uncompiled model.
    """
    _check(model, images, labels)
    run_epoch = _compile_epoch(model, images, labels, batch_size, distortion, average, jit_compile)
    run_validation = _compile_evaluation(model)
    history = keras.callbacks.History()
    steps = -(-len(labels) // batch_size)
    observers = keras.callbacks.CallbackList([*callbacks, history], model=model, epochs=epochs, steps=steps, verbose=0)
    model.stop_training = False
    observers.on_train_begin()
    logs: dict[str, float] = {}
    for epoch in range(initial_epoch, epochs):
        observers.on_epoch_begin(epoch)
        start = time.perf_counter()
        loss, accuracy = run_epoch(sample_order(len(labels), seed, epoch), _draw_key(seed, epoch), strength(epoch))
        logs = {"loss": loss, "accuracy": accuracy, "seconds": time.perf_counter() - start}
        if validation is not None:
            with average.applied() if average else nullcontext():
                logs["val_loss"], logs["val_accuracy"] = run_validation(*validation)
        observers.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    observers.on_train_end(logs)
    return history


def compile_prediction(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images, uint8 (n, 28, 28), to the model's output, float32 (n, 10); compiled once, for any n.

    model: takes float (n, 28, 28) or (n, 28, 28, 1) in [0, 1].
    """

    @tf.function(input_signature=[tf.TensorSpec((None, 28, 28), tf.uint8, name="images")])
    def forward(images: tf.Tensor) -> tf.Tensor:
        return model(tf.reshape(scale(images), [-1, *model.input_shape[1:]]), training=False)

    def predict(images: np.ndarray) -> np.ndarray:
        batches = [forward(tf.constant(batch)).numpy() for batch in _batches(images)]
        return np.concatenate(batches) if batches else np.empty((0, 10), np.float32)

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


def _compile_epoch(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    distortion: Distortion | None,
    average: WeightAverage | None,
    jit_compile: bool,
) -> Callable[[np.ndarray, int, float], tuple[float, float]]:
    """A function of order, int32 (n,), random key and strength that trains for an epoch.

    It returns the mean loss and the accuracy.
    """
    resident_images, resident_labels = tf.constant(images), tf.constant(labels)
    full_batches, remainder = divmod(len(labels), batch_size)
    step = _define_step(model, average)

    def prepare(order: tf.Tensor, key: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
        chosen = tf.gather(resident_images, order)
        if not distortion:
            return scale(chosen)
        draws = tf.random.stateless_uniform((order.shape[0], DRAWN), key, -1.0, 1.0, alg="philox")
        return scale(distortion(chosen, strength * draws))

    # Distortion is many small operations on whole images, which XLA melts into one even inside a plain graph.
    compiled_prepare = tf.function(prepare, jit_compile=True) if distortion and not jit_compile else prepare

    @tf.function(jit_compile=jit_compile)
    def train_on_full_batches(order: tf.Tensor, key: tf.Tensor, strength: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        total_loss, correct = tf.constant(0.0), tf.constant(0.0)
        batches = tf.reshape(order, [full_batches, batch_size])
        for index in tf.range(full_batches):
            inputs = compiled_prepare(batches[index], tf.stack([key, index]), strength)
            loss, hits = step(inputs, tf.gather(resident_labels, batches[index]))
            total_loss, correct = total_loss + loss, correct + hits
        return total_loss, correct

    def epoch(order: np.ndarray, key: int, strength: float) -> tuple[float, float]:
        full, last = order[: len(order) - remainder], order[len(order) - remainder :]
        totals = np.zeros(2)
        if full_batches:
            arguments = (tf.constant(full), tf.constant(key, tf.int32), tf.constant(strength, tf.float32))
            totals += [float(total) for total in train_on_full_batches(*arguments)]
        if remainder:
            # One step an epoch is not worth the time it takes to compile another batch size.
            inputs = prepare(tf.constant(last), tf.constant([key, full_batches], tf.int32), strength)
            totals += [float(total) for total in step(inputs, tf.gather(resident_labels, last))]
        loss, accuracy = totals / len(labels)
        return float(loss), float(accuracy)

    return epoch


def _define_step(
    model: keras.Model, average: WeightAverage | None
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """One optimiser step on inputs, float (n, 28, 28), and labels, uint8 (n,), as `model.fit` takes it.

    It returns the batch's summed loss and its number of hits.
    """
    variables = model.trainable_variables
    # Variables cannot be created inside a compiled program.
    model.optimizer.build(variables)

    def step(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape, _named_random_algorithm():
            probabilities = model(inputs, training=True)
            loss = model.compute_loss(x=inputs, y=labels, y_pred=probabilities, training=True)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        model.optimizer.apply(gradients, variables)
        if average:
            average.update()
        return loss * tf.cast(tf.size(labels), tf.float32), _correct(labels, probabilities)

    return step


def _named_random_algorithm() -> AbstractContextManager[object]:
    """While a model is traced, let dropout name the random generator that XLA would choose anyway.

    The numbers are the same, but left to choose, XLA on a CPU takes 8 times as long for an epoch.
    """
    named = functools.partial(tf.nn.experimental.stateless_dropout, rng_alg="philox")
    return mock.patch.object(tf.nn.experimental, "stateless_dropout", named)


def _compile_evaluation(model: keras.Model) -> Callable[[np.ndarray, np.ndarray], tuple[float, float]]:
    """A function of images and labels that returns mean loss and accuracy."""

    @tf.function(reduce_retracing=True)
    def totals(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        inputs = scale(images)
        probabilities = model(inputs, training=False)
        loss = model.compute_loss(x=inputs, y=labels, y_pred=probabilities, training=False)
        return loss * tf.cast(tf.size(labels), tf.float32), _correct(labels, probabilities)

    def evaluate(images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        pairs = zip(_batches(images), _batches(labels), strict=True)
        sums = np.sum([[float(total) for total in totals(tf.constant(x), tf.constant(y))] for x, y in pairs], axis=0)
        loss, accuracy = sums / len(labels)
        return float(loss), float(accuracy)

    return evaluate


def _batches(array: np.ndarray) -> list[np.ndarray]:
    return [array[start : start + EVALUATION_BATCH] for start in range(0, len(array), EVALUATION_BATCH)]


def _correct(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """How many of the batch are classified right, as float32."""
    predictions = tf.argmax(probabilities, 1, output_type=tf.int32)
    return tf.reduce_sum(tf.cast(predictions == tf.cast(labels, tf.int32), tf.float32))
