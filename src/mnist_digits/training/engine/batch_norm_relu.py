"""Batch norm and relu as one operation: convolutions on a CPU spend as long on these two as on themselves.

Stock batch norm reads and writes its whole input several times over, forwards and backwards, and
converts it to float32 on the way. Here each direction is one small program that XLA melts into two
passes over the input, inside the plain graph that suits the convolutions around it. That concerns
TensorFlow; JAX melts the stock operations by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING or keras.backend.backend() == "tensorflow":
    import tensorflow as tf


class BatchNormRelu(keras.layers.BatchNormalization):
    """`BatchNormalization` over the last axis, then relu: the same weights and the same numbers, sooner."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """From float (n, …, channels) to the same shape and dtype, at least 0."""
        if not training or keras.backend.backend() != "tensorflow":
            return keras.ops.relu(super().call(inputs, training=training))
        outputs, mean, variance = self._operation(inputs, self.gamma.value, self.beta.value)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return outputs

    @property
    def _operation(self) -> Callable[..., Any]:
        """Outputs, and the batch's mean and variance, float32 (channels,), through which no gradient flows."""

        @tf.custom_gradient
        def operation(inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
            outputs, mean, variance = _melted(_forward, inputs, gamma, beta, self.epsilon)

            def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, ...]:
                return _melted(_backward, inputs, gamma, beta, mean, variance, upstream, self.epsilon)

            return (outputs, mean, variance), gradient

        return operation


def _melted(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's result, computed as one program where a graph is being built."""
    # Step by step, as the last, smaller batch of an epoch is taken, compiling would take longer than computing.
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
