"""Tokens of a text line → words, of which those that are not numbers are left out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.results import Box, Prediction

MIN_MARK_HEIGHTS, MIN_MARK_WIDTH_HEIGHTS = 0.12, 0.05
"""Longer and shorter side, in digit heights, of the smallest mark that parts two digits: a point."""

MARK_REACH_HEIGHTS = 0.15
"""How far, in digit heights, a mark between two digits may reach into their boxes."""

MIN_SLASH_SLANT = 0.22
"""Pixels sideways per pixel upwards of the least slanting slash; most ones are more upright."""

SLASH_HEIGHT, DATE_SLASH_HEIGHT = 1.14, 1.05
"""Height of the lowest slash as a multiple of the digits' beside it: alone, and as one of the two of a date. Few ones
that slant as much reach the second."""

DATE_LENGTHS = ((1, 2), (1, 2), (2, 4))
"""Numbers of digits that day, month and year may have, in any order of the first two."""

MIN_WORD_CREDIBILITY = 0.2
"""Minimum mean credibility, weighted by width, of a word that is a number."""

CREDIBLE_CUTS = 0.75
"""Share of the cost of cuts that does not make a digit less credible."""

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
    cut_cost: float = 0.0
    """The part of it that is of the cuts at its sides."""
    components: frozenset[int] = frozenset()
    """Numbers of the components that its segments are of."""

    @property
    def credibility(self) -> float:
        """0 to 1: of a digit exp(-cost), with little of the cuts' cost, for touching digits are digits; else 0."""
        return math.exp(-self.cost + CREDIBLE_CUTS * self.cut_cost) if self.prediction else 0.0


def numbers(tokens: Sequence[Token], digit_height: float, mean_score: float = 1.0) -> list[list[Token]]:
    """The words of a line that are numbers, each with its digits from left to right.

    tokens: from left to right. digit_height: in pixels. mean_score: of the page's detections, 0 to 1.
    """
    least = MIN_WORD_CREDIBILITY + CREDIBILITY_PER_SCORE * max(0.0, CLEAR_PAGE_SCORE - mean_score)
    words = [word for word in _words(tokens, digit_height) if _credibility(word, digit_height) > least]
    return [[token for token in word if token.prediction] for word in words]


def part(word: Sequence[Token], marks: NDArray[np.int_], digit_height: float) -> tuple[list[list[Token]], list[Box]]:
    """The digits of a word, parted at slashes, and at marks that stand between two of them; and boxes of all these.

    word: its digits from left to right. marks: boxes of what is no digit, int (n, 4). digit_height: in pixels.
    """
    slashes = _slashes(word)
    parts: list[list[Token]] = [[]]
    found: list[Box] = []
    for place, token in enumerate(word):
        if place in slashes:
            parts.append([])
            found.append(token.box)
            continue
        between = _between(marks, word[place - 1].box, token.box, digit_height) if parts[-1] else marks[:0]
        if len(between):
            parts.append([])
            found += [(x, y, width, height) for x, y, width, height in between.tolist()]
        parts[-1].append(token)
    return parts, found


def _slashes(word: Sequence[Token]) -> list[int]:
    """Places of what was read as a one and is a slash: it slants, and is higher than the digits beside it."""
    leaning = [
        place
        for place, token in enumerate(word[1:-1], 1)
        if _digit_of(token) == 1 and _slant_of(token) > MIN_SLASH_SLANT
    ]
    others = [token.box[3] for place, token in enumerate(word) if place not in leaning]
    high = [place for place in leaning if word[place].box[3] > DATE_SLASH_HEIGHT * np.median(others)]
    lengths = np.diff([-1, *high, len(word)]) - 1
    if len(lengths) == len(DATE_LENGTHS) and all(n in fit for n, fit in zip(lengths, DATE_LENGTHS, strict=True)):
        return high
    higher = [place for place in high if word[place].box[3] > SLASH_HEIGHT * np.median(others)]
    # Two in a row are an eleven.
    return [place for place in higher if not {place - 1, place + 1} & set(leaning)]


def _digit_of(token: Token) -> int | None:
    return int(token.prediction.probabilities.argmax()) if token.prediction else None


def _slant_of(token: Token) -> float:
    """Pixels sideways per pixel upwards, of a digit's ink as the classifier saw it."""
    assert token.prediction is not None
    ink = token.prediction.image.astype(float)
    y, x = (np.arange(side) - (side - 1) / 2 for side in ink.shape)
    total, down, right = max(ink.sum(), 1.0), ink.sum(axis=1), ink.sum(axis=0)
    middle_y, middle_x = y @ down / total, x @ right / total
    spread = float((y - middle_y) ** 2 @ down)
    return -float((y - middle_y) @ ink @ (x - middle_x)) / spread if spread else 0.0


def _between(marks: NDArray[np.int_], before: Box, after: Box, digit_height: float) -> NDArray[np.int_]:
    """Those of some marks, boxes as int (n, 4), that stand between two digits, at their height."""
    x, y, width, height = marks.T
    reach = MARK_REACH_HEIGHTS * digit_height
    middle_x, middle_y = x + width / 2, y + height / 2
    fits = (x > before[0] + before[2] - reach) & (x + width < after[0] + reach)
    fits &= (middle_x > before[0] + before[2] / 2) & (middle_x < after[0] + after[2] / 2)
    fits &= middle_y > min(before[1], after[1]) - reach
    fits &= middle_y < max(before[1] + before[3], after[1] + after[3]) + reach
    fits &= np.maximum(width, height) > MIN_MARK_HEIGHTS * digit_height
    fits &= np.minimum(width, height) > MIN_MARK_WIDTH_HEIGHTS * digit_height
    return marks[fits]


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
