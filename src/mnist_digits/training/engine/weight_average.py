"""An exponential average of the weights: steadier than the weights themselves (Polyak and Juditsky 1992)."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras import ops


class WeightAverage:
    """Follows a model's weights, batch norm's statistics included, at a distance."""

    def __init__(self, model: keras.Model, momentum: float) -> None:
        """momentum: how much of the average each step leaves as it is, in [0, 1)."""
        self._momentum = momentum
        self._weights = model.weights
        self._averages = [keras.Variable(weight.numpy(), trainable=False, dtype="float32") for weight in model.weights]
        self._steps = keras.Variable(0.0, trainable=False, dtype="float32")

    @property
    def variables(self) -> list[keras.Variable]:
        """All that must be kept to go on after an interruption."""
        return [*self._averages, self._steps]

    def update(self) -> None:
        """Take in the weights after one step; pure tensor code, for use in a compiled program."""
        self._steps.assign(self._steps + 1)
        # At first the weights move fast: an average that remembers its random start would be useless.
        momentum = ops.minimum(self._momentum, (1 + self._steps) / (10 + self._steps))
        for average, weight in zip(self._averages, self._weights, strict=True):
            average.assign(average + (1 - momentum) * (weight - average))

    def apply(self) -> None:
        """Put the average in the place of the model's weights."""
        for average, weight in zip(self._averages, self._weights, strict=True):
            weight.assign(average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the average for its weights within the context, and its own after it."""
        own = [weight.numpy() for weight in self._weights]
        self.apply()
        try:
            yield
        finally:
            for value, weight in zip(own, self._weights, strict=True):
                weight.assign(value)
