"""The files of a finished run, read back and checked."""

import csv
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mnist_digits.errors import DataError
from mnist_digits.evaluation.metrics import ClassMetrics, check_predictions
from mnist_digits.runs import Run

CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")

Content = TypeVar("Content")
TEN = Field(min_length=10, max_length=10)


class RecipeFields(BaseModel):
    """The recipe: its name, and its other fields as extras."""

    model_config = ConfigDict(extra="allow")

    name: str


class DataSource(BaseModel):
    """The images that a run used: `folder` is None for MNIST from the package, `seed` that of the split."""

    folder: str | None
    seed: int
    fingerprint: str


class Taught(BaseModel):
    """What a run of `digits teach` began with: `shipped` or a run's folder, and where the pictures were."""

    model_config = ConfigDict(populate_by_name=True)

    start: str = Field(alias="from")
    pictures: str | None = None


class RecipeFile(BaseModel):
    """`recipe.json`: `changes` are the fields set by `--set`, None when they are not known or not only such."""

    recipe: RecipeFields
    seed: int
    data: DataSource
    changes: dict[str, Any] | None = None
    taught: Taught | None = None


class SplitMetrics(BaseModel):
    """The JSON of `Metrics`."""

    accuracy: float
    interval95: tuple[float, float]
    loss: float
    count: int
    calibration_error: float
    per_class: Annotated[list[ClassMetrics], TEN]
    confusion: Annotated[list[Annotated[list[int], TEN]], TEN]


class CalibratedMetrics(BaseModel):
    """The test images' loss and calibration error after calibration."""

    loss: float
    calibration_error: float


class Calibration(BaseModel):
    """The temperature that logits are divided by in `model.onnx`."""

    temperature: float


class AcceptedShares(BaseModel):
    """Shares of MNIST's validation images, and of digits drawn in other writing styles, that are accepted."""

    mnist: float
    drawn: float


class Rejection(BaseModel):
    """The threshold of `is_digit`; what it accepts of digits, and what it rejects of each kind of non-digit."""

    threshold: float
    kept: AcceptedShares
    declined: dict[str, float]


class GainNumbers(BaseModel):
    """Shares of images that were read correctly before and after teaching, with their intervals."""

    count: int
    before: float
    before_interval95: tuple[float, float]
    after: float
    after_interval95: tuple[float, float]


class Teaching(BaseModel):
    """What teaching changed, on one's own pictures by cross-validation, and on MNIST's test images."""

    own: GainNumbers
    mnist: GainNumbers


class TrainingNumbers(BaseModel):
    """Duration in seconds, epochs, images per second, and number of parameters."""

    seconds: float
    epochs: int
    images_per_second: float
    parameters: int


class MetricsFile(BaseModel):
    """`metrics.json`. Files of earlier versions lack what is optional here; only MNIST has corrected labels."""

    test: SplitMetrics
    validation: SplitMetrics
    training: TrainingNumbers
    test_corrected: SplitMetrics | None = None
    calibration: Calibration | None = None
    test_calibrated: CalibratedMetrics | None = None
    declining: Rejection | None = None
    teaching: Teaching | None = None


@dataclass(frozen=True, eq=False)
class Results:
    """Everything that the files of a finished run say."""

    recipe: RecipeFile
    environment: dict[str, Any]
    """Versions, processor and devices, as in `environment.json`."""
    metrics: MetricsFile
    history: dict[str, NDArray[np.float64]]
    """Name of a curve → one value per epoch."""
    labels: NDArray[np.uint8]
    """Labels of the test images, uint8 (n,), 0-9."""
    probabilities: NDArray[np.float32]
    """The model's probabilities for the test images, float32 (n, 10)."""
    weights: NDArray[np.float32] | None
    """The first layer's weights as images, float32 (28, 28, units); None when its inputs are not the pixels."""


def read_results(run: Run) -> Results:
    """Read a finished run. Raises DataError, one line, when a file is missing, damaged or of another kind."""
    labels, probabilities = _read_predictions(run.predictions)
    return Results(
        recipe=_read_json(run.recipe, RecipeFile),
        environment=_read_json(run.environment, dict[str, Any]),
        metrics=_read_json(run.metrics, MetricsFile),
        history=_read_history(run.history),
        labels=labels,
        probabilities=probabilities,
        weights=read_first_weights(run.model),
    )


def read_first_weights(model: Path) -> NDArray[np.float32] | None:
    """The weights from the 784 pixels to each unit of the first layer, float32 (28, 28, units).

    model: a `.keras` file, read as the archive it is, without Keras. None when the first layer is
    not dense, as in a convolutional network. Raises DataError when the file is missing or damaged.
    """
    found: list[NDArray[np.float32]] = []
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
    except damage as error:
        if isinstance(error, ValidationError):
            found = _first_mistake(error)
        elif isinstance(error, OSError) and error.strerror:
            found = error.strerror
        elif isinstance(error, KeyError):
            found = f"has no {error.args[0]}"
        else:
            found = f"damaged ({' '.join(str(error).split()) or type(error).__name__})"
        raise DataError(f"{path}: {found}; expected {expected}: train again") from error


def _first_mistake(error: ValidationError) -> str:
    """For example `training.seconds is 'long', a valid number is expected`."""
    found = error.errors()[0]
    name = ".".join(map(str, found["loc"]))
    if found["type"] == "missing":
        return f"has no {name}"
    if not name:
        return f"damaged ({found['msg']})"
    return f"{name} is {found['input']!r:.40}, {found['msg'].removeprefix('Input ')}"


def _read_json(path: Path, kind: type[Content]) -> Content:
    with _reading(path, "the JSON object that a run writes"):
        return TypeAdapter(kind).validate_json(path.read_bytes(), strict=True)


def _read_history(path: Path) -> dict[str, NDArray[np.float64]]:
    with _reading(path, "the CSV file that a run writes, one row an epoch"):
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            rows = list(table)
        for name in CURVES:
            if name not in (table.fieldnames or ()):
                raise KeyError(f"column {name}")
        return {name: np.array([float(row[name]) for row in rows]) for name in CURVES}


def _read_predictions(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    with _reading(path, "the arrays that a run writes"):
        # Opened here, because NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            labels, probabilities = arrays["test_labels"], arrays["test_probabilities"]
        check_predictions(labels, probabilities)
        return labels, probabilities
