"""What a page says in digits, and where on the picture each of them stands."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mnist_digits.recognition.layout.words import Token
from mnist_digits.recognition.preprocessing.mnist_format import Box

UNCERTAIN = 0.9
"""A digit read with less confidence is worth a second look."""

Reason = Literal["blank", "unreadable"]


@dataclass(frozen=True)
class Digit:
    """One digit of a line."""

    digit: int
    """0 to 9."""
    confidence: float
    """0 to 1: its probability, times that of being a digit at all, as classifier or spotter see it."""
    box: Box
    """x, y, width, height of its ink, in pixels of the picture as displayed."""
    probabilities: np.ndarray
    """float32 (10,), of each digit; sums to 1."""
    image: np.ndarray
    """uint8 (28, 28): what the network saw."""

    @property
    def uncertain(self) -> bool:
        """Whether it is worth a second look."""
        return self.confidence < UNCERTAIN

    def to_json(self) -> dict[str, Any]:
        """Digit, confidence and box, as plain values."""
        return {"digit": self.digit, "confidence": round(self.confidence, 6), "box": list(self.box)}


@dataclass(frozen=True)
class Line:
    """A row of writing, as far as it is numbers."""

    words: tuple[tuple[Digit, ...], ...]
    """Its numbers from left to right, each of at least one digit."""

    @property
    def text(self) -> str:
        """The digits, with a space between words."""
        return " ".join("".join(str(digit.digit) for digit in word) for word in self.words)

    @property
    def digits(self) -> tuple[Digit, ...]:
        """The digits of all words."""
        return tuple(digit for word in self.words for digit in word)

    def to_json(self) -> dict[str, Any]:
        """Text and digits, as plain values."""
        return {"text": self.text, "digits": [digit.to_json() for digit in self.digits]}


@dataclass(frozen=True)
class Page:
    """What a picture says in digits."""

    lines: tuple[Line, ...]
    """From top to bottom."""
    reason: Reason | None
    """Why there are no lines; None when there are some."""

    @classmethod
    def unreadable(cls) -> "Page":
        """What there is to say of a file that cannot be opened."""
        return cls((), "unreadable")

    @property
    def text(self) -> str:
        """The lines, one below the other."""
        return "\n".join(line.text for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """Lines and reason, as plain values."""
        return {"lines": [line.to_json() for line in self.lines], "reason": self.reason}


@dataclass(frozen=True)
class Place:
    """Where a sheet lies in the picture."""

    quarter_turns: int
    """How often the picture was turned left by 90° before it was read."""
    size: tuple[int, int]
    """Width and height of the picture after that, in its own pixels."""
    reduction: float
    """Pixels of the picture to one of the sheet."""
    corner: tuple[int, int]
    """x, y of the sheet in the reduced picture."""

    def digit(self, token: Token) -> Digit:
        """What was read at a place of the sheet."""
        assert token.prediction is not None
        probabilities, image = token.prediction.probabilities, token.prediction.image
        box = self._box(token.box)
        return Digit(int(probabilities.argmax()), token.prediction.confidence, box, probabilities, image)

    def _box(self, box: Box) -> Box:
        """A box of the sheet in pixels of the picture as displayed."""
        x, y = box[0] + self.corner[0], box[1] + self.corner[1]
        left, top = round(x * self.reduction), round(y * self.reduction)
        width, height = (max(1, round(side * self.reduction)) for side in box[2:])
        across, down = self.size
        for _ in range(self.quarter_turns):
            # Undo a turn to the left: what was on top lies to the right.
            left, top, width, height, across, down = down - top - height, left, height, width, down, across
        return left, top, width, height
