"""Pieces → rows of writing: sloping, curved, of any length, however close."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mnist_digits.recognition.pieces import Pieces

STEEPEST = 20
"""Degrees that rows may slope, either way."""

LARGE = 0.4
"""Longest side, as a share of the writing's height, from which a piece takes part in finding rows."""

REACH = 0.6
"""How far, in heights, a piece's middle may lie from its row's."""

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
    """Coefficients, highest power first, of the polynomial y(x) that its middle follows, in pixels."""
    height: float
    """Typical height of its pieces in pixels."""

    def slope_at(self, x: float) -> float:
        """Pixels down per pixel along."""
        *bend, slope, _ = self.course
        return float(slope + (2 * bend[0] * x if bend else 0.0))


def find_rows(pieces: Pieces) -> list[Row]:
    """Rows from top to bottom; every piece belongs to one, or, when it lies near none, to none."""
    if not len(pieces):
        return []
    large = np.flatnonzero(pieces.boxes[:, 2:].max(axis=1) > LARGE * pieces.height)
    slope = _common_slope(pieces.centres[large], pieces.height)
    members = _follow(pieces, large, slope)
    for _ in range(3):
        courses = [_course(pieces, own, slope) for own in members]
        members, courses = _without_doubles(pieces, members, courses, slope)
        members = _assign(pieces, large, courses)
    courses = [_course(pieces, own, slope) for own in members]
    members = _assign(pieces, np.arange(len(pieces)), courses)
    members = [own[_same_pen(pieces, own)] if len(own) else own for own in members]
    rows = [_row(pieces, own, course) for own, course in zip(members, courses, strict=True) if len(own)]
    rows = [row for row in map(partial(_without_bars, pieces), rows) if len(row.members)]
    middle = pieces.labels.shape[1] / 2
    return sorted(rows, key=lambda row: float(np.polyval(row.course, middle)))


def _row(pieces: Pieces, members: np.ndarray, course: np.ndarray) -> Row:
    heights = pieces.boxes[members, 3]
    tall = heights > LARGE * pieces.height
    order = np.argsort(pieces.centres[members, 0], kind="stable")
    return Row(members[order], course, float(np.median(heights[tall] if tall.any() else heights)))


def _same_pen(pieces: Pieces, members: np.ndarray) -> np.ndarray:
    """Which of a row's pieces are about as dark and as thick as the rest: bool (n,).

    What is much paler or finer is ruling, the print of a form, or what the other side of the paper lets through.
    """
    strengths, strokes = pieces.strengths[members], pieces.strokes[members]
    tall = pieces.boxes[members, 3] > LARGE * pieces.height
    tall = tall if tall.any() else np.ones_like(tall)
    return (strengths > PALE * np.median(strengths[tall])) & (strokes > FINE * np.median(strokes[tall]))


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
        near = np.abs(edge[bars] - np.median(edge[bars])) < 0.08 * row.height if len(bars) else []
        bars = bars[near]
    # Between two of them stands one digit, or none.
    between = np.diff(bars) - 1
    if len(bars) < 3 or np.median(between) > 2 or not between.any():
        return row
    return replace(row, members=np.delete(row.members, bars))


def _common_slope(centres: np.ndarray, height: float) -> float:
    """The slope at which most middles, float (n, 2), line up: that of the sharpest projection on the side."""
    if len(centres) < 3:
        return 0.0
    slopes = np.tan(np.radians(np.arange(-STEEPEST, STEEPEST + 0.5)))
    x, y = centres.T
    offsets = (y[None] - slopes[:, None] * x) / height
    # Pairs of middles at the same height, within a fifth of a digit or so; far ones tell nothing of a row.
    near = np.exp(-(((x[:, None] - x) / (8 * height)) ** 2))
    if len(centres) > 300:
        chosen = np.random.default_rng(0).choice(len(centres), 300, replace=False)
        offsets, near = offsets[:, chosen], near[np.ix_(chosen, chosen)]
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
    for piece in large[np.argsort(x[large])]:
        best, nearest = None, REACH
        for row in rows:
            last = row[-4:]
            ahead = _ahead(x[last], y[last], float(x[piece]), pieces.height)
            distance = abs(y[piece] - ahead) / max(heights[piece], heights[last].mean())
            if distance < nearest:
                best, nearest = row, distance
        if best is None:
            rows.append([piece])
        else:
            best.append(piece)
    return [np.array(row) for row in rows]


def _ahead(x: np.ndarray, y: np.ndarray, place: float, height: float) -> float:
    """Where a row through some points, float (n,), arrives at a place; careful of slopes that few points suggest."""
    dx, dy = x - x.mean(), y - y.mean()
    slope = (dx @ dy) / (dx @ dx + (4 * height) ** 2)
    return float(y.mean() + slope * min(place - x.mean(), 6 * height))


def _course(pieces: Pieces, members: np.ndarray, slope: float) -> np.ndarray:
    """A line or parabola through the middles of a row's pieces, drawn towards the common slope when there are few."""
    x, y = pieces.centres[members].T
    if not len(members):
        return np.array([slope, np.inf])
    middle, span = x.mean(), np.ptp(x)
    degree = 2 if len(members) > 5 and span > 6 * pieces.height else 1
    scale = 4 * pieces.height
    u, v = (x - middle) / scale, y - slope * (x - middle)
    basis = np.stack([u**power for power in range(degree, -1, -1)], axis=1)
    ridge = np.diag([8.0, 1.0, 0.0][-degree - 1 :])
    # Digits with a long stroke below the row count less.
    weights = 1 / (1 + (np.abs(v - np.median(v)) / (0.3 * pieces.height)) ** 2)
    found = np.linalg.solve(basis.T @ (weights[:, None] * basis) + ridge, basis.T @ (weights * v))
    course = np.poly1d(found)(np.poly1d([1 / scale, -middle / scale])) + np.poly1d([slope, -slope * middle])
    return np.asarray(course.coeffs if course.order else [0.0, course.coeffs[0]])


def _without_doubles(
    pieces: Pieces, members: list[np.ndarray], courses: list[np.ndarray], slope: float
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Rows that are one: their courses meet where the pieces are, and no column holds pieces of both."""
    order = np.argsort([-len(own) for own in members])
    kept: list[int] = []
    members = list(members)
    for index in order:
        if not len(members[index]):
            continue
        x, y = pieces.centres[members[index]].T
        for other in kept:
            away = np.abs(y - np.polyval(courses[other], x)).mean() / pieces.height
            if away < REACH * 0.75 and not _share_columns(pieces, members[index], members[other]):
                members[other] = np.concatenate([members[other], members[index]])
                courses[other] = _course(pieces, members[other], slope)
                break
        else:
            kept.append(int(index))
    return [members[i] for i in kept], [courses[i] for i in kept]


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
