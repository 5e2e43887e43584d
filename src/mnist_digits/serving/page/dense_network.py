"""The network that everybody starts with, in NumPy: small enough to show everything that goes on in it."""

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np

SHIPPED = Path(__file__).parent / "models" / "dense.npz"
"""The network whose inside the page shows; the card beside it says how it was made."""


@dataclass(frozen=True)
class DenseNetwork:
    """784 pixels → hidden units with relu → ten digits. All arrays are float32."""

    hidden_weights: np.ndarray
    """(784, units): what each unit multiplies the pixels, in [0, 1], with."""
    hidden_bias: np.ndarray
    """(units,)"""
    class_weights: np.ndarray
    """(units, 10): what a unit that is fully awake adds to each digit's score."""
    class_bias: np.ndarray
    """(10,)"""

    @classmethod
    def load(cls, file: Path | bytes) -> Self:
        """The network in an .npz file, or in the content of one, as `to_bytes` gives it.

        Raises ValueError or KeyError when it holds anything else.
        """
        with np.load(io.BytesIO(file) if isinstance(file, bytes) else file, allow_pickle=False) as arrays:
            return cls(*(arrays[field.name] for field in fields(cls)))

    def to_bytes(self) -> bytes:
        """The content of an .npz file."""
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **vars(self))
        return file.getvalue()

    @property
    def units(self) -> int:
        """How many hidden units there are."""
        return len(self.hidden_bias)

    def hidden(self, images: np.ndarray) -> np.ndarray:
        """How awake each hidden unit is: float32 (n, units), at least 0. images: uint8 (n, 28, 28)."""
        return np.maximum(images.reshape(-1, 784) / np.float32(255) @ self.hidden_weights + self.hidden_bias, 0)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Of each digit: float32 (n, 10), rows sum to 1. images: uint8 (n, 28, 28)."""
        scores = self.hidden(images) @ self.class_weights + self.class_bias
        raised = np.exp(scores - scores.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)

    def weight_images(self) -> np.ndarray:
        """What each unit looks for: int8 (units, 28, 28), its weights at a scale of its own, the largest ±127.

        Above 0 ink wakes the unit, below it puts it to sleep.
        """
        weights = self.hidden_weights.T.reshape(-1, 28, 28)
        largest = np.abs(weights).max(axis=(1, 2), keepdims=True)
        return np.rint(127 * weights / np.maximum(largest, np.finfo(np.float32).tiny)).astype(np.int8)
