"""How sure a network must be that an image is a digit at all, and what it then declines."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mnist_digits.dataset import Split
from mnist_digits.training.synthesis.digits import draw_digits, draw_others

KEPT = 0.99
"""Share of the digits that shall not be declined."""

PICTURES = 500
"""Pictures of each kind of what is no digit."""


def measure(is_digit: Callable[[np.ndarray], np.ndarray], validation: Split, seed: int) -> dict[str, Any]:
    """The threshold below which an image is declined, and how often that happens, as JSON.

    is_digit: images, uint8 (n, 28, 28), to probabilities that each is a digit, float32 (n,). validation: digits that
    the network did not learn from; drawn anew, as pictures from outside, they decide the threshold.
    """
    # Not the pictures that the epochs were validated on.
    drawn = is_digit(draw_digits(validation.images, validation.labels, seed + 1))
    threshold = float(np.quantile(drawn, 1 - KEPT, method="lower"))
    others = draw_others(validation.images, validation.labels, PICTURES, seed + 1)
    return {
        "threshold": threshold,
        "kept": {"drawn": float((drawn >= threshold).mean()), "mnist": _share_kept(is_digit, validation, threshold)},
        "declined": {kind: float((is_digit(images) < threshold).mean()) for kind, images in others.items()},
    }


def _share_kept(is_digit: Callable[[np.ndarray], np.ndarray], split: Split, threshold: float) -> float:
    return float((is_digit(split.images) >= threshold).mean())
