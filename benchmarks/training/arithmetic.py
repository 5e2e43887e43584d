"""How many multiplications and additions a training takes, and how many the device does in a second."""

import math
import statistics
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import harness

if TYPE_CHECKING:
    import keras


def flop_per_image(model: "keras.Model") -> float:
    """Floating-point operations of a step for each image, of convolutions and dense layers alone.

    A multiplication and an addition are two. Each layer has three products: the forward one, and those of the gradients
    of its kernel and of its input; the images themselves need no gradient.
    """
    products = []
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            # Each place of a convolution's output is a product with the whole kernel; a dense layer has one place.
            products.append(math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1]))
    return 2.0 * (3 * sum(products) - products[0])


def measure_flop_per_second(side: int, dtype: str = "float32") -> float:
    """Floating-point operations of one large product of matrices in a second, as Keras's backend does it by default.

    side: of the square matrices. dtype: float32, which a GPU multiplies in TF32, or bfloat16.
    """
    from keras import ops

    matrix = ops.cast(np.random.default_rng(0).random((side, side), np.float32), dtype)

    def multiply() -> None:
        # One number is fetched, so that the product is finished, and not all of it, which would take longer.
        ops.convert_to_numpy(ops.cast(ops.matmul(matrix, matrix)[0, 0], "float32"))

    multiply()
    return 2 * side**3 / statistics.median(harness.measure_seconds(multiply) for _ in range(5))
