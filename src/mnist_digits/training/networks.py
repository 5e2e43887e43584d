"""Keras builders, and reading a saved network back.

Every network takes float32 (n, 28, 28) in [0, 1] and gives probabilities, float32 (n, 10).
"""

import zipfile
from pathlib import Path

import keras
from keras import layers

from mnist_digits.errors import DataError
from mnist_digits.training.recipes import Recipe


def dense(recipe: Recipe) -> keras.Sequential:
    """The network everybody starts with, 784-128-10, with dropout or batch norm if the recipe has them."""
    additions = [
        *([layers.Dropout(recipe.dropout)] if recipe.dropout else []),
        *([layers.BatchNormalization()] if recipe.batch_norm else []),
    ]
    return keras.Sequential(
        [
            layers.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(recipe.hidden_units, "relu"),
            *additions,
            layers.Dense(10, "softmax"),
        ]
    )


NETWORKS = {"dense": dense}
"""Builders by the name a recipe calls them."""


def build(recipe: Recipe) -> keras.Sequential:
    """The recipe's network, its weights drawn from Keras's global seed, compiled with its optimiser and loss."""
    model = NETWORKS[recipe.network](recipe)
    model.compile(
        optimizer=keras.optimizers.Adam(recipe.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def load(path: Path) -> keras.Model:
    """A digit classifier from a `.keras` file; code inside it (Lambda layers) is never executed.

    Raises DataError when the file is missing, is no Keras model, holds code, or does not classify
    28×28 images into ten classes.
    """
    if path.suffix != ".keras":
        raise DataError(
            f"{path}: expected a .keras file (.h5 is refused: it may hold code); save it with model.save('model.keras')"
        )
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a model saved by Keras")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: not a Keras model (no zip archive); save it with model.save('model.keras')")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its parts raise; for the user it is one thing.
        reason = (
            "it holds a Lambda layer, code that is never executed here" if "ambda" in str(error) else _first_line(error)
        )
        raise DataError(f"{path}: cannot be loaded as a Keras model: {reason}; expected layers without code") from error
    if model.input_shape[1:3] != (28, 28) or model.output_shape[1:] != (10,):
        raise DataError(
            f"{path}: maps {model.input_shape} to {model.output_shape}, expected (None, 28, 28) to (None, 10)"
        )
    return model


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
