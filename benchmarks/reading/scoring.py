"""Scores of a reading: the read lines compared with the written ones.

Spaces do not count. Lines are aligned in their order on the page, with the fewest edits in all; a missed or an invented
line counts with all its digits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

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


def align(true: Sequence[str], read: Sequence[str]) -> Sequence[Pair]:
    """Pairs that contain every line once, in the order of both pages: the fewest edits, then the most exact lines."""

    @cache
    def align_first(i: int, j: int) -> tuple[int, int, tuple[Pair, ...]]:
        """Edits, exact lines times -1, and pairs, of the first i and j lines."""
        if not i and not j:
            return 0, 0, ()
        candidates = []
        # Among equals the first: a pair rather than a missed and an invented line.
        if i and j:
            edits, inexact, pairs = align_first(i - 1, j - 1)
            wanted, found = true[i - 1], read[j - 1]
            candidates.append(
                (edits + sum(count_edits(wanted, found)), inexact - (wanted == found), (*pairs, (i - 1, j - 1)))
            )
        if j:
            edits, inexact, pairs = align_first(i, j - 1)
            candidates.append((edits + len(read[j - 1]), inexact, (*pairs, (None, j - 1))))
        if i:
            edits, inexact, pairs = align_first(i - 1, j)
            candidates.append((edits + len(true[i - 1]), inexact, (*pairs, (i - 1, None))))
        return min(candidates, key=lambda candidate: candidate[:2])

    return align_first(len(true), len(read))[2]


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
