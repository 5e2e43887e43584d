"""What a trained model's probabilities are worth: its temperature, and its threshold for rejection.

Temperature scaling is that of Guo et al. 2017, "On calibration of modern neural networks" (arXiv:1706.04599): the
logits are divided by one temperature before softmax, fitted on the validation images. It changes the probabilities,
and no prediction.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from mnist_digits.dataset import Split
from mnist_digits.evaluation.metrics import SMALLEST_PROBABILITY, reliability

TEMPERATURE_RANGE = (0.1, 10.0)
"""Bounds of the temperature. Those of the recipes lie between 0.5 and 1.5."""

ACCEPTED_SHARE = 0.99
"""Share of the synthetic digits that the threshold accepts."""

PICTURES_PER_KIND = 500
"""Synthetic pictures of each kind of non-digit by which rejection is measured; of few validation images, fewer."""


def measure_calibration(validation: Split, probabilities: NDArray[np.float32]) -> dict[str, float]:
    """The temperature, and the calibration error on the validation images without and with it, as JSON.

    probabilities: float32 (n, 10), the network's for the validation images.
    """
    temperature = fit_temperature(validation.labels, probabilities)
    tempered = temper(probabilities, temperature)
    return {
        "temperature": temperature,
        "calibration_error_before": reliability(validation.labels, probabilities).calibration_error,
        "calibration_error_after": reliability(validation.labels, tempered).calibration_error,
    }


def fit_temperature(labels: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> float:
    """The temperature, in TEMPERATURE_RANGE, that minimises the labels' mean cross-entropy.

    labels: integers (n,), 0-9. probabilities: floats (n, 10), after softmax.
    """
    rows = np.arange(len(labels))

    def loss(logarithm: float) -> float:
        of_truth = temper(probabilities, float(np.exp(logarithm)))[rows, labels]
        return float(-np.log(np.maximum(of_truth, SMALLEST_PROBABILITY)).mean())

    low, high = np.log(TEMPERATURE_RANGE)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def temper(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Probabilities, float32 (n, k), after dividing the logits by the temperature.

    probabilities: floats (n, k), after softmax. Their logarithms are the logits up to a constant, to which softmax is
    invariant.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny)) / temperature
    powers: Any = np.exp(logits - logits.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def measure_rejection(
    is_digit: Callable[[NDArray[np.uint8]], NDArray[np.float32]], validation: Split, seed: int
) -> dict[str, Any]:
    """The threshold of is_digit below which an image is rejected, and the shares of images that it rejects, as JSON.

    is_digit: from images, uint8 (n, 28, 28), to the probability that each is a digit, float32 (n,). validation: digits
    that the network was not trained on; the threshold is set by synthetic pictures of them.
    """
    # Imports fonts and image processing, which other recipes need not wait for.
    from mnist_digits.training.synthesis.digits import draw_digits, draw_non_digits

    # Not the pictures that the epochs were validated on.
    drawn = is_digit(draw_digits(validation, seed + 1))
    threshold = float(np.quantile(drawn, 1 - ACCEPTED_SHARE, method="lower"))
    count = max(1, min(PICTURES_PER_KIND, len(validation) // 10))
    non_digits = draw_non_digits(validation, count, seed + 1)

    def accepted(scores: NDArray[np.float32]) -> float:
        return float((scores >= threshold).mean())

    return {
        "threshold": threshold,
        "kept": {"drawn": accepted(drawn), "mnist": accepted(is_digit(validation.images))},
        "declined": {kind: float((is_digit(images) < threshold).mean()) for kind, images in non_digits.items()},
    }
