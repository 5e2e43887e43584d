"""What the files of a finished run say, read back and checked."""

import csv
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mnist_digits.errors import DataError
from mnist_digits.evaluation.metrics import check_predictions
from mnist_digits.files import read_json
from mnist_digits.runs import Run

CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")


@dataclass(frozen=True, eq=False)
class Results:
    """All that a run has to tell, except for the model itself."""

    recipe: dict[str, Any]
    """The recipe's name and fields, the seed and the data, as in `recipe.json`."""
    environment: dict[str, Any]
    """Versions, processor and devices, as in `environment.json`."""
    metrics: dict[str, Any]
    """Numbers on test, validation and training, as in `metrics.json`."""
    history: dict[str, np.ndarray]
    """Curve → float64 (epochs,)."""
    labels: np.ndarray
    """Labels of the test images, uint8 (n,), 0-9."""
    probabilities: np.ndarray
    """What the model said about them, float32 (n, 10)."""
    weights: np.ndarray | None
    """The first layer as images, float32 (28, 28, units); None when it does not look at single pixels."""


def read_results(run: Run) -> Results:
    """Read a finished run. Raises DataError, one line, when a file is missing, damaged or of another kind."""
    labels, probabilities = _read_predictions(run.predictions)
    return Results(
        recipe=_read_recipe(run.recipe),
        environment=_read_object(run.environment, ()),
        metrics=_read_metrics(run.metrics),
        history=_read_history(run.history),
        labels=labels,
        probabilities=probabilities,
        weights=read_first_weights(run.model),
    )


def read_first_weights(model: Path) -> np.ndarray | None:
    """The weights from the 784 pixels to each unit of the first layer, float32 (28, 28, units).

    model: a `.keras` file, read as the archive it is, without Keras. None when the first layer is
    not dense, as in a convolutional network. Raises DataError when the file is missing or damaged.
    """
    found: list[np.ndarray] = []
    convolutions: list[str] = []

    def collect(name: str, item: Any) -> None:
        # An optimiser keeps moments of the same shape as the weights.
        if not isinstance(item, h5py.Dataset) or name.startswith("optimizer"):
            return
        if item.ndim == 4:
            convolutions.append(name)
        elif item.ndim == 2 and item.shape[0] == 784:
            found.append(item[:])

    with _reading(model, "the Keras model that a run writes"):
        with zipfile.ZipFile(model) as archive:
            content = archive.read("model.weights.h5")
        with h5py.File(io.BytesIO(content), "r") as file:
            file.visititems(collect)
    # 784 features behind a convolution (7 × 7 × 16, say) are not pixels.
    if convolutions or not found:
        return None
    return found[0].reshape(28, 28, -1)


@contextmanager
def _reading(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever a missing or damaged file makes its reader raise into one line that names it."""
    damage = (KeyError, IndexError, TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error)
    try:
        yield
    except DataError:
        raise
    except damage as error:
        if isinstance(error, OSError) and error.strerror:
            found = error.strerror
        elif isinstance(error, KeyError):
            found = f"has no {error.args[0]}"
        else:
            found = f"damaged ({' '.join(str(error).split()) or type(error).__name__})"
        raise DataError(f"{path}: {found}; expected {expected}: train again") from error


def _read_object(path: Path, required: tuple[str, ...]) -> dict[str, Any]:
    with _reading(path, "the JSON object that a run writes"):
        content = read_json(path)
        if not isinstance(content, dict):
            raise TypeError(f"{type(content).__name__} at its top")
        for name in required:
            content[name]
        return content


def _read_recipe(path: Path) -> dict[str, Any]:
    content = _read_object(path, ("recipe", "seed", "data"))
    with _reading(path, "the recipe that a run writes"):
        str(content["recipe"]["name"]), str(content["data"]["fingerprint"])
    return content


def _read_metrics(path: Path) -> dict[str, Any]:
    content = _read_object(path, ("test", "validation", "training"))
    with _reading(path, "the numbers that a run writes"):
        # Only MNIST has corrected labels.
        for split in ("test", "validation", *(["test_corrected"] if "test_corrected" in content else [])):
            _check_numbers(content[split], ("accuracy", "loss", "count", "calibration_error"))
            if np.shape(content[split]["interval95"]) != (2,):
                raise ValueError(f"the interval of {split} is not a pair")
        _check_numbers(content["training"], ("seconds", "epochs", "images_per_second", "parameters"))
        test = content["test"]
        if np.shape(test["confusion"]) != (10, 10) or len(test["per_class"]) != 10:
            raise ValueError("its lists are not of ten classes")
        for scores in test["per_class"]:
            _check_numbers(scores, ("digit", "precision", "recall", "f1", "count"))
    return content


def _check_numbers(content: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if not isinstance(content[name], int | float):
            raise TypeError(f"{name} is {content[name]!r}, not a number")


def _read_history(path: Path) -> dict[str, np.ndarray]:
    with _reading(path, "the CSV file that a run writes, one row an epoch"):
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            rows = list(table)
        for name in CURVES:
            if name not in (table.fieldnames or ()):
                raise KeyError(f"column {name}")
        return {name: np.array([float(row[name]) for row in rows]) for name in CURVES}


def _read_predictions(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with _reading(path, "the arrays that a run writes"):
        # Opened here, because NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            labels, probabilities = arrays["test_labels"], arrays["test_probabilities"]
        check_predictions(labels, probabilities)
        return labels, probabilities
