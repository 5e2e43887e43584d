"""The state of a training between two epochs, kept on disk to the last bit, with the history of the epochs so far."""

import io
import logging
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mnist_digits.errors import DataError, QualityError, printable
from mnist_digits.files import atomic_write, write_text
from mnist_digits.runs import Run
from mnist_digits.training.engine.session import TrainingSession

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds", "compile_seconds")
"""Columns of a history."""

logger = logging.getLogger(__name__)


class EpochRecorder(keras.callbacks.Callback):
    """Keeps every finished epoch of a run: its row of the history, and the checkpoint from which to go on."""

    def __init__(
        self, run: Run, session: TrainingSession, progress: Callable[[int, dict[str, float]], None] | None = None
    ) -> None:
        """Restore the session from the run's checkpoint, where there is one.

        progress: called after every epoch with its number, from 1, and its row of the history. Raises DataError for
        a checkpoint that is damaged or of another network.
        """
        super().__init__()
        self._run, self._session, self._progress = run, session, progress
        self._rows = list(restore(run.checkpoint, session.variables)) if run.checkpoint.exists() else []

    @property
    def history(self) -> NDArray[np.float64]:
        """The epochs so far: float64 (epochs, 7), columns as in COLUMNS."""
        return np.array(self._rows)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keep an epoch, counted from 0. Raises QualityError when its loss is not finite."""
        row = {"epoch": epoch + 1, **(logs or {})}
        if not np.isfinite(row["loss"]):
            raise QualityError(
                f"{self._run.folder}: the loss became {row['loss']} in epoch {epoch + 1}; expected it to fall: "
                f"train anew with a lower learning_rate than {self._session.recipe.learning_rate:g}"
            )
        self._rows.append(np.array([row[column] for column in COLUMNS]))
        save(self._run.checkpoint, self._session.variables, self.history)
        write_history(self._run.history, self._rows)
        logger.info("%s: %s", printable(self._run.folder), ", ".join(f"{name} {row[name]:.4g}" for name in COLUMNS))
        if self._progress:
            self._progress(epoch + 1, row)


def write_history(path: Path, rows: Iterable[NDArray[np.float64]]) -> None:
    """Write a history as CSV, atomically. rows: one for each epoch, (7,), columns as in COLUMNS."""
    lines = (f"{int(epoch)}," + ",".join(f"{value:.6f}" for value in values) for epoch, *values in rows)
    write_text(path, "\n".join([",".join(COLUMNS), *lines]) + "\n")


def save(path: Path, variables: Sequence[keras.Variable], history: NDArray[np.float64]) -> None:
    """Write the variables and the history, atomically.

    variables: all that training changes: weights, statistics, random generators, the optimiser's moments.
    history: (epochs, 7), one row for each finished epoch, columns as in COLUMNS.
    Raises DataError when the file cannot be written; an earlier checkpoint is kept then.
    """
    arrays = {f"variable_{index}": np.asarray(variable) for index, variable in enumerate(variables)}
    with atomic_write(path) as temporary:
        np.savez(temporary, allow_pickle=False, history=history, **arrays)


def restore(path: Path, variables: Sequence[keras.Variable]) -> NDArray[np.float64]:
    """Assign the saved values to the variables of a training by the same recipe; returns its history, (epochs, 7).

    Raises DataError when the file is damaged or belongs to another network.
    """
    with _opened(path) as saved:
        history = with_all_columns(saved["history"])
        values = [saved[f"variable_{index}"] for index in range(len(variables))]
    for variable, value in zip(variables, values, strict=True):
        if tuple(variable.shape) != value.shape:
            expected = tuple(variable.shape)
            raise DataError(
                f"{path}: {variable.path} is {value.shape}, expected {expected}; it belongs to another network"
            )
        variable.assign(value)
    return history


def count_epochs(path: Path) -> int:
    """The number of finished epochs of a checkpoint. Raises DataError when the file is damaged."""
    with _opened(path) as saved:
        return len(saved["history"])


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The arrays of a checkpoint by name; what goes wrong with them is a DataError."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as saved:
            yield saved
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: not a checkpoint of this recipe ({error}); remove it to train from the start"
        ) from error


def with_all_columns(history: NDArray[np.float64]) -> NDArray[np.float64]:
    """A history, (epochs, columns), with zeros in the columns that an earlier version did not have."""
    return np.pad(history, ((0, 0), (0, len(COLUMNS) - history.shape[1])))
