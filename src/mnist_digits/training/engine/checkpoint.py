"""The state of a training between two epochs, to the last bit."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from mnist_digits.errors import DataError
from mnist_digits.files import atomic_write

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")
"""What is remembered of each finished epoch."""


def save(path: Path, variables: Sequence[keras.Variable], history: np.ndarray) -> None:
    """Write the variables and the history, whole or not at all.

    variables: all that training changes: weights, statistics, random generators, the optimiser's memory.
    history: float64 (epochs, 6), one row per finished epoch in the order of COLUMNS.
    Raises DataError when the file cannot be written; the checkpoint before it stays.
    """
    arrays = {f"variable_{index}": np.asarray(variable) for index, variable in enumerate(variables)}
    with atomic_write(path) as temporary:
        np.savez(temporary, allow_pickle=False, history=history, **arrays)


def restore(path: Path, variables: Sequence[keras.Variable]) -> np.ndarray:
    """Put the saved values into the variables of a training set up by the same recipe; returns its history.

    Raises DataError when the file is damaged or belongs to another network.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as saved:
            history = saved["history"]
            values = [saved[f"variable_{index}"] for index in range(len(variables))]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: not a checkpoint of this recipe ({error}); remove it to train from the start"
        ) from error
    for variable, value in zip(variables, values, strict=True):
        if tuple(variable.shape) != value.shape:
            expected = tuple(variable.shape)
            raise DataError(
                f"{path}: {variable.path} is {value.shape}, expected {expected}; it belongs to another network"
            )
        variable.assign(value)
    return history
