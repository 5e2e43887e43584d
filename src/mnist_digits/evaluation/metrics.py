"""Metrics from labels and probabilities.

scikit-learn and SciPy take a second to import: only the functions that need them import them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Number of equal-width bins of confidence, as in Guo et al. 2017 (arXiv:1706.04599)."""

SMALLEST_PROBABILITY = 1e-7
"""Probabilities are clipped to at least this before the logarithm, as in Keras, so that the loss stays finite."""

SUM_TOLERANCE = 1e-3
"""Maximum distance from 1 of the sum of a row of probabilities: room for float16, not for logits."""


@dataclass(frozen=True)
class ClassMetrics:
    """Scores of one digit, each a fraction in [0, 1]; 0 where it is undefined."""

    digit: int
    precision: float
    """Share of the images read as this digit that show it."""
    recall: float
    """Share of the images of this digit that are read as it."""
    f1: float
    """Harmonic mean of precision and recall."""
    count: int
    """Number of images of this digit."""


@dataclass(frozen=True, eq=False)
class Metrics:
    """Scores of a model on one set of images."""

    accuracy: float
    """Share of the images read correctly, in [0, 1]."""
    interval95: tuple[float, float]
    """95 % confidence interval of the accuracy: the Wilson score interval (Wilson 1927)."""
    loss: float
    """Mean cross-entropy, in nats."""
    count: int
    """Number of images."""
    calibration_error: float
    """Expected calibration error, in [0, 1]: mean distance between confidence and accuracy over BINS bins."""
    per_class: tuple[ClassMetrics, ...]
    """One for each digit, 0 to 9, also for digits without images."""
    confusion: NDArray[np.int64]
    """int64 (10, 10): number of images of digit `row` that were read as digit `column`."""

    def to_json(self) -> dict[str, Any]:
        """As JSON types, in the form of `metrics.json`."""
        return {
            "accuracy": self.accuracy,
            "interval95": list(self.interval95),
            "loss": self.loss,
            "count": self.count,
            "calibration_error": self.calibration_error,
            "per_class": [asdict(scores) for scores in self.per_class],
            "confusion": self.confusion.tolist(),
        }


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy, in BINS equal-width bins (low, high] of confidence.

    confidence, accuracy: float64 (15,), the mean of each bin, NaN where it is empty.
    count: int64 (15,), the number of images in each bin.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def calibration_error(self) -> float:
        """Mean distance between confidence and accuracy, each bin weighted by its images."""
        filled = self.count > 0
        distance = np.abs(self.confidence[filled] - self.accuracy[filled])
        return float(np.average(distance, weights=self.count[filled]))


def evaluate(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> Metrics:
    """Score a model's probabilities for a set of images.

    labels: integers (n,), 0-9, with n >= 1; a digit may be absent.
    probabilities: floats (n, 10) in [0, 1], rows sum to 1.
    Raises ValueError, which says what was found and expected, for anything else.
    """
    check_predictions(labels, probabilities)
    predictions = probabilities.argmax(1)
    right = int(np.count_nonzero(predictions == labels))
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return Metrics(
        accuracy=right / len(labels),
        interval95=wilson_interval(right, len(labels)),
        loss=float(-np.log(np.clip(of_truth, SMALLEST_PROBABILITY, 1)).mean()),
        count=len(labels),
        calibration_error=reliability(labels, probabilities).calibration_error,
        per_class=_score_classes(labels, predictions),
        confusion=_confusion(labels, predictions),
    )


def reliability(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> Reliability:
    """Mean confidence and accuracy in bins of confidence.

    labels: integers (n,), 0-9. probabilities: floats (n, 10) in [0, 1], rows sum to 1.
    Raises ValueError like `evaluate`.
    """
    check_predictions(labels, probabilities)
    # Rounding may leave a probability slightly above 1, which belongs to the last bin.
    confidence = np.minimum(probabilities.max(1).astype(np.float64), 1)
    inner_edges = np.linspace(0, 1, BINS + 1)[1:-1]
    bins = np.digitize(confidence, inner_edges, right=True)
    count = np.bincount(bins, minlength=BINS)
    divisor = np.where(count, count, np.nan)
    return Reliability(
        confidence=np.bincount(bins, confidence, BINS) / divisor,
        accuracy=np.bincount(bins, probabilities.argmax(1) == labels, BINS) / divisor,
        count=count,
    )


def mistakes(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """Indices of the misread images, the most confident mistake first; ties keep the order of the images.

    labels: integers (n,), 0-9. probabilities: floats (n, 10) in [0, 1], rows sum to 1.
    Returns int64 (m,). Raises ValueError like `evaluate`.
    """
    check_predictions(labels, probabilities)
    wrong = np.flatnonzero(probabilities.argmax(1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")]


def confused_pairs(
    confusion: NDArray[np.integer] | Sequence[Sequence[int]], count: int = 3
) -> list[tuple[int, int, int]]:
    """The `count` most frequent mistakes as (truth, prediction, number of images), or all if there are fewer.

    confusion: int (10, 10), rows are truth. Sorted by frequency; ties by truth, then by prediction.
    """
    errors = np.array(confusion)
    np.fill_diagonal(errors, 0)
    commonest = np.argsort(-errors, axis=None, kind="stable")[:count]
    pairs = zip(*np.unravel_index(commonest, errors.shape), strict=True)
    return [
        (int(truth), int(predicted), int(errors[truth, predicted]))
        for truth, predicted in pairs
        if errors[truth, predicted]
    ]


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    """95 % confidence interval of a share of which `right` of `count` were counted (Wilson 1927)."""
    from scipy.stats import binomtest

    interval = binomtest(right, count).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _score_classes(labels: NDArray[np.integer], predictions: NDArray[np.int64]) -> tuple[ClassMetrics, ...]:
    from sklearn.metrics import precision_recall_fscore_support

    scores = precision_recall_fscore_support(labels, predictions, labels=range(10), zero_division=0.0)
    return tuple(
        ClassMetrics(digit, float(precision), float(recall), float(f1), int(count))
        for digit, (precision, recall, f1, count) in enumerate(zip(*scores, strict=True))
    )


def _confusion(labels: NDArray[np.integer], predictions: NDArray[np.int64]) -> NDArray[np.int64]:
    from sklearn.metrics import confusion_matrix

    confusion: NDArray[np.int64] = confusion_matrix(labels, predictions, labels=range(10))
    return confusion


def check_predictions(labels: NDArray[Any], probabilities: NDArray[Any]) -> None:
    """Raise ValueError unless both have the shapes, dtypes and ranges that `evaluate` documents."""
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels: {labels.dtype} {labels.shape}, expected integers (n,)")
    if probabilities.ndim != 2 or probabilities.shape[1] != 10 or not np.issubdtype(probabilities.dtype, np.floating):
        raise ValueError(f"probabilities: {probabilities.dtype} {probabilities.shape}, expected floats (n, 10)")
    if len(labels) != len(probabilities):
        raise ValueError(
            f"{len(labels):,} labels but {len(probabilities):,} rows of probabilities, expected one for each"
        )
    if not len(labels):
        raise ValueError("no labels, expected at least one image to evaluate")
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"labels: from {labels.min()} to {labels.max()}, expected 0 to 9")
    if not np.isfinite(probabilities).all():
        broken = np.flatnonzero(~np.isfinite(probabilities).all(1))
        raise ValueError(
            f"probabilities: NaN or infinite in {len(broken):,} row(s), the first is {broken[0]}, "
            "expected values from 0 to 1; the model's training diverged"
        )
    sums = probabilities.sum(1, dtype=np.float64)
    worst = int(np.abs(sums - 1).argmax())
    if probabilities.min() < 0 or abs(sums[worst] - 1) > SUM_TOLERANCE:
        raise ValueError(
            f"probabilities: from {probabilities.min():.6g} to {probabilities.max():.6g}, row {worst} sums to "
            f"{sums[worst]:.6g}, expected values from 0 to 1 and sums of 1; pass them after softmax"
        )
