"""The engine's compiled programs on TensorFlow: by XLA, or plain graphs, faster for convolutions on a CPU."""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mnist_digits.training.engine.step import Arrays, EpochProgram, Step

# Each model needs a program of its own: no reason to warn, however many models a process trains.
tf.get_logger().addFilter(lambda record: "triggered tf.function retracing" not in record.getMessage())


def compile_function(function: Callable[..., Any], model: keras.Model) -> Callable[..., Any]:
    """The function of arrays of any length, compiled; each call uses the current values of the model's variables.

    On any device, matrices are multiplied in full precision.
    """

    @functools.cache
    def compile_for(*kinds: tuple[tuple[int, ...], np.dtype]) -> Callable[..., Any]:
        return tf.function(function, input_signature=[tf.TensorSpec((None, *shape), dtype) for shape, dtype in kinds])

    def call(*arrays: NDArray[Any]) -> Any:
        with _full_precision():
            return compile_for(*((array.shape[1:], array.dtype) for array in arrays))(*arrays)

    return call


@contextmanager
def _full_precision() -> Iterator[None]:
    """Within the context, a GPU multiplies float32 as it is, and not rounded to TF32, its default."""
    options = tf.config.experimental
    before = options.tensor_float_32_execution_enabled()
    options.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        options.enable_tensor_float_32_execution(before)


def compile_epoch(step: Step, examples: Arrays, batch_size: int, jit_compile: bool) -> EpochProgram:
    """The program for epochs on examples, which stay in memory, compiled when this returns.

    jit_compile: compile with XLA.
    """
    resident = [tf.constant(array) for array in examples]
    count = len(examples[0])
    full_batches, remainder = divmod(count, batch_size)

    def prepare(order: tf.Tensor, key: tf.Tensor, strength: tf.Tensor) -> Any:
        draws = tf.random.stateless_uniform((order.shape[0], step.draws), key, -1.0, 1.0, alg="philox")
        return step.prepare(tuple(tf.gather(array, order) for array in resident), draws, strength)

    # Within a plain graph, too.
    compiled_prepare = tf.function(prepare, jit_compile=True) if step.fuses and not jit_compile else prepare

    @tf.function(jit_compile=jit_compile)
    def train_on_full_batches(order: tf.Tensor, key: tf.Tensor, strength: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        totals = tf.zeros(2)
        batches = tf.reshape(order, [full_batches, batch_size])
        index = tf.constant(0)
        # XLA would compile `tf.range` anew for another number of steps.
        while index < steps:
            totals += _advance(step, *compiled_prepare(batches[index], tf.stack([key, index]), strength))
            index += 1
        return totals

    def epoch(order: NDArray[np.int32], key: int, strength: float) -> NDArray[np.floating]:
        full, last = order[: len(order) - remainder], order[len(order) - remainder :]
        totals = np.zeros(2)
        if full_batches:
            arguments = tf.constant(full), tf.constant(key, tf.int32), tf.constant(strength, tf.float32)
            totals += train_on_full_batches(*arguments, tf.constant(full_batches)).numpy()
        if remainder:
            # Compiling for another batch size takes longer than one eager step an epoch.
            batch = prepare(tf.constant(last), tf.constant([key, full_batches], tf.int32), strength)
            totals += _advance(step, *batch).numpy()
        return totals

    if full_batches:
        # Compiles, and takes no step.
        none = tf.zeros(full_batches * batch_size, tf.int32)
        train_on_full_batches(none, tf.constant(0), tf.constant(0.0), tf.constant(0))
    return epoch


def _advance(step: Step, *batch: tf.Tensor) -> tf.Tensor:
    """Take one step, as `model.fit` does; returns the batch's totals, float32 (2,)."""
    with tf.GradientTape() as tape, _named_random_algorithm():
        loss, totals = step.evaluate(*batch, training=True)
    step.update(tape.gradient(loss, [variable.value for variable in step.model.trainable_variables]))
    return totals


def _named_random_algorithm() -> AbstractContextManager[object]:
    """While a model is traced, dropout names the random generator that XLA would choose anyway.

    The random numbers are the same, but with the default, `auto_select`, an epoch takes XLA on a CPU 8 times as long.
    """
    named = functools.partial(tf.nn.experimental.stateless_dropout, rng_alg="philox")
    return mock.patch.object(tf.nn.experimental, "stateless_dropout", named)
