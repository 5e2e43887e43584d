"""Scores of a reading: the read lines compared with the written ones.

Spaces do not count. Lines are aligned in their order on the page, with the fewest edits in all; a missed or an invented
line counts with all its digits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

Pair = tuple[int | None, int | None]
"""Indices of a written line and of the line read for it; None in place of a line that was missed or invented."""


@dataclass(frozen=True)
class Score:
    """The edit distance between a page and a reading of it, by kind of edit."""

    digits: int
    """Written digits."""
    mistaken: int
    """Substitutions: digits read as others."""
    missed: int
    """Deletions."""
    invented: int
    """Insertions."""
    rows: int
    """Written lines."""
    exact: int
    """Lines read without an error."""

    @property
    def accuracy(self) -> float:
        """1 - edits / digits; negative where there are more edits than digits, NaN without digits."""
        return 1 - (self.mistaken + self.missed + self.invented) / self.digits if self.digits else float("nan")

    @classmethod
    def total(cls, scores: Iterable["Score"]) -> "Score":
        """Sum over pages."""
        counts = [(s.digits, s.mistaken, s.missed, s.invented, s.rows, s.exact) for s in scores]
        return cls(*(sum(column) for column in zip(*counts, strict=True))) if counts else cls(0, 0, 0, 0, 0, 0)


def score_page(true: Sequence[str], read: Sequence[str]) -> Score:
    """A page's score. true, read: the texts of the written and of the read lines, from top to bottom."""
    true, read = only_digits(true), only_digits(read)
    edits = np.zeros(3, int)
    exact = 0
    for there, seen in align(true, read):
        wanted, found = "" if there is None else true[there], "" if seen is None else read[seen]
        edits += count_edits(wanted, found)
        exact += wanted == found
    mistaken, missed, invented = edits.tolist()
    return Score(sum(map(len, true)), mistaken, missed, invented, len(true), exact)


def only_digits(lines: Iterable[str]) -> list[str]:
    """The digits of each line; lines without digits are left out."""
    kept = ("".join(letter for letter in line if letter in "0123456789") for line in lines)
    return [line for line in kept if line]


def align(true: Sequence[str], read: Sequence[str]) -> list[Pair]:
    """Pairs that contain every line once, in the order of both pages: the fewest edits, then the most exact lines."""
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
                ways[1, 1] = (sum(count_edits(true[i - 1], read[j - 1])), -(true[i - 1] == read[j - 1]))
            if ways:
                totals = {step: _add(costs[i - step[0], j - step[1]], cost) for step, cost in ways.items()}
                # Among equals the last: a pair rather than a missed and an invented line.
                steps[i, j] = min(reversed(totals), key=totals.__getitem__)
                costs[i, j] = totals[steps[i, j]]
    return _walk_back(steps, len(true), len(read))


def _add(first: tuple[int, int], second: tuple[int, int]) -> tuple[int, int]:
    return first[0] + second[0], first[1] + second[1]


def _walk_back(steps: dict[tuple[int, int], tuple[int, int]], i: int, j: int) -> list[Pair]:
    """The pairs along the cheapest path, from the first lines to the last."""
    pairs: list[Pair] = []
    while i or j:
        down, right = steps[i, j]
        i, j = i - down, j - right
        pairs.append((i if down else None, j if right else None))
    return pairs[::-1]


def count_edits(true: str, read: str) -> tuple[int, int, int]:
    """Substitutions, deletions and insertions: the fewest in all (Levenshtein), then the most substitutions."""
    row = [(j, 0, j) for j in range(len(read) + 1)]
    for i, wanted in enumerate(true, 1):
        before, row = row, [(i, i, 0)]
        for j, found in enumerate(read, 1):
            # Each is (edits, missed, invented); the remaining edits are substitutions.
            same = before[j - 1]
            row.append(
                min(
                    (same[0] + (wanted != found), same[1], same[2]),
                    (before[j][0] + 1, before[j][1] + 1, before[j][2]),
                    (row[j - 1][0] + 1, row[j - 1][1], row[j - 1][2] + 1),
                )
            )
    edits, missed, invented = row[-1]
    return edits - missed - invented, missed, invented


def interval(scores: Sequence[Score], draws: int = 1000) -> tuple[float, float]:
    """95 % bootstrap interval of the accuracy: percentiles over draws of as many pages with replacement."""
    edits = np.array([score.mistaken + score.missed + score.invented for score in scores])
    digits = np.array([score.digits for score in scores])
    drawn = np.random.default_rng(0).integers(0, len(scores), (draws, len(scores)))
    low, high = np.percentile(1 - edits[drawn].sum(1) / digits[drawn].sum(1), [2.5, 97.5])
    return float(low), float(high)
