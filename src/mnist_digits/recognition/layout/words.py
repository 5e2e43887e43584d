"""What was read in a row → words, of which those that are no numbers are left out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mnist_digits.recognition.results import Box, Prediction

CREDIBLE = 0.2
"""Mean credibility, by width, of a word that is a number."""

CLEAR, STRICTER = 0.4, 5.0
"""On a page of less mean heat a word must be more credible by so much for each unit of it: of a texture, too, something
always looks like a digit."""


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


def numbers(tokens: Sequence[Token], height: float, clearness: float = 1.0) -> list[list[Token]]:
    """The words of a row that are numbers, each with its digits from left to right.

    tokens: from left to right. height: of a digit, in pixels. clearness: of the page, 0 to 1; see `Spots`.
    """
    least = CREDIBLE + STRICTER * max(0.0, CLEAR - clearness)
    words = [word for word in _words(tokens, height) if _credibility(word, height) > least]
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


def _credibility(word: Sequence[Token], height: float) -> float:
    """Of a word as a number: 0 to 1."""
    # Dots, commas and specks say nothing about the digits between them.
    tall = [token for token in word if token.prediction or max(token.box[2:]) > 0.5 * height]
    if not any(token.prediction for token in tall):
        return 0.0
    widths = np.array([max(token.box[2], 0.3 * height) for token in tall])
    return float(widths @ [token.credibility for token in tall] / widths.sum())
