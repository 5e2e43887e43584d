"""Every value that recognition returns, and its JSON: a picture's digit, a page's lines, a batch's judgement."""

import base64
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

IMAGE_SIDE_PX = 28
"""Width and height of the network's input, as of MNIST's images."""

UNCERTAIN_CONFIDENCE = 0.9
"""A digit of a page with a lower confidence is marked as uncertain."""

MAX_LEFT_OUT, MAX_UNCERTAIN_SHARE = 0.4, 0.25
"""Share of the writing that was left out, and share of uncertain digits, above which a page is doubtful."""

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""

PredictionReason = Literal["blank", "not-a-digit", "several-digits", "unreadable"]
PageReason = Literal["blank", "unreadable"]


@dataclass(frozen=True)
class Prediction:
    """The digit in one picture, or the reason why there is none."""

    digit: int | None
    """0 to 9; None when there is a reason."""
    confidence: float
    """Of the likeliest digit, 0 to 1: its probability, times `is_digit` where the model has that output."""
    probabilities: NDArray[np.float32]
    """float32 (10,), of each digit, given that it is one: sums to 1; 0.1 each where there was no ink."""
    reason: PredictionReason | None
    """Why there is no digit; None when there is one."""
    image: NDArray[np.uint8]
    """uint8 (28, 28): the network's input."""
    box: Box
    """Of the ink that was used, in pixels of the picture as displayed; four zeros when there is none."""

    @classmethod
    def unreadable(cls) -> "Prediction":
        """The result for a file that cannot be opened."""
        blank = np.zeros((IMAGE_SIDE_PX, IMAGE_SIDE_PX), np.uint8)
        return cls(None, 0.0, np.full(10, 0.1, np.float32), "unreadable", blank, (0, 0, 0, 0))

    def to_json(self) -> dict[str, Any]:
        """Digit, confidence, probabilities and reason, as plain values."""
        return {
            "digit": self.digit,
            "confidence": round(self.confidence, 6),
            "probabilities": rounded(self.probabilities),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Judgement:
    """A model's outputs for images of MNIST's format, and which of them are accepted as digits."""

    probabilities: NDArray[np.float32]
    """float32 (n, 10), of each digit, given that it is one; rows sum to 1."""
    is_digit: NDArray[np.float32] | None
    """float32 (n,) in [0, 1]: probability that an image shows a digit; None for a model without this output."""
    accepted: NDArray[np.bool_]
    """bool (n,): whether an image is accepted as a digit."""

    def part(self, start: int, stop: int) -> "Judgement":
        """The judgement of images `start` to `stop` alone."""
        is_digit = None if self.is_digit is None else self.is_digit[start:stop]
        return Judgement(self.probabilities[start:stop], is_digit, self.accepted[start:stop])

    @property
    def digits(self) -> list[int | None]:
        """The likeliest digit of each image; None where the image is rejected."""
        likeliest = self.probabilities.argmax(axis=1).tolist()
        return [digit if taken else None for digit, taken in zip(likeliest, self.accepted.tolist(), strict=True)]

    def to_json(self) -> list[dict[str, Any]]:
        """For each image digit, probabilities and, where the model has this output, is_digit, as plain values."""
        results = [
            {"digit": digit, "probabilities": probabilities}
            for digit, probabilities in zip(self.digits, rounded(self.probabilities), strict=True)
        ]
        if self.is_digit is not None:
            for result, is_digit in zip(results, rounded(np.minimum(self.is_digit, 1)), strict=True):
                result["is_digit"] = is_digit
        return results


@dataclass(frozen=True)
class Digit:
    """One digit of a line."""

    digit: int
    """0 to 9."""
    confidence: float
    """0 to 1: the digit's probability, times that of being a digit at all, by classifier and detector."""
    box: Box
    """Of its ink, in pixels of the picture as displayed."""
    probabilities: NDArray[np.float32]
    """float32 (10,), of each digit; sums to 1."""
    image: NDArray[np.uint8]
    """uint8 (28, 28): the network's input."""

    @property
    def uncertain(self) -> bool:
        """Whether its confidence is below UNCERTAIN_CONFIDENCE."""
        return self.confidence < UNCERTAIN_CONFIDENCE

    def to_json(self, details: bool = False) -> dict[str, Any]:
        """Digit, confidence and box, as plain values; with details also probabilities, and the image in base64."""
        found = {"digit": self.digit, "confidence": round(self.confidence, 6), "box": list(self.box)}
        if details:
            found |= {"probabilities": rounded(self.probabilities), "image": as_base64(self.image)}
        return found


@dataclass(frozen=True)
class Line:
    """The numbers in one text line."""

    words: tuple[tuple[Digit, ...], ...]
    """From left to right, each of at least one digit."""
    other: tuple[Box, ...] = ()
    """Boxes of the marks between digits that part them and were not read: signs, letters, points."""

    @property
    def text(self) -> str:
        """The digits, with a space between words."""
        return " ".join("".join(str(digit.digit) for digit in word) for word in self.words)

    @property
    def digits(self) -> tuple[Digit, ...]:
        """The digits of all words."""
        return tuple(digit for word in self.words for digit in word)

    def to_json(self, details: bool = False) -> dict[str, Any]:
        """Text, digits and boxes of other marks, as plain values; details: as in `Digit.to_json`."""
        digits = [digit.to_json(details) for digit in self.digits]
        return {"text": self.text, "digits": digits, "other": [list(box) for box in self.other]}


@dataclass(frozen=True)
class Page:
    """The numbers on one page."""

    lines: tuple[Line, ...]
    """From top to bottom."""
    reason: PageReason | None
    """Why there are no lines; None when there are some."""
    number: int = 1
    """Of the page in its file, from 1."""
    left_out: float = 0.0
    """Share of the ink that looks like writing and belongs to no digit that was read, 0 to 1."""

    @property
    def doubtful(self) -> bool:
        """Whether the page may have been read badly: much was left out, or little is sure."""
        uncertain = sum(digit.uncertain for digit in self.digits)
        return self.left_out > MAX_LEFT_OUT or uncertain > MAX_UNCERTAIN_SHARE * len(self.digits)

    @classmethod
    def unreadable(cls) -> "Page":
        """The result for a file that cannot be opened."""
        return cls((), "unreadable")

    @property
    def text(self) -> str:
        """The lines' texts, separated by line feeds."""
        return "\n".join(line.text for line in self.lines)

    @property
    def digits(self) -> tuple[Digit, ...]:
        """The digits of all lines."""
        return tuple(digit for line in self.lines for digit in line.digits)

    def to_json(self, details: bool = False) -> dict[str, Any]:
        """Everything, as plain values; details: as in `Digit.to_json`."""
        return {
            "page": self.number,
            "lines": [line.to_json(details) for line in self.lines],
            "reason": self.reason,
            "doubtful": self.doubtful,
            "left_out": round(self.left_out, 3),
        }


def rounded(values: NDArray[np.floating[Any]], decimals: int = 6) -> Any:
    """An array as (nested lists of) Python floats with so many decimals."""
    # In double precision, so that the decimals end where they should.
    return values.astype(np.float64).round(decimals).tolist()


def as_base64(values: NDArray[Any]) -> str:
    """The bytes of an array, in base64: for uint8 a fifth of the length of its numbers as text."""
    return base64.b64encode(values.tobytes()).decode()
