"""Scores of what was read in pictures and on pages, from file to digit, compared with what stands there.

On a page, spaces do not count. Lines are aligned in their order, with the fewest edits in all; a missed or an invented
line counts with all its digits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_digits.evaluation.metrics import wilson_interval

DECLINED = -1
"""In the place of a digit: none was read."""

NONE_READ = 10
"""Column of a confusion matrix for what was not read: pictures without a digit, and missed digits of a page."""

NONE_WRITTEN = 10
"""Row of a page's confusion matrix for digits that were read where none is."""


@dataclass(frozen=True, eq=False)
class PictureScores:
    """Scores on pictures of one digit each."""

    accuracy: float
    """Share of the pictures read correctly; those in which no digit was read count as wrong."""
    interval95: tuple[float, float]
    """95 % confidence interval of the accuracy: the Wilson score interval."""
    count: int
    declined: int
    """Pictures in which no digit was read."""
    confusion: NDArray[np.int64]
    """int64 (10, 11): pictures of digit `row` that were read as digit `column`, in the last column as none."""
    groups: dict[str, "PictureScores"]
    """The same for each group, by its name; empty where there is but one."""

    @property
    def misread(self) -> int:
        """Pictures read as another digit."""
        return self.count - self.declined - int(np.trace(self.confusion))

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "accuracy": self.accuracy,
            "interval95": list(self.interval95),
            "count": self.count,
            "misread": self.misread,
            "declined": self.declined,
            "confusion": self.confusion.tolist(),
            "groups": {name: scores.to_json() for name, scores in self.groups.items()},
        }


def score_pictures(
    labels: NDArray[np.integer], digits: NDArray[np.integer], groups: Sequence[str] | None = None
) -> PictureScores:
    """Score what was read in pictures of one digit each.

    labels: integers (n,), 0-9, with n >= 1. digits: integers (n,), what was read, or DECLINED. groups: name of
    the group of each picture, such as its writer. Raises ValueError for arrays of other shapes or values.
    """
    if labels.shape != digits.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(f"labels {labels.shape}, digits {digits.shape}, expected one of each for at least one picture")
    if labels.min() < 0 or max(labels.max(), digits.max()) > 9 or digits.min() < DECLINED:
        raise ValueError("labels and digits beyond 0 to 9, expected no others but DECLINED")
    right, declined = int((labels == digits).sum()), int((digits == DECLINED).sum())
    confusion = np.zeros((10, 11), np.int64)
    np.add.at(confusion, (labels, np.where(digits == DECLINED, NONE_READ, digits)), 1)
    names = np.array(groups) if groups is not None and len(set(groups)) > 1 else np.array([])
    parts = {str(name): names == name for name in np.unique(names)}
    return PictureScores(
        right / len(labels),
        wilson_interval(right, len(labels)),
        len(labels),
        declined,
        confusion,
        {name: score_pictures(labels[part], digits[part]) for name, part in parts.items()},
    )


Pair = tuple[int | None, int | None]
"""A written line or digit, and the one read for it; None in place of one that was missed or invented."""


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
        return 1 - self.edits / self.digits if self.digits else float("nan")

    @property
    def edits(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.mistaken + self.missed + self.invented

    def to_json(self) -> dict[str, int]:
        """As JSON types."""
        return asdict(self)

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


def confuse_page(true: Sequence[str], read: Sequence[str]) -> NDArray[np.int64]:
    """Which digit was read as which, by the edits that `score_page` counts: int64 (11, 11).

    Rows are written digits, and in the last nothing; columns what they were read as, and in the last nothing. true,
    read: as for `score_page`.
    """
    true, read = only_digits(true), only_digits(read)
    confusion = np.zeros((11, 11), np.int64)
    for there, seen in align(true, read):
        for wanted, found in pair_digits("" if there is None else true[there], "" if seen is None else read[seen]):
            confusion[NONE_WRITTEN if wanted is None else wanted, NONE_READ if found is None else found] += 1
    return confusion


def pair_digits(true: str, read: str) -> list[Pair]:
    """Each digit of two lines with the one of the other line, or None, from the end: as in `count_edits`."""
    pairs: list[Pair] = []
    while true or read:
        edits = count_edits(true, read)
        last = (int(true[-1]) if true else None, int(read[-1]) if read else None)
        # Among equals the first, as there: a pair rather than a missed and an invented digit.
        if true and read and edits == _plus(count_edits(true[:-1], read[:-1]), int(last[0] != last[1]), 0, 0):
            true, read = true[:-1], read[:-1]
        elif true and edits == _plus(count_edits(true[:-1], read), 0, 1, 0):
            true, last = true[:-1], (last[0], None)
        else:
            read, last = read[:-1], (None, last[1])
        pairs.append(last)
    return pairs


def _plus(edits: tuple[int, int, int], *more: int) -> tuple[int, ...]:
    return tuple(one + another for one, another in zip(edits, more, strict=True))


def interval(scores: Sequence[Score], draws: int = 1000) -> tuple[float, float]:
    """95 % bootstrap interval of the accuracy: percentiles over draws of as many pages with replacement."""
    edits = np.array([score.edits for score in scores])
    digits = np.array([score.digits for score in scores])
    drawn = np.random.default_rng(0).integers(0, len(scores), (draws, len(scores)))
    low, high = np.percentile(1 - edits[drawn].sum(1) / digits[drawn].sum(1), [2.5, 97.5])
    return float(low), float(high)
