"""One network being trained by a recipe, from its initial weights to the model that is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import keras

from mnist_digits.dataset import Dataset
from mnist_digits.training import networks
from mnist_digits.training.engine.augmentation import Distortion
from mnist_digits.training.engine.corruption import Corruption
from mnist_digits.training.engine.loop import fit
from mnist_digits.training.engine.weight_average import WeightAverage
from mnist_digits.training.recipes import Recipe


@dataclass(frozen=True)
class TrainingSession:
    """A recipe's network, its optimiser, and the average of its weights; `fit` changes them in place."""

    recipe: Recipe
    seed: int
    model: keras.Model
    average: WeightAverage | None

    @classmethod
    def start(cls, recipe: Recipe, seed: int, images_per_epoch: int, precision: str) -> Self:
        """A session before its first step.

        seed: decides the initial weights, the order of the images and their distortion. images_per_epoch: decides the
        length of the learning rate's schedule. precision: the one that the recipe gets on this machine.
        """
        # The one place where a global seed is set: Keras's layers draw their initial weights from it.
        keras.utils.set_random_seed(seed)
        model = networks.build(recipe, images_per_epoch, precision)
        return cls(recipe, seed, model, WeightAverage(model, recipe.ema_decay) if recipe.ema_decay else None)

    @property
    def variables(self) -> list[keras.Variable]:
        """All that training changes, in an order that depends on the recipe alone: what a checkpoint holds."""
        average = self.average.variables if self.average else []
        return [*self.model.variables, *self.model.optimizer.variables, *average]

    def fit(self, data: Dataset, *, initial_epoch: int = 0, callbacks: Sequence[keras.callbacks.Callback] = ()) -> None:
        """Train the epochs that are left, validating after each. initial_epoch: number of epochs done already."""
        fit(
            self.model,
            data.train.images,
            data.train.labels,
            validation=(data.validation.images, data.validation.labels),
            epochs=self.recipe.epochs,
            batch_size=self.recipe.batch_size,
            seed=self.seed,
            initial_epoch=initial_epoch,
            callbacks=callbacks,
            distortion=Distortion.of(self.recipe),
            strength=self.recipe.distortion_strength,
            corruption=Corruption(self.recipe.corruption) if self.recipe.corruption else None,
            average=self.average,
            jit_compile=self.recipe.jit_compile,
        )

    def finish(self) -> keras.Model:
        """The trained model as it is kept: with the averaged weights, if the recipe averages them."""
        if self.average:
            self.average.apply()
        return networks.for_use(self.model)
