"""Centres of digits → text lines: sloping, curved, of any length, however close."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_SLOPE_DEGREES = 20
"""Text lines may rise or fall by so much."""

MAX_SLOPE_SAMPLE = 300
"""Number of centres that the common slope is estimated from."""

MAX_JOINED_OFFSET_HEIGHTS = 0.6
"""Maximum vertical distance, in digit heights, of a centre from the line that it continues."""

MAX_MERGED_OFFSET_HEIGHTS = 0.45
"""Maximum mean vertical distance, in digit heights, of a line's centres from another baseline to be merged with it."""

MIN_PITCH_HEIGHTS = 0.3
"""Minimum horizontal distance, in digit heights, of two centres in one line."""

MAX_MEMBER_OFFSET_HEIGHTS = 0.9
"""Maximum vertical distance, in digit heights, of a digit's centre from the baseline of its line."""


@dataclass(frozen=True)
class TextLine:
    """One line of digits."""

    members: NDArray[np.int_]
    """Indices of its digits, int (n,), from left to right."""
    baseline: NDArray[np.float64]
    """Coefficients of the parabola y(x) through the digits' centres, in pixels, highest power first: float (3,)."""

    def slope_at(self, x: float) -> float:
        """Pixels down per pixel along."""
        bend, slope, _ = self.baseline
        return float(slope + 2 * bend * x)


def find_text_lines(centres: NDArray[np.floating], digit_height: float) -> list[TextLine]:
    """Text lines from top to bottom. Every digit belongs to one line, or, when it is near none, to none.

    centres: x, y of the digits, float (n, 2). digit_height: of a digit. Both in pixels.
    """
    if not len(centres):
        return []
    slope = _common_slope(centres, digit_height)
    members = _followed(centres, digit_height, slope)
    # Baselines are fitted and digits assigned in turns, as in k-means.
    for _ in range(3):
        baselines = _merged_baselines(centres, digit_height, members, slope)
        members = [own for own in _assigned(centres, digit_height, baselines) if len(own)]
    baselines = [_baseline(centres[own], digit_height, slope) for own in members]
    lines = [
        TextLine(own[np.argsort(centres[own, 0], kind="stable")], baseline)
        for own, baseline in zip(_assigned(centres, digit_height, baselines), baselines, strict=True)
        if len(own)
    ]
    middle = float(centres[:, 0].mean())
    return sorted(lines, key=lambda line: float(np.polyval(line.baseline, middle)))


def _common_slope(centres: NDArray[np.floating], digit_height: float) -> float:
    """The slope at which most centres, float (n, 2), line up: that of the sharpest projection profile."""
    if len(centres) < 3:
        return 0.0
    if len(centres) > MAX_SLOPE_SAMPLE:
        centres = centres[np.random.default_rng(0).choice(len(centres), MAX_SLOPE_SAMPLE, replace=False)]
    slopes = np.tan(np.radians(np.arange(-MAX_SLOPE_DEGREES, MAX_SLOPE_DEGREES + 0.5)))
    x, y = centres.T
    offsets = (y[None] - slopes[:, None] * x) / digit_height
    # Pairs of centres at the same height, within a quarter of a digit's; far pairs hardly count.
    near = np.exp(-(((x[:, None] - x) / (8 * digit_height)) ** 2))
    scores = np.array([(near * np.exp(-(((o[:, None] - o) / 0.25) ** 2))).sum() for o in offsets])
    # Level, unless another slope fits better than by chance.
    scores *= 1 - 0.1 * np.abs(slopes) / slopes.max()
    return float(slopes[scores.argmax()])


def _followed(centres: NDArray[np.floating], digit_height: float, slope: float) -> list[NDArray[np.int_]]:
    """First estimate of the lines' members: from left to right, each digit joins the line whose end points to it."""
    x, y = centres.T
    y = y - slope * x
    lines: list[list[int]] = []
    # Mean x, mean y and slope of the last four digits of each line.
    ends = np.empty((len(centres), 3))
    for digit in np.argsort(x):
        mean_x, mean_y, rise = ends[: len(lines)].T
        offset = np.abs(y[digit] - mean_y - rise * np.minimum(x[digit] - mean_x, 6 * digit_height)) / digit_height
        index = int(offset.argmin()) if len(lines) and offset.min() < MAX_JOINED_OFFSET_HEIGHTS else len(lines)
        if index == len(lines):
            lines.append([])
        lines[index].append(int(digit))
        last = lines[index][-4:]
        dx, dy = x[last] - x[last].mean(), y[last] - y[last].mean()
        # Shrunk towards 0, for few points tell little about a slope.
        rise = (dx @ dy) / (dx @ dx + (4 * digit_height) ** 2)
        ends[index] = x[last].mean(), y[last].mean(), rise
    return [np.array(line) for line in lines]


def _baseline(centres: NDArray[np.floating], digit_height: float, slope: float) -> NDArray[np.float64]:
    """A line or parabola through a text line's centres, by ridge regression towards the common slope."""
    x, y = centres.T
    middle, span = x.mean(), np.ptp(x)
    degree = 2 if len(centres) > 5 and span > 6 * digit_height else 1
    scale = 4 * digit_height
    u, v = (x - middle) / scale, y - slope * (x - middle)
    basis = np.stack([u**power for power in range(degree, -1, -1)], axis=1)
    ridge = np.diag([8.0, 1.0, 0.0][-degree - 1 :])
    # Outliers count less.
    weights = 1 / (1 + (np.abs(v - np.median(v)) / (0.3 * digit_height)) ** 2)
    found = np.linalg.solve(basis.T @ (weights[:, None] * basis) + ridge, basis.T @ (weights * v))
    # Back from u to x.
    *bend, rise, offset = found
    bent, rise = (bend[0] if bend else 0.0) / scale**2, rise / scale + slope
    return np.array([bent, rise - 2 * bent * middle, offset - rise * middle + bent * middle**2])


def _merged_baselines(
    centres: NDArray[np.floating], digit_height: float, members: list[NDArray[np.int_]], slope: float
) -> list[NDArray[np.float64]]:
    """The baselines of lines, those merged that are parts of one: which meet, and have no digits above one another."""
    kept: list[NDArray[np.int_]] = []
    baselines = np.empty((len(members), 3))
    for own in sorted(members, key=len, reverse=True):
        x, y = centres[own].T
        # All baselines at once: specks make hundreds of lines, and so tens of thousands of pairs.
        offsets = np.abs(baselines[: len(kept)] @ np.vander(x, 3).T - y).mean(axis=1) / digit_height
        for index in np.flatnonzero(offsets < MAX_MERGED_OFFSET_HEIGHTS).tolist():
            pitch = np.abs(x[:, None] - centres[kept[index], 0]).min() / digit_height
            if pitch > MIN_PITCH_HEIGHTS:
                kept[index] = np.concatenate([kept[index], own])
                break
        else:
            index = len(kept)
            kept.append(own)
        baselines[index] = _baseline(centres[kept[index]], digit_height, slope)
    return list(baselines[: len(kept)])


def _assigned(
    centres: NDArray[np.floating], digit_height: float, baselines: list[NDArray[np.float64]]
) -> list[NDArray[np.int_]]:
    """For each baseline the digits to which it is the nearest, if near enough."""
    if not baselines:
        return []
    x, y = centres.T
    offsets = np.abs(np.stack([np.polyval(baseline, x) for baseline in baselines]) - y)
    nearest, near = offsets.argmin(axis=0), offsets.min(axis=0) < MAX_MEMBER_OFFSET_HEIGHTS * digit_height
    return [np.flatnonzero(near & (nearest == index)) for index in range(len(baselines))]
