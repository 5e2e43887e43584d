"""A network with one dense hidden layer, in NumPy: small enough to show all of its activations and weights."""

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.results import IMAGE_SIDE_PX

SHIPPED = Path(__file__).parent / "models" / "dense.npz"
"""The network that the page shows; its card, README.md, says how it was trained."""

WITHIN_SCALE = 0.995
"""Share of all weights that are within the scale on which they are shown: scaled by the largest, most would be pale."""


@dataclass(frozen=True)
class DenseNetwork:
    """784 pixels → hidden units with ReLU → softmax over ten digits. The fields are in the order of Keras's weights."""

    hidden_weights: NDArray[np.float32]
    """float32 (784, units): factors of the pixels, which are scaled to [0, 1], in each hidden unit's input."""
    hidden_bias: NDArray[np.float32]
    """float32 (units,)"""
    class_weights: NDArray[np.float32]
    """float32 (units, 10): factors of the hidden activations in each digit's score."""
    class_bias: NDArray[np.float32]
    """float32 (10,)"""

    @classmethod
    def load(cls, file: Path | bytes) -> Self:
        """The network in an .npz file, or in the bytes of one, as `to_bytes` gives them.

        Raises ValueError or KeyError when it holds anything else.
        """
        with np.load(io.BytesIO(file) if isinstance(file, bytes) else file, allow_pickle=False) as arrays:
            return cls(*(arrays[field.name] for field in fields(cls)))

    def to_bytes(self) -> bytes:
        """The bytes of an .npz file."""
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **vars(self))
        return file.getvalue()

    @property
    def units(self) -> int:
        """Number of hidden units."""
        return len(self.hidden_bias)

    def hidden(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Activations of the hidden units: float32 (n, units), at least 0. images: uint8 (n, 28, 28)."""
        pixels = images.reshape(-1, len(self.hidden_weights)) / np.float32(255)
        return np.maximum(pixels @ self.hidden_weights + self.hidden_bias, 0)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of the digits: float32 (n, 10), rows sum to 1. images: uint8 (n, 28, 28)."""
        scores = self.hidden(images) @ self.class_weights + self.class_bias
        raised: NDArray[np.float32] = np.exp(scores - scores.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)

    def weight_images(self) -> NDArray[np.int8]:
        """Each hidden unit's weights as an image: int8 (units, 28, 28), all on one scale, on which few are beyond ±127.

        Ink on positive weights activates the unit, ink on negative ones inhibits it.
        """
        weights = self.hidden_weights.T.reshape(-1, IMAGE_SIDE_PX, IMAGE_SIDE_PX)
        scale = max(float(np.quantile(np.abs(weights), WITHIN_SCALE)), float(np.finfo(np.float32).tiny))
        return np.rint(127 * np.clip(weights / scale, -1, 1)).astype(np.int8)
