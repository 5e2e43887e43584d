"""What was read in a row → words, of which those that are no numbers are left out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mnist_digits.recognition.classifier import Prediction
from mnist_digits.recognition.normalise import Box

CREDIBLE = 0.2
"""Mean credibility, by width, of a word that is a number."""


@dataclass(frozen=True)
class Token:
    """What stands at one place of a row."""

    box: Box
    """x, y, width, height in pixels."""
    prediction: Prediction | None
    """None where it is taken for no digit."""
    cost: float
    """Of this hypothesis: -log of its confidence, and what joins and cuts cost."""

    @property
    def credibility(self) -> float:
        """0 to 1."""
        return math.exp(-self.cost) if self.prediction else 0.0


def numbers(tokens: Sequence[Token], height: float) -> list[list[Token]]:
    """The words of a row that are numbers, each with its digits from left to right.

    tokens: from left to right. height: of a digit, in pixels.
    """
    words = [word for word in _words(tokens, height) if _is_number(word, height)]
    return [[token for token in word if token.prediction] for word in words]


def _words(tokens: Sequence[Token], height: float) -> Iterator[list[Token]]:
    """Neighbours, up to a gap that is wide for this row."""
    if not tokens:
        return
    left = np.array([token.box[0] for token in tokens])
    right = np.maximum.accumulate([token.box[0] + token.box[2] for token in tokens])
    gaps = left[1:] - right[:-1]
    # The narrower ones are those within words, also where most words are of one digit.
    usual = max(0.0, float(np.quantile(gaps, 0.35))) if len(gaps) else 0.0
    wide = max(1.8 * usual, usual + 0.45 * height)
    word = [tokens[0]]
    for gap, token in zip(gaps, tokens[1:], strict=True):
        if gap > wide:
            yield word
            word = []
        word.append(token)
    yield word


def _is_number(word: Sequence[Token], height: float) -> bool:
    # Dots, commas and specks say nothing about the digits between them.
    tall = [token for token in word if token.prediction or max(token.box[2:]) > 0.5 * height]
    widths = np.array([max(token.box[2], 0.3 * height) for token in tall])
    if not any(token.prediction for token in tall):
        return False
    return float(widths @ [token.credibility for token in tall] / widths.sum()) > CREDIBLE
