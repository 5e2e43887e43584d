"""Lines of ruled and squared paper: found, and taken out without breaking the strokes that cross them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

SEARCH_PX = 400
"""Longest side of the reduced copy in which lines are searched."""

SMALLEST = 64
"""In pictures with a shorter side than this, a line is as likely a stroke."""

MOST_RULED = 0.4
"""More thin detail than this share of a picture is grain, not ruling."""

PALE = 0.75
"""A line darkened less than this share of the writing is the paper's."""

MOST = 400
"""So many candidates for a line are looked at, the strongest first."""

FAMILY = 4
"""So many lines of the paper are a pattern, of which there may be more."""


@dataclass(frozen=True)
class Line:
    """A line across the picture, in pixels of the reduced copy."""

    course: np.ndarray
    """Points along it, float (n, 2), x and y."""
    level: float
    """Its usual darkness, 0 to 255."""
    run: float
    """Longest uninterrupted share of its way through the picture."""

    @property
    def place(self) -> tuple[float, float]:
        """Distance and angle, in pixels and radians from 0 to pi, as Hough's."""
        along = self.course[-1] - self.course[0]
        angle = math.atan2(along[0], -along[1]) % math.pi
        return float(self.course.mean(axis=0) @ (math.cos(angle), math.sin(angle))), angle


def remove_ruling(darkness: np.ndarray, noise: float) -> np.ndarray:
    """Darkness without its ruling. darkness: uint8 (h, w), 0 = paper; noise: what paper alone reaches.

    Ruling is what runs straight through most of the picture and is paler than the writing, or is
    repeated. Where a stroke crosses, what is darker than the line stays, and gaps no wider than the
    line are closed again.
    """
    if min(darkness.shape) < SMALLEST:
        return darkness
    factor = math.ceil(max(darkness.shape) / SEARCH_PX)
    search = darkness
    if factor > 1:
        # The darkest of each block, so that a hair line keeps its darkness.
        search = cv2.dilate(darkness, _square(factor))[factor // 2 :: factor, factor // 2 :: factor]
    lines, writing = _ruling(search, max(noise, 6.0))
    if not lines:
        return darkness
    thickness = 3 * factor
    level, upright = np.zeros_like(darkness), np.zeros_like(darkness)
    for line in lines:
        course = np.rint(factor * line.course + factor // 2).astype(np.int32)
        layer = upright if np.ptp(course[:, 1]) > np.ptp(course[:, 0]) else level
        cv2.polylines(layer, [course], False, _limit(line.level, writing) + noise, thickness)
    # Where two lines cross, the paper is as dark as both together.
    layer = cv2.add(level, upright)
    cleared = np.where(darkness > layer, darkness, 0).astype(np.uint8)
    closed = cv2.morphologyEx(cleared, cv2.MORPH_CLOSE, _square(2 * thickness + 1))
    return np.where(layer > 0, cv2.min(darkness, closed), cleared)


def _limit(level: float, writing: float) -> float:
    """Up to where a pixel on a line of such darkness is the line's."""
    return min((level + writing) / 2, 1.6 * level) if level < PALE * writing else 1.3 * level


def _square(side: int) -> np.ndarray:
    return np.ones((side, side), np.uint8)


def _ruling(search: np.ndarray, noise: float) -> tuple[list[Line], float]:
    """The lines that are the paper's, and how dark the writing between them is."""
    thin = (cv2.morphologyEx(search, cv2.MORPH_TOPHAT, _square(5)) > noise).astype(np.uint8)
    if np.count_nonzero(thin) > MOST_RULED * thin.size:
        return [], 0.0
    # What is no darker than the grain is taken out with the grain.
    lines = [line for line in _straight_lines(search, thin) if line.level > 1.5 * noise]
    if not lines:
        return [], 0.0
    writing = _writing_level(search, lines, noise)
    pale = [line for line in lines if line.level < PALE * writing]
    if len(pale) <= len(lines) / 2:
        through = [line for line in lines if line.run > 0.9]
        lines = through if len(through) > 2 else pale
    return [*lines, *_more_lines(search, thin, lines)], writing


def _writing_level(search: np.ndarray, lines: list[Line], noise: float) -> float:
    """How dark the writing between the lines is; 0 where there is none."""
    mask = np.zeros_like(search)
    for line in lines:
        cv2.polylines(mask, [np.rint(line.course).astype(np.int32)], False, 255, 5)
    ink = search[(mask == 0) & (search > noise)]
    return float(np.percentile(ink, 75)) if len(ink) > 0.001 * search.size else 0.0


def _straight_lines(search: np.ndarray, thin: np.ndarray) -> list[Line]:
    """Distinct lines that run uninterrupted through most of the picture (Duda and Hart 1972).

    thin: uint8 (h, w), 1 where something narrow stands out.
    """
    shorter = min(search.shape)
    least = max(8, 2 * shorter // 5)
    found = cv2.HoughLines(thin, 1, math.pi / 360, least) if np.count_nonzero(thin) >= least else None
    if found is None:
        return []
    lines = []
    for distance, angle in _distinct(found.reshape(-1, found.shape[-1])[:MOST, :2], search.shape):
        x, y = _places(distance, angle, search.shape)
        if len(x) >= shorter / 2:
            lines.append(_followed(search, x, y))
    return [line for line in lines if line.run > 0.6]


def _more_lines(search: np.ndarray, thin: np.ndarray, lines: list[Line]) -> list[Line]:
    """What is like the lines in direction and darkness, but cuts off a corner, or was lost among too many."""
    if len(lines) < FAMILY:
        return []
    shorter = min(search.shape)
    found = cv2.HoughLinesWithAccumulator(thin, 1, math.pi / 360, max(8, shorter // 8))
    if found is None:
        return []
    known, candidates = np.array([line.place for line in lines]), found[:, :2].astype(float)
    ways = _ways(candidates, search.shape)
    covered = np.where(ways > shorter / 8, found[:, 2] / np.maximum(ways, 1), 0)
    most = min(10 * MOST, np.count_nonzero(covered > 0.5))
    candidates = candidates[np.argsort(-covered, kind="stable")[:most]]
    turned = np.abs(candidates[:, 1:] - known[:, 1])
    alike = np.minimum(turned, math.pi - turned).min(axis=1) < 0.1
    others = alike & ~_same(candidates, known, search.shape).any(axis=1)
    levels = [line.level for line in lines]
    result = []
    for distance, angle in _distinct(candidates[others][:MOST], search.shape):
        line = _followed(search, *_places(distance, angle, search.shape))
        if line.run > 0.6 and min(levels) / 1.5 < line.level < 1.5 * max(levels):
            result.append(line)
    return result


def _ways(lines: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """How many pixels lines, (distance, angle) as float (n, 2), run through a picture of this height and width."""
    distance, angle = lines.T
    cosine, sine = np.cos(angle), np.sin(angle)
    entered, left = np.full(len(lines), -np.inf), np.full(len(lines), np.inf)
    for start, step, side in ((distance * cosine, -sine, shape[1]), (distance * sine, cosine, shape[0])):
        step = np.where(np.abs(step) < 1e-9, 1e-9, step)
        ends = np.sort([-start / step, (side - start) / step], axis=0)
        entered, left = np.maximum(entered, ends[0]), np.minimum(left, ends[1])
    return np.maximum(left - entered, 0)


def _followed(search: np.ndarray, x: np.ndarray, y: np.ndarray) -> Line:
    """The line that runs near the given pixels, x (n,) and y (n,).

    Its course is a parabola through the darkest pixels: paper bends, and so do lenses. It runs on
    wherever it is at least half as dark as usual; a row of writing, which is broad, does not run at all.
    """
    upright = np.ptp(y) > np.ptp(x)
    along, across = (y, x) if upright else (x, y)
    plane = search.T if upright else search
    values = _beside(plane, along, across, range(-2, 3)).astype(np.float32)
    peaks = values.max(axis=1)
    # Pen on the line is darker than the line and would draw it aside.
    weight = np.where(peaks < 1.5 * np.median(peaks), peaks, 0) + 1e-3
    squares = values * values + 1e-3
    darkest = across + squares @ np.arange(-2.0, 3.0) / squares.sum(axis=1)
    course = np.polyval(np.polyfit(along, darkest, 2, w=weight), along)
    found = _beside(plane, along, np.rint(course).astype(int), (-1, 0, 1, -4, 4)).astype(np.float32)
    on, temporary = found[:, :3].max(axis=1), found[:, 3:].min(axis=1)
    level = float(np.median(on))
    narrow = float((temporary < level / 2).mean()) > 0.5
    run = _longest_run((on > level / 2).astype(np.uint8)) / len(x) if narrow else 0.0
    return Line(np.stack([course, along] if upright else [along, course], axis=1), level, run)


def _beside(plane: np.ndarray, along: np.ndarray, across: np.ndarray, offsets: Sequence[int]) -> np.ndarray:
    """What lies on a course, n pixels, and on its parallels at the offsets: uint8 (n, offsets)."""
    rows = np.clip(across[:, None] + np.array(offsets), 0, plane.shape[0] - 1)
    return plane[rows, along[:, None]]


def _distinct(found: np.ndarray, shape: tuple[int, ...]) -> list[tuple[float, float]]:
    """Lines as (distance, angle), float (n, 2) with the strongest first, without near repetitions."""
    same = _same(found.astype(float), found.astype(float), shape)
    kept: list[int] = []
    for number in range(len(found)):
        if not same[number, kept].any():
            kept.append(number)
    return [(float(distance), float(angle)) for distance, angle in found[kept]]


def _same(lines: np.ndarray, others: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which lines are hardly apart, bool (n, m); each (distance, angle), float (n, 2) and (m, 2)."""
    # Two lines are told apart where they pass the picture's middle.
    middle = np.array([shape[1] / 2, shape[0] / 2])
    offset, other = (
        distance - middle @ np.stack([np.cos(angle), np.sin(angle)]) for distance, angle in (lines.T, others.T)
    )
    turned = np.abs(lines[:, 1:] - others[:, 1])
    near, flipped = np.abs(offset[:, None] - other) < 4, np.abs(offset[:, None] + other) < 4
    found: np.ndarray = (near & (turned < 0.1)) | (flipped & (turned > math.pi - 0.1))
    return found


def _places(distance: float, angle: float, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The pixels, x (n,) and y (n,), of the line x cos(angle) + y sin(angle) = distance."""
    height, width = shape
    cosine, sine = math.cos(angle), math.sin(angle)
    if abs(sine) > abs(cosine):
        x = np.arange(width)
        y = np.rint((distance - x * cosine) / sine).astype(int)
    else:
        y = np.arange(height)
        x = np.rint((distance - y * sine) / cosine).astype(int)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return x[inside], y[inside]


def _longest_run(covered: np.ndarray) -> int:
    """Length of the longest stretch of ones, uint8 (n,), that is interrupted by no more than 3 in a row."""
    closed = cv2.morphologyEx(covered[None], cv2.MORPH_CLOSE, np.ones((1, 4), np.uint8))[0]
    ends = np.flatnonzero(np.diff(np.concatenate([[0], closed, [0]]).astype(np.int8)))
    return int((ends[1::2] - ends[::2]).max(initial=0))
