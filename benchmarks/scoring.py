"""How well a page was read: its lines beside those that stand on it.

Spaces do not count. Lines are paired in their order on the page so that the fewest digits have to be changed, missed
lines and invented ones counted whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

Pair = tuple[int | None, int | None]
"""The numbers of a true line and of the line that was read for it; None for a line that was missed or invented."""


@dataclass(frozen=True)
class Score:
    """What there was to read, and the fewest changes that make of it what was read."""

    digits: int
    """That stand on the page."""
    mistaken: int
    """Digits read as others."""
    missed: int
    invented: int
    rows: int
    exact: int
    """Rows that were read without an error."""

    @property
    def accuracy(self) -> float:
        """1 less the changes to a digit; below 0 where more was invented than stands there. NaN without digits."""
        return 1 - (self.mistaken + self.missed + self.invented) / self.digits if self.digits else float("nan")

    @classmethod
    def total(cls, scores: Iterable["Score"]) -> "Score":
        """Of several pages together."""
        counts = [(s.digits, s.mistaken, s.missed, s.invented, s.rows, s.exact) for s in scores]
        return cls(*(sum(column) for column in zip(*counts, strict=True))) if counts else cls(0, 0, 0, 0, 0, 0)


def score_page(true: Sequence[str], read: Sequence[str]) -> Score:
    """A page's score. true: what stands on it, a text a line. read: what was read, likewise."""
    true, read = only_digits(true), only_digits(read)
    changes = np.zeros(3, int)
    exact = 0
    for there, seen in align(true, read):
        wanted, found = "" if there is None else true[there], "" if seen is None else read[seen]
        changes += count_changes(wanted, found)
        exact += wanted == found
    mistaken, missed, invented = changes.tolist()
    return Score(sum(map(len, true)), mistaken, missed, invented, len(true), exact)


def only_digits(lines: Iterable[str]) -> list[str]:
    """The lines without all that is no digit, and without those of which nothing is left."""
    kept = ("".join(letter for letter in line if letter in "0123456789") for line in lines)
    return [line for line in kept if line]


def align(true: Sequence[str], read: Sequence[str]) -> list[Pair]:
    """Every line in one pair, in the order of both pages, with the fewest changes; among those the most exact rows."""
    costs: dict[tuple[int, int], tuple[int, int]] = {(0, 0): (0, 0)}
    steps: dict[tuple[int, int], tuple[int, int]] = {}
    for i in range(len(true) + 1):
        for j in range(len(read) + 1):
            ways = {}
            if i:
                ways[1, 0] = (len(true[i - 1]), 0)
            if j:
                ways[0, 1] = (len(read[j - 1]), 0)
            if i and j:
                ways[1, 1] = (sum(count_changes(true[i - 1], read[j - 1])), -(true[i - 1] == read[j - 1]))
            if ways:
                totals = {step: _add(costs[i - step[0], j - step[1]], cost) for step, cost in ways.items()}
                # Last, so that equals are paired rather than both missed and invented.
                steps[i, j] = min(reversed(totals), key=totals.__getitem__)
                costs[i, j] = totals[steps[i, j]]
    return _walk_back(steps, len(true), len(read))


def _add(first: tuple[int, int], second: tuple[int, int]) -> tuple[int, int]:
    return first[0] + second[0], first[1] + second[1]


def _walk_back(steps: dict[tuple[int, int], tuple[int, int]], i: int, j: int) -> list[Pair]:
    """The pairs along the cheapest way from the first lines to the last."""
    pairs: list[Pair] = []
    while i or j:
        down, right = steps[i, j]
        i, j = i - down, j - right
        pairs.append((i if down else None, j if right else None))
    return pairs[::-1]


def count_changes(true: str, read: str) -> tuple[int, int, int]:
    """Digits mistaken, missed and invented: the fewest in all (Levenshtein's), and among those the most mistaken."""
    row = [(j, 0, j) for j in range(len(read) + 1)]
    for i, wanted in enumerate(true, 1):
        before, row = row, [(i, i, 0)]
        for j, found in enumerate(read, 1):
            # Each is (changes, missed, invented); what is left of the changes is mistaken.
            same = before[j - 1]
            row.append(
                min(
                    (same[0] + (wanted != found), same[1], same[2]),
                    (before[j][0] + 1, before[j][1] + 1, before[j][2]),
                    (row[j - 1][0] + 1, row[j - 1][1], row[j - 1][2] + 1),
                )
            )
    changes, missed, invented = row[-1]
    return changes - missed - invented, missed, invented


def interval(scores: Sequence[Score], draws: int = 1000) -> tuple[float, float]:
    """Between which accuracies 95 of 100 draws of as many pages lie, drawn from these with putting back."""
    changes = np.array([score.mistaken + score.missed + score.invented for score in scores])
    digits = np.array([score.digits for score in scores])
    drawn = np.random.default_rng(0).integers(0, len(scores), (draws, len(scores)))
    low, high = np.percentile(1 - changes[drawn].sum(1) / digits[drawn].sum(1), [2.5, 97.5])
    return float(low), float(high)
