"""Exponential moving average of a model's weights (Polyak and Juditsky 1992)."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from keras import ops


class WeightAverage:
    """Exponential moving average of all weights, the statistics of batch norm included."""

    def __init__(self, model: keras.Model, decay: float) -> None:
        """decay: weight of the previous average in each update, in [0, 1)."""
        self._decay = decay
        self._weights = model.weights
        self._averages = [keras.Variable(weight.numpy(), trainable=False, dtype="float32") for weight in model.weights]
        self._steps = keras.Variable(0.0, trainable=False, dtype="float32")

    @property
    def variables(self) -> list[keras.Variable]:
        """The average's state, for a checkpoint."""
        return [*self._averages, self._steps]

    def update(self) -> None:
        """Update the average after a training step; only tensor operations, for use in a compiled program."""
        self._steps.assign(self._steps + 1)
        # A lower decay at first, so that the random initial weights are soon forgotten.
        decay = ops.minimum(self._decay, (1 + self._steps) / (10 + self._steps))
        for average, weight in zip(self._averages, self._weights, strict=True):
            average.assign(average + (1 - decay) * (weight - average))

    def apply(self) -> None:
        """Replace the model's weights by their average."""
        for average, weight in zip(self._averages, self._weights, strict=True):
            weight.assign(average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the context, the model's weights are replaced by their average."""
        own = [weight.numpy() for weight in self._weights]
        self.apply()
        try:
            yield
        finally:
            for value, weight in zip(own, self._weights, strict=True):
                weight.assign(value)
