"""Comparison of an exported model with Keras, before its file is kept."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from mnist_digits.errors import DataError
from mnist_digits.training.engine.loop import can_reject, compile_prediction, compile_rejection

TOLERANCE = 1e-5
"""Largest absolute difference allowed between probabilities of Keras and of the exported model."""


def check_parity(
    model: keras.Model,
    temperature: float,
    path: Path,
    name: str,
    exported: Callable[[NDArray[np.uint8]], Sequence[NDArray[np.float32]]],
    images: NDArray[np.uint8],
    batches: Sequence[int] = (1, 7),
) -> None:
    """Raise DataError when outputs differ by more than TOLERANCE on any of eight digits and eight random images.

    model, temperature: what was exported, as for `loop.classify`. path, name: of the file and of its format, for the
    message. exported: from images, uint8 (n, 28, 28), to probabilities, float32 (n, 10), and is_digit, float32 (n,),
    where the model can reject. images: uint8 (n, 28, 28), digits. batches: batch sizes to compare.
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
    # NaN compares as false, and so counts as a difference.
    difference = float(np.max(differences))
    if not difference <= TOLERANCE:
        raise DataError(
            f"{path}: {name} and Keras differ by {difference:.1e}, expected at most {TOLERANCE:.0e}; not written"
        )
