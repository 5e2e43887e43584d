"""What one step of training computes, in tensor code that any of Keras's backends compiles."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from mnist_digits.training.engine.augmentation import Distortion
from mnist_digits.training.engine.weight_average import WeightAverage


def scale(images: Any) -> Any:
    """0-255 → float32 0-1: the only place where pixels are scaled."""
    return ops.cast(images, "float32") / 255.0


@dataclass(frozen=True)
class Step:
    """A compiled model, and what is done around it; the backend's part is the gradient in between."""

    model: keras.Model
    distortion: Distortion | None = None
    average: WeightAverage | None = None

    def __post_init__(self) -> None:
        # Variables cannot be created inside a compiled program.
        self.model.optimizer.build(self.model.trainable_variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """All that a step changes; the model's trainable variables come first."""
        model, average = self.model, self.average.variables if self.average else []
        return [*model.trainable_variables, *model.non_trainable_variables, *model.optimizer.variables, *average]

    def prepare(self, images: Any, draws: Any) -> Any:
        """Images, uint8 (n, 28, 28), as the model takes them: float32 in [0, 1], distorted as drawn."""
        return scale(self.distortion(images, draws) if self.distortion else images)

    def evaluate(self, inputs: Any, labels: Any, training: bool) -> tuple[Any, Any]:
        """The batch's mean loss, which has a gradient, and float32 (2,): its summed loss, its number of hits."""
        probabilities = self.model(inputs, training=training)
        loss = self.model.compute_loss(x=inputs, y=labels, y_pred=probabilities, training=training)
        hits = ops.argmax(probabilities, 1) == ops.cast(labels, "int32")
        count = ops.cast(ops.shape(labels)[0], "float32")
        return loss, ops.stack([loss * count, ops.sum(ops.cast(hits, "float32"))])

    def update(self, gradients: list[Any]) -> None:
        """Take the optimiser's step, and have the average follow."""
        self.model.optimizer.apply(gradients, self.model.trainable_variables)
        if self.average:
            self.average.update()
