"""Middles of digits → rows of writing: sloping, curved, of any length, however close."""

from dataclasses import dataclass

import numpy as np

STEEPEST = 20
"""Degrees that rows may slope, either way."""

ENOUGH = 300
"""Middles by which the slope of all rows is told."""

REACH = 0.6
"""How far, in heights, a middle may lie from its row's."""

MEETING = 0.45
"""How far, in heights, the digits of a row may lie from another of which it is a part."""

NARROW = 0.3
"""Middles that lie no further apart than this, in heights, are of digits above one another."""


@dataclass(frozen=True)
class Row:
    """One row of writing."""

    members: np.ndarray
    """Indices of its digits, int (n,), from left to right."""
    course: np.ndarray
    """Coefficients of the parabola y(x) that its middle follows, in pixels, highest power first: float (3,)."""

    def slope_at(self, x: float) -> float:
        """Pixels down per pixel along."""
        bend, slope, _ = self.course
        return float(slope + 2 * bend * x)


def find_text_lines(places: np.ndarray, height: float) -> list[Row]:
    """Rows from top to bottom; every digit belongs to one, or, when it lies near none, to none.

    places: x, y of the digits' middles, float (n, 2). height: of a digit. Both in pixels.
    """
    if not len(places):
        return []
    slope = _common_slope(places, height)
    members = _follow(places, height, slope)
    for _ in range(3):
        members = [own for own in _assign(places, height, _courses(places, height, members, slope)) if len(own)]
    courses = [_course(places[own], height, slope) for own in members]
    rows = [
        Row(own[np.argsort(places[own, 0], kind="stable")], course)
        for own, course in zip(_assign(places, height, courses), courses, strict=True)
        if len(own)
    ]
    middle = float(places[:, 0].mean())
    return sorted(rows, key=lambda row: float(np.polyval(row.course, middle)))


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


def _follow(places: np.ndarray, height: float, slope: float) -> list[np.ndarray]:
    """Rows as they are met from left to right: a digit goes on with the row whose last digits point to it."""
    x, y = places.T
    y = y - slope * x
    rows: list[list[int]] = []
    # Of the last digits of each row: mean x, mean y, slope.
    ends = np.empty((len(places), 3))
    for digit in np.argsort(x):
        mean_x, mean_y, rise = ends[: len(rows)].T
        distance = np.abs(y[digit] - mean_y - rise * np.minimum(x[digit] - mean_x, 6 * height)) / height
        index = int(distance.argmin()) if len(rows) and distance.min() < REACH else len(rows)
        if index == len(rows):
            rows.append([])
        rows[index].append(int(digit))
        last = rows[index][-4:]
        dx, dy = x[last] - x[last].mean(), y[last] - y[last].mean()
        # Careful of slopes that few points suggest.
        rise = (dx @ dy) / (dx @ dx + (4 * height) ** 2)
        ends[index] = x[last].mean(), y[last].mean(), rise
    return [np.array(row) for row in rows]


def _course(places: np.ndarray, height: float, slope: float) -> np.ndarray:
    """A line or parabola through the middles of a row's digits, drawn towards the common slope when there are few."""
    x, y = places.T
    middle, span = x.mean(), np.ptp(x)
    degree = 2 if len(places) > 5 and span > 6 * height else 1
    scale = 4 * height
    u, v = (x - middle) / scale, y - slope * (x - middle)
    basis = np.stack([u**power for power in range(degree, -1, -1)], axis=1)
    ridge = np.diag([8.0, 1.0, 0.0][-degree - 1 :])
    # What lies off the row counts less.
    weights = 1 / (1 + (np.abs(v - np.median(v)) / (0.3 * height)) ** 2)
    found = np.linalg.solve(basis.T @ (weights[:, None] * basis) + ridge, basis.T @ (weights * v))
    # Back from u to x.
    *bend, rise, offset = found
    bent, rise = (bend[0] if bend else 0.0) / scale**2, rise / scale + slope
    return np.array([bent, rise - 2 * bent * middle, offset - rise * middle + bent * middle**2])


def _courses(places: np.ndarray, height: float, members: list[np.ndarray], slope: float) -> list[np.ndarray]:
    """The courses of rows, of which those are one that meet and have no digits above one another."""
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for own in sorted(members, key=len, reverse=True):
        x, y = places[own].T
        for index, (others, course) in enumerate(kept):
            away = np.abs(y - np.polyval(course, x)).mean() / height
            apart = np.abs(x[:, None] - places[others, 0]).min() / height
            if away < MEETING and apart > NARROW:
                joined = np.concatenate([others, own])
                kept[index] = joined, _course(places[joined], height, slope)
                break
        else:
            kept.append((own, _course(places[own], height, slope)))
    return [course for _, course in kept]


def _assign(places: np.ndarray, height: float, courses: list[np.ndarray]) -> list[np.ndarray]:
    """Each digit to the nearest course, if one is near enough."""
    if not courses:
        return []
    x, y = places.T
    away = np.abs(np.stack([np.polyval(course, x) for course in courses]) - y)
    nearest, near = away.argmin(axis=0), away.min(axis=0) < 0.9 * height
    return [np.flatnonzero(near & (nearest == index)) for index in range(len(courses))]
