"""The engine's compiled programs on TensorFlow: XLA or plain graphs, which suit convolutions on a CPU."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from mnist_digits.training.engine.augmentation import DRAWN
from mnist_digits.training.engine.step import Step

# A program for each model is meant, however many models a process trains: no reason to warn of it.
tf.get_logger().addFilter(lambda record: "triggered tf.function retracing" not in record.getMessage())


def compile_function(function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
    """The function, of arrays of any length, as a program that sees the model's present variables."""

    @functools.cache
    def compile_for(*kinds: tuple[tuple[int, ...], np.dtype]) -> Callable[..., Any]:
        return tf.function(function, input_signature=[tf.TensorSpec((None, *shape), dtype) for shape, dtype in kinds])

    return lambda *arrays: compile_for(*((array.shape[1:], array.dtype) for array in arrays))(*arrays)


def compile_epoch(
    step: Step, images: np.ndarray, labels: np.ndarray, batch_size: int, jit_compile: bool
) -> Callable[[np.ndarray, int, float], np.ndarray]:
    """A function of order, int32 (n,), random key and strength of distortion that trains for an epoch.

    jit_compile: with XLA. It returns the epoch's summed loss and number of hits, (2,).
    """
    resident_images, resident_labels = tf.constant(images), tf.constant(labels)
    full_batches, remainder = divmod(len(labels), batch_size)

    def prepare(order: tf.Tensor, key: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
        draws = tf.random.stateless_uniform((order.shape[0], DRAWN), key, -1.0, 1.0, alg="philox")
        return step.prepare(tf.gather(resident_images, order), strength * draws)

    # Distortion is many small operations on whole images, which XLA melts into one even inside a plain graph.
    compiled_prepare = tf.function(prepare, jit_compile=True) if step.distortion and not jit_compile else prepare

    @tf.function(jit_compile=jit_compile)
    def train_on_full_batches(order: tf.Tensor, key: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
        totals = tf.zeros(2)
        batches = tf.reshape(order, [full_batches, batch_size])
        for index in tf.range(full_batches):
            inputs = compiled_prepare(batches[index], tf.stack([key, index]), strength)
            totals += _advance(step, inputs, tf.gather(resident_labels, batches[index]))
        return totals

    def epoch(order: np.ndarray, key: int, strength: float) -> np.ndarray:
        full, last = order[: len(order) - remainder], order[len(order) - remainder :]
        totals = np.zeros(2)
        if full_batches:
            arguments = (tf.constant(full), tf.constant(key, tf.int32), tf.constant(strength, tf.float32))
            totals += train_on_full_batches(*arguments).numpy()
        if remainder:
            # One step an epoch is not worth the time it takes to compile another batch size.
            inputs = prepare(tf.constant(last), tf.constant([key, full_batches], tf.int32), strength)
            totals += _advance(step, inputs, tf.gather(resident_labels, last)).numpy()
        return totals

    return epoch


def _advance(step: Step, inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Take one step, as `model.fit` takes it; gives the batch's totals, float32 (2,)."""
    with tf.GradientTape() as tape, _named_random_algorithm():
        loss, totals = step.evaluate(inputs, labels, training=True)
    step.update(tape.gradient(loss, [variable.value for variable in step.model.trainable_variables]))
    return totals


def _named_random_algorithm() -> AbstractContextManager[object]:
    """While a model is traced, let dropout name the random generator that XLA would choose anyway.

    The numbers are the same, but left to choose, XLA on a CPU takes 8 times as long for an epoch.
    """
    named = functools.partial(tf.nn.experimental.stateless_dropout, rng_alg="philox")
    return mock.patch.object(tf.nn.experimental, "stateless_dropout", named)
