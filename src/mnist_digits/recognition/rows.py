"""Pieces → rows of writing: sloping, curved, of any length, however close."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mnist_digits.recognition.pieces import Pieces

STEEPEST = 20
"""Degrees that rows may slope, either way."""

ENOUGH = 300
"""Pieces by which the slope of all rows is told."""

LARGE = 0.4
"""Longest side, as a share of the writing's height, from which a piece takes part in finding rows."""

REACH = 0.6
"""How far, in heights, a piece's middle may lie from its row's."""

MEETING = 0.45
"""How far, in heights, the pieces of a row may lie from another of which it is a part."""

PALE = 0.65
"""Strength of a piece of writing, as a share of its row's, at least."""

FINE = 0.5
"""Width of the strokes of a piece of writing, as a share of its row's, at least."""

BAR = 0.16
"""Width of an upright line, in its heights, at most."""


@dataclass(frozen=True)
class Row:
    """One row of writing."""

    members: np.ndarray
    """Indices of its pieces, int (n,), from left to right."""
    course: np.ndarray
    """Coefficients of the parabola y(x) that its middle follows, in pixels, highest power first: float (3,)."""
    height: float
    """Typical height of its pieces in pixels."""

    def slope_at(self, x: float) -> float:
        """Pixels down per pixel along."""
        bend, slope, _ = self.course
        return float(slope + 2 * bend * x)


def find_rows(pieces: Pieces) -> list[Row]:
    """Rows from top to bottom; every piece belongs to one, or, when it lies near none, to none."""
    if not len(pieces):
        return []
    large = np.flatnonzero(pieces.boxes[:, 2:].max(axis=1) > LARGE * pieces.height)
    slope = _common_slope(pieces.centres[large], pieces.height)
    members = _follow(pieces, large, slope)
    for _ in range(3):
        members = [own for own in _assign(pieces, large, _courses(pieces, members, slope)) if len(own)]
    courses = [_course(pieces, own, slope) for own in members]
    members = [own[_is_strong(pieces, own)] for own in _assign(pieces, np.arange(len(pieces)), courses)]
    rows = [_row(pieces, own, course) for own, course in zip(members, courses, strict=True) if len(own)]
    rows = [row for row in map(partial(_without_bars, pieces), rows) if len(row.members)]
    middle = pieces.labels.shape[1] / 2
    return sorted(rows, key=lambda row: float(np.polyval(row.course, middle)))


def _row(pieces: Pieces, members: np.ndarray, course: np.ndarray) -> Row:
    heights = pieces.boxes[members, 3]
    tall = heights > LARGE * pieces.height
    order = np.argsort(pieces.centres[members, 0], kind="stable")
    return Row(members[order], course, float(np.median(heights[tall] if tall.any() else heights)))


def _is_strong(pieces: Pieces, members: np.ndarray) -> np.ndarray:
    """Which of a row's pieces are about as dark and as thick as its tall ones: bool (n,)."""
    tall = members[pieces.boxes[members, 3] > LARGE * pieces.height]
    return same_pen(pieces, members, tall if len(tall) else members)


def same_pen(pieces: Pieces, members: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Which pieces are about as dark and as thick as others are at the median: bool (n,).

    members, model: indices, int (n,) and (m,). What is much paler or finer is ruling, the print of a form, or what the
    other side of the paper lets through.
    """
    if not len(members):
        return np.zeros(0, bool)
    strengths, strokes = pieces.strengths, pieces.strokes
    dark = strengths[members] > PALE * np.median(strengths[model])
    return dark & (strokes[members] > FINE * np.median(strokes[model]))


def _without_bars(pieces: Pieces, row: Row) -> Row:
    """The row without the upright lines that part the fields of a form.

    Those are thin, no shorter than the digits, and, other than ones written by hand, begin and end at the same height.
    """
    x, top, width, height = pieces.boxes[row.members].T.astype(float)
    thin = width < BAR * height
    others = height[~thin & (height > LARGE * row.height)]
    bars = np.flatnonzero(thin & (height > (np.median(others) if len(others) else row.height)))
    if len(bars) < 3:
        return row
    level = np.polyval(row.course, x + width / 2)
    for edge in (top - level, top + height - level):
        bars = bars[np.abs(edge[bars] - np.median(edge[bars] if len(bars) else edge)) < 0.08 * row.height]
    # Between two of them stands one digit, or none.
    between = np.diff(bars) - 1
    if len(bars) < 3 or np.median(between) > 2 or not between.any():
        return row
    return replace(row, members=np.delete(row.members, bars))


def _common_slope(centres: np.ndarray, height: float) -> float:
    """The slope at which most middles, float (n, 2), line up: that of the sharpest projection on the side."""
    if len(centres) < 3:
        return 0.0
    if len(centres) > ENOUGH:
        centres = centres[np.random.default_rng(0).choice(len(centres), ENOUGH, replace=False)]
    slopes = np.tan(np.radians(np.arange(-STEEPEST, STEEPEST + 0.5)))
    x, y = centres.T
    offsets = (y[None] - slopes[:, None] * x) / height
    # Pairs of middles at the same height, within a fifth of a digit or so; far ones tell nothing of a row.
    near = np.exp(-(((x[:, None] - x) / (8 * height)) ** 2))
    scores = np.array([(near * np.exp(-(((o[:, None] - o) / 0.25) ** 2))).sum() for o in offsets])
    # Level, unless another slope fits better than by chance.
    scores *= 1 - 0.1 * np.abs(slopes) / slopes.max()
    return float(slopes[scores.argmax()])


def _follow(pieces: Pieces, large: np.ndarray, slope: float) -> list[np.ndarray]:
    """Rows as they are met from left to right: a piece goes on with the row whose last pieces point to it."""
    x, y = pieces.centres.T
    y = y - slope * x
    heights = np.maximum(pieces.boxes[:, 3], 0.7 * pieces.height)
    rows: list[list[int]] = []
    # Of the last pieces of each row: mean x, mean y, slope, mean height.
    ends = np.empty((len(large), 4))
    for piece in large[np.argsort(x[large])]:
        mean_x, mean_y, rise, mean_height = ends[: len(rows)].T
        ahead = mean_y + rise * np.minimum(x[piece] - mean_x, 6 * pieces.height)
        distance = np.abs(y[piece] - ahead) / np.maximum(heights[piece], mean_height)
        index = int(distance.argmin()) if len(rows) and distance.min() < REACH else len(rows)
        if index == len(rows):
            rows.append([])
        rows[index].append(int(piece))
        last = rows[index][-4:]
        dx, dy = x[last] - x[last].mean(), y[last] - y[last].mean()
        # Careful of slopes that few points suggest.
        rise = (dx @ dy) / (dx @ dx + (4 * pieces.height) ** 2)
        ends[index] = x[last].mean(), y[last].mean(), rise, heights[last].mean()
    return [np.array(row) for row in rows]


def _course(pieces: Pieces, members: np.ndarray, slope: float) -> np.ndarray:
    """A line or parabola through the middles of a row's pieces, drawn towards the common slope when there are few."""
    x, y = pieces.centres[members].T
    middle, span = x.mean(), np.ptp(x)
    degree = 2 if len(members) > 5 and span > 6 * pieces.height else 1
    scale = 4 * pieces.height
    u, v = (x - middle) / scale, y - slope * (x - middle)
    basis = np.stack([u**power for power in range(degree, -1, -1)], axis=1)
    ridge = np.diag([8.0, 1.0, 0.0][-degree - 1 :])
    # Digits with a long stroke below the row count less.
    weights = 1 / (1 + (np.abs(v - np.median(v)) / (0.3 * pieces.height)) ** 2)
    found = np.linalg.solve(basis.T @ (weights[:, None] * basis) + ridge, basis.T @ (weights * v))
    # Back from u to x.
    *bend, rise, offset = found
    bent, rise = (bend[0] if bend else 0.0) / scale**2, rise / scale + slope
    return np.array([bent, rise - 2 * bent * middle, offset - rise * middle + bent * middle**2])


def _courses(pieces: Pieces, members: list[np.ndarray], slope: float) -> list[np.ndarray]:
    """The courses of rows, of which those are one that meet and have no pieces above one another."""
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for own in sorted(members, key=len, reverse=True):
        x, y = pieces.centres[own].T
        for index, (others, course) in enumerate(kept):
            away = np.abs(y - np.polyval(course, x)).mean() / pieces.height
            if away < MEETING and not _share_columns(pieces, own, others):
                joined = np.concatenate([others, own])
                kept[index] = joined, _course(pieces, joined, slope)
                break
        else:
            kept.append((own, _course(pieces, own, slope)))
    return [course for _, course in kept]


def _share_columns(pieces: Pieces, ones: np.ndarray, others: np.ndarray) -> bool:
    """Whether tall pieces of both lie above one another."""
    left, width = (pieces.boxes[:, i][:, None] for i in (0, 2))
    right = left + width
    overlap = np.minimum(right[ones], right[others].T) - np.maximum(left[ones], left[others].T)
    return bool((overlap > 0.5 * np.minimum(width[ones], width[others].T)).any())


def _assign(pieces: Pieces, chosen: np.ndarray, courses: list[np.ndarray]) -> list[np.ndarray]:
    """Each of the chosen pieces to the nearest course, if one is near enough."""
    if not courses:
        return []
    x, y = pieces.centres[chosen].T
    away = np.abs(np.stack([np.polyval(course, x) for course in courses]) - y)
    heights = np.maximum(pieces.boxes[chosen, 3], pieces.height)
    nearest = away.argmin(axis=0)
    near = away.min(axis=0) < 0.9 * heights
    return [chosen[near & (nearest == index)] for index in range(len(courses))]
