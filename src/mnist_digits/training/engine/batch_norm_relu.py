"""Batch norm and relu as one fused operation: on a CPU, the two take as long as the convolutions themselves.

Keras's batch norm reads and writes its whole input several times, forwards and backwards, and converts it to float32.
Here the forward and the backward pass are each a function that XLA fuses into two passes over the input, within the
plain graph that is faster for convolutions. On TensorFlow only: JAX fuses the stock operations by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING or keras.backend.backend() == "tensorflow":
    import tensorflow as tf


class BatchNormRelu(keras.layers.BatchNormalization):
    """`BatchNormalization` over the last axis, then relu: same weights and results, in less time.

    As there, a layer that is not trainable uses its statistics instead of the batch's.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Maps float (n, …, channels) to the same shape and dtype, at least 0."""
        if not (training and self.trainable) or keras.backend.backend() != "tensorflow":
            return keras.ops.relu(super().call(inputs, training=training))
        outputs, mean, variance = self._operation(inputs, self.gamma.value, self.beta.value)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return outputs

    @property
    def _operation(self) -> Callable[..., Any]:
        """A function to outputs and the batch's mean and variance, float32 (channels,), which have no gradient."""

        @tf.custom_gradient
        def operation(inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
            outputs, mean, variance = _fused(_forward, inputs, gamma, beta, self.epsilon)

            def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, ...]:
                return _fused(_backward, inputs, gamma, beta, mean, variance, upstream, self.epsilon)

            return (outputs, mean, variance), gradient

        return operation


def _fused(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's result, compiled by XLA where a graph is being built."""
    # The last, smaller batch of an epoch runs eagerly: compiling would take longer than computing.
    compiled = function if tf.executing_eagerly() else tf.function(function, jit_compile=True)
    return compiled(*arguments)


def _forward(
    inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    values = tf.cast(inputs, tf.float32)
    rows = tf.reshape(values, [-1, values.shape[-1]])
    mean = tf.reduce_mean(rows, 0)
    variance = tf.maximum(tf.reduce_mean(rows * rows, 0) - mean * mean, 0)
    factor = gamma * tf.math.rsqrt(variance + epsilon)
    return tf.cast(tf.nn.relu(values * factor + (beta - mean * factor)), inputs.dtype), mean, variance


def _backward(
    inputs: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    mean: tf.Tensor,
    variance: tf.Tensor,
    upstream: tf.Tensor,
    epsilon: float,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Gradients of inputs, gamma and beta (Ioffe and Szegedy 2015, section 3)."""
    channels = inputs.shape[-1]
    inverse_deviation = tf.math.rsqrt(variance + epsilon)
    normalised = (tf.cast(inputs, tf.float32) - mean) * inverse_deviation
    passed = tf.where(normalised * gamma + beta > 0, tf.cast(upstream, tf.float32), 0)
    rows = tf.reshape(passed, [-1, channels])
    count = tf.cast(tf.shape(rows)[0], tf.float32)
    beta_gradient = tf.reduce_sum(rows, 0)
    gamma_gradient = tf.reduce_sum(rows * tf.reshape(normalised, [-1, channels]), 0)
    centred = passed - beta_gradient / count - normalised * (gamma_gradient / count)
    return tf.cast(gamma * inverse_deviation * centred, inputs.dtype), gamma_gradient, beta_gradient
