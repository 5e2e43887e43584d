"""One training step, in Keras operations that any of its backends compiles."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from mnist_digits.training.engine import augmentation, corruption
from mnist_digits.training.engine.augmentation import Distortion
from mnist_digits.training.engine.corruption import Corruption
from mnist_digits.training.engine.weight_average import WeightAverage

EpochProgram = Callable[[NDArray[np.int32], int, float], NDArray[np.floating]]
"""Trains for an epoch: from the order of the examples, (n,), a random key and the strength of the distortion, in
[0, 1], to the sum of the batches' totals, (2,)."""

Arrays = tuple[NDArray[Any], ...]
"""Arrays of examples to learn from, with the same first axis: images and labels, say."""


def scale(images: Any) -> Any:
    """Pixels 0 to 255 as float32 in [0, 1]: the only place where pixels are scaled."""
    return ops.cast(images, "float32") / 255.0


@dataclass(frozen=True)
class Step(ABC):
    """What a step computes before and after the gradient, which is left to the backend."""

    model: keras.Model
    """Compiled."""
    average: WeightAverage | None = None

    def __post_init__(self) -> None:
        # Variables cannot be created inside a compiled program.
        self.model.optimizer.build(self.model.trainable_variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables that a step changes, the model's trainable ones first."""
        model, average = self.model, self.average.variables if self.average else []
        return [*model.trainable_variables, *model.non_trainable_variables, *model.optimizer.variables, *average]

    @property
    @abstractmethod
    def draws(self) -> int:
        """Random numbers for an example."""

    @property
    def fuses(self) -> bool:
        """Whether preparing takes many small operations, which XLA had better make one of."""
        return False

    @abstractmethod
    def prepare(self, examples: Any, draws: Any, strength: Any) -> tuple[Any, ...]:
        """A batch as `evaluate` takes it, from its examples: a tensor of each of their arrays.

        draws: float32 (n, `draws`), uniform in [-1, 1]. strength: of random changes, in [0, 1].
        """

    @abstractmethod
    def evaluate(self, *batch: Any, training: bool) -> tuple[Any, Any]:
        """A batch's mean loss, to be differentiated, and its totals, float32 (2,), the first of them summed loss."""

    def update(self, gradients: list[Any]) -> None:
        """Take the optimiser's step, and update the weight average."""
        self.model.optimizer.apply(gradients, self.model.trainable_variables)
        if self.average:
            self.average.update()


@dataclass(frozen=True)
class ClassifierStep(Step):
    """A step of a classifier, on images, uint8 (n, 28, 28), and labels, (n,)."""

    distortion: Distortion | None = None
    corruption: Corruption | None = None

    @property
    def draws(self) -> int:
        """Those of distortion and corruption."""
        return augmentation.DRAWS + (corruption.DRAWS if self.corruption else 0)

    @property
    def fuses(self) -> bool:
        """Where images are changed."""
        return bool(self.distortion or self.corruption)

    def prepare(self, examples: Any, draws: Any, strength: Any) -> tuple[Any, Any]:
        """The model's inputs, float32 (n, 28, 28) in [0, 1], distorted and corrupted by the recipe, and the labels."""
        images, labels = examples
        if self.distortion:
            images = self.distortion(images, strength * draws[:, : augmentation.DRAWS])
        if self.corruption:
            images = self.corruption(ops.cast(images, "float32"), draws[:, augmentation.DRAWS :])
        return scale(images), labels

    def evaluate(self, *batch: Any, training: bool) -> tuple[Any, Any]:
        """The mean loss; summed loss and number of correct predictions."""
        inputs, labels = batch
        probabilities = self.model(inputs, training=training)
        loss = self.model.compute_loss(x=inputs, y=labels, y_pred=probabilities, training=training)
        hits = ops.argmax(probabilities, 1) == ops.cast(labels, "int32")
        count = ops.cast(ops.shape(labels)[0], "float32")
        return loss, ops.stack([loss * count, ops.sum(ops.cast(hits, "float32"))])
