"""Tokens of a text line → words, of which those that are not numbers are left out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mnist_digits.recognition.results import Box, Prediction

MIN_WORD_CREDIBILITY = 0.2
"""Minimum mean credibility, weighted by width, of a word that is a number."""

CLEAR_PAGE_SCORE, CREDIBILITY_PER_SCORE = 0.4, 5.0
"""On a page whose mean score is below the first, words must be more credible by so much per unit of the difference: in
a texture, too, something always looks like a digit."""


@dataclass(frozen=True)
class Token:
    """What stands at one place of a text line."""

    box: Box
    prediction: Prediction | None
    """None where it is taken for no digit."""
    cost: float
    """Of this hypothesis, 0 or more: see `decoding`."""

    @property
    def credibility(self) -> float:
        """0 to 1: exp(-cost) of a digit, 0 of anything else."""
        return math.exp(-self.cost) if self.prediction else 0.0


def numbers(tokens: Sequence[Token], digit_height: float, mean_score: float = 1.0) -> list[list[Token]]:
    """The words of a line that are numbers, each with its digits from left to right.

    tokens: from left to right. digit_height: in pixels. mean_score: of the page's detections, 0 to 1.
    """
    least = MIN_WORD_CREDIBILITY + CREDIBILITY_PER_SCORE * max(0.0, CLEAR_PAGE_SCORE - mean_score)
    words = [word for word in _words(tokens, digit_height) if _credibility(word, digit_height) > least]
    return [[token for token in word if token.prediction] for word in words]


def _words(tokens: Sequence[Token], digit_height: float) -> Iterator[list[Token]]:
    """The tokens, divided at gaps that are wide for this line."""
    if not tokens:
        return
    left = np.array([token.box[0] for token in tokens])
    right = np.maximum.accumulate([token.box[0] + token.box[2] for token in tokens])
    gaps = left[1:] - right[:-1]
    # The narrower gaps are those within words, also where most words have one digit.
    usual = max(0.0, float(np.quantile(gaps, 0.35))) if len(gaps) else 0.0
    wide = max(1.8 * usual, usual + 0.45 * digit_height)
    word = [tokens[0]]
    for gap, token in zip(gaps, tokens[1:], strict=True):
        if gap > wide:
            yield word
            word = []
        word.append(token)
    yield word


def _credibility(word: Sequence[Token], digit_height: float) -> float:
    """Of a word as a number: 0 to 1."""
    # Dots, commas and specks say nothing about the digits between them.
    tall = [token for token in word if token.prediction or max(token.box[2:]) > 0.5 * digit_height]
    if not any(token.prediction for token in tall):
        return 0.0
    widths = np.array([max(token.box[2], 0.3 * digit_height) for token in tall])
    return float(widths @ [token.credibility for token in tall] / widths.sum())
