from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from mnist_digits.training.engine.batch_norm_relu import BatchNormRelu

SHAPE = (6, 5, 5, 3)


def new_layers() -> tuple[keras.Layer, keras.Sequential]:
    """Ours, and Keras's own two, with the same weights."""
    ours = BatchNormRelu(momentum=0.9)
    stock = keras.Sequential([keras.layers.BatchNormalization(momentum=0.9), keras.layers.ReLU()])
    generator = np.random.default_rng(1)
    weights = [generator.uniform(0.5, 1.5, 3) for _ in range(4)]
    for layer in (ours, stock):
        layer.build(SHAPE)
        layer.set_weights(weights)
    return ours, stock


def step(layer: keras.Layer, inputs: tf.Tensor, upstream: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Outputs, and the gradients of inputs, gamma and beta."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
    sources = [inputs, *(weight.value for weight in layer.trainable_weights)]
    return outputs, *tape.gradient(outputs, sources, upstream)


@pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["step by step", "in a graph"])
def test_training_is_that_of_the_stock_layers(run: Callable):
    inputs, upstream = (tf.constant(np.random.default_rng(seed).normal(1, 2, SHAPE), tf.float32) for seed in (2, 3))
    ours, stock = new_layers()
    for _ in range(2):
        found, expected = (run(step)(layer, inputs, upstream) for layer in (ours, stock))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)
    for a, b in zip(ours.get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_use_is_that_of_the_stock_layers():
    inputs = np.random.default_rng(2).normal(1, 2, SHAPE)
    ours, stock = new_layers()
    np.testing.assert_allclose(ours(inputs), stock(inputs), rtol=1e-6)


def test_half_precision_stays_half_precision_with_float32_statistics():
    layer = BatchNormRelu(dtype="mixed_bfloat16")
    inputs = tf.constant(np.random.default_rng(2).normal(300, 1, (64, 8, 8, 2)), tf.bfloat16)
    outputs = layer(inputs, training=True)
    assert outputs.dtype == tf.bfloat16
    mean = np.asarray(inputs, np.float32).mean((0, 1, 2))
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.01 * mean, rtol=1e-4)
