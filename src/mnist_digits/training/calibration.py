"""One number that makes confidence mean what it says: temperature scaling.

Guo et al. 2017, "On calibration of modern neural networks" (arXiv:1706.04599): the logits are divided by one
temperature before softmax, fitted on validation images. No prediction changes, only how sure it is.
"""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from mnist_digits.dataset import Split
from mnist_digits.evaluation.metrics import SMALLEST_PROBABILITY, reliability

RANGE = (0.1, 10.0)
"""Where the temperature is looked for. The recipes' lie between 0.5 and 1.5."""


def measure(validation: Split, probabilities: np.ndarray) -> dict[str, float]:
    """The temperature, and the calibration error on the validation images without and with it, as JSON.

    probabilities: float32 (n, 10), what the network gives to the validation images.
    """
    temperature = fit_temperature(validation.labels, probabilities)
    tempered = temper(probabilities, temperature)
    return {
        "temperature": temperature,
        "calibration_error_before": reliability(validation.labels, probabilities).calibration_error,
        "calibration_error_after": reliability(validation.labels, tempered).calibration_error,
    }


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature, in RANGE, with which the labels' mean cross-entropy is smallest.

    labels: integers (n,), 0-9. probabilities: floats (n, 10), after softmax.
    """
    rows = np.arange(len(labels))

    def loss(logarithm: float) -> float:
        of_truth = temper(probabilities, float(np.exp(logarithm)))[rows, labels]
        return float(-np.log(np.maximum(of_truth, SMALLEST_PROBABILITY)).mean())

    low, high = np.log(RANGE)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def temper(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """What softmax gives when the logits are divided by the temperature: float32 (n, k).

    probabilities: floats (n, k), after softmax; up to a constant, which softmax takes away again, their logarithms
    are the logits.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny)) / temperature
    powers: Any = np.exp(logits - logits.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)
