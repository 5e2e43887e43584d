"""Whether the digits of a set are turned or mirrored, by asking a model that reads upright ones."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mnist_digits.dataset.mnist import Split

SAMPLE = 500
"""Images that the model is asked about."""

TURNS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "turned a quarter to the left": lambda images: np.rot90(images, -1, (1, 2)),
    "upside down": lambda images: np.rot90(images, 2, (1, 2)),
    "turned a quarter to the right": lambda images: np.rot90(images, 1, (1, 2)),
    "mirrored": lambda images: images[:, :, ::-1],
    "mirrored and upside down": lambda images: images[:, ::-1],
    "transposed, as EMNIST stores its images": lambda images: images.transpose(0, 2, 1),
    "transposed and upside down": lambda images: np.rot90(images, 2, (1, 2)).transpose(0, 2, 1),
}
"""How images may be stored → what sets them upright."""

MIN_READ, MIN_GAIN = 0.7, 0.3
"""Share of the labels that the model must read once they are upright, and how much more than as they are."""


def find_turn(
    split: Split, read: Callable[[NDArray[np.uint8]], NDArray[np.floating]]
) -> tuple[str, float, float] | None:
    """How the digits of a split are turned, and the shares read as they are and upright; None where they are not.

    read: from images, uint8 (n, 28, 28), to probabilities (n, 10). A set that the model
    cannot read in any way, such as one of clothes, is None, too.
    """
    chosen = np.random.default_rng(0).permutation(len(split))[:SAMPLE]
    images, labels = split.images[chosen], split.labels[chosen]

    def share(turned: NDArray[np.uint8]) -> float:
        return float((read(np.ascontiguousarray(turned)).argmax(1) == labels).mean())

    as_it_is = share(images)
    turns = {name: share(turn(images)) for name, turn in TURNS.items()}
    best = max(turns, key=lambda name: turns[name])
    if turns[best] < MIN_READ or turns[best] < as_it_is + MIN_GAIN:
        return None
    return best, as_it_is, turns[best]
