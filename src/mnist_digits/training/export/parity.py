"""Whether an exported model gives what Keras gives, before its file is kept."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from mnist_digits.errors import DataError
from mnist_digits.training.engine.loop import can_reject, compile_prediction, compile_rejection

TOLERANCE = 1e-5
"""Largest difference allowed between a probability from Keras and from the exported model."""


def check_parity(
    model: keras.Model,
    temperature: float,
    path: Path,
    name: str,
    exported: Callable[[np.ndarray], Sequence[np.ndarray]],
    images: np.ndarray,
    batches: Sequence[int] = (1, 7),
) -> None:
    """Raise DataError unless both give the same, within TOLERANCE, on real and on random images.

    model, temperature: what was exported, as for `engine.classify`. path: where the file was to be. name: of its
    format. exported: from images, uint8 (n, 28, 28), to probabilities, float32 (n, 10), and after them, where the
    model has eleven classes, is_digit, float32 (n,). images: real ones. batches: how many at once.
    """
    wanted = [compile_prediction(model, temperature)]
    if can_reject(model):
        wanted.append(compile_rejection(model, temperature))
    random = np.random.default_rng(0).integers(0, 256, (8, 28, 28), np.uint8)
    differences = [
        np.abs(found - expect(sample[:count])).max(initial=0)
        for sample in (images[:8], random)
        for count in batches
        for found, expect in zip(exported(sample[:count]), wanted, strict=True)
    ]
    # A maximum that is not a number is larger than any.
    difference = float(np.max(differences))
    if not difference <= TOLERANCE:
        raise DataError(
            f"{path}: {name} and Keras differ by {difference:.1e}, expected at most {TOLERANCE:.0e}; not written"
        )
