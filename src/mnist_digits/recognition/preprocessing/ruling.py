"""Lines of ruled and squared paper: found, and removed without breaking the strokes that cross them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mnist_digits.recognition.preprocessing.mnist_format import square

SEARCH_SIDE_PX = 400
"""Longest side of the reduced copy in which lines are searched."""

MIN_RULED_SIDE_PX = 64
"""In pictures with a shorter side than this, a line is as likely to be a stroke."""

MAX_THIN_SHARE = 0.4
"""More thin detail than this share of a picture is grain, not ruling."""

MAX_RULING_DARKNESS = 0.75
"""Darkness of a line, as a share of the writing's, below which it is the paper's."""

MAX_CANDIDATES = 400
"""Number of candidates for a line that are looked at, those with most votes first."""

MIN_PATTERN_LINES = 4
"""From so many ruled lines on, further ones like them are searched."""

MIN_RUN = 0.6
"""Minimum uninterrupted share of a line's way through the picture."""


@dataclass(frozen=True)
class RuledLine:
    """A line across the picture, in pixels of the reduced copy."""

    points: NDArray[np.float64]
    """Along the line, float (n, 2), x and y."""
    level: float
    """Its median darkness, 0 to 255."""
    run: float
    """Longest uninterrupted share of its way through the picture."""

    @property
    def distance_and_angle(self) -> tuple[float, float]:
        """As of Hough's transform: in pixels, and in radians from 0 to pi."""
        along = self.points[-1] - self.points[0]
        angle = math.atan2(along[0], -along[1]) % math.pi
        return float(self.points.mean(axis=0) @ (math.cos(angle), math.sin(angle))), angle


def remove_ruling(darkness: NDArray[np.uint8], noise: float) -> NDArray[np.uint8]:
    """Darkness without its ruling. darkness: uint8 (h, w), 0 = paper; noise: the level that paper alone reaches.

    Ruling is straight through most of the picture, and paler than the writing or repeated. Where a stroke crosses it,
    what is darker than the line stays, and gaps no wider than the line are closed again.
    """
    if min(darkness.shape) < MIN_RULED_SIDE_PX:
        return darkness
    factor = math.ceil(max(darkness.shape) / SEARCH_SIDE_PX)
    search = darkness
    if factor > 1:
        # The maximum of each block, so that a hair line keeps its darkness.
        search = cv2.dilate(darkness, square(factor))[factor // 2 :: factor, factor // 2 :: factor]
    lines, writing = _ruling(search, max(noise, 6.0))
    if not lines:
        return darkness
    thickness = 3 * factor
    level, upright = np.zeros_like(darkness), np.zeros_like(darkness)
    for line in lines:
        points = np.rint(factor * line.points + factor // 2).astype(np.int32)
        layer = upright if np.ptp(points[:, 1]) > np.ptp(points[:, 0]) else level
        cv2.polylines(layer, [points], False, _limit(line.level, writing) + noise, thickness)
    # Where two lines cross, the paper is as dark as both together.
    layer = cv2.add(level, upright)
    cleared = np.where(darkness > layer, darkness, 0).astype(np.uint8)
    closed = cv2.morphologyEx(cleared, cv2.MORPH_CLOSE, square(2 * thickness + 1))
    return np.where(layer > 0, cv2.min(darkness, closed), cleared)


def _limit(level: float, writing: float) -> float:
    """Darkness up to which a pixel on a line of this level is part of the line. writing: darkness of the strokes."""
    return min((level + writing) / 2, 1.6 * level) if level < MAX_RULING_DARKNESS * writing else 1.3 * level


def _ruling(search: NDArray[np.uint8], noise: float) -> tuple[list[RuledLine], float]:
    """The lines that are the paper's, and the darkness of the writing between them."""
    thin = (cv2.morphologyEx(search, cv2.MORPH_TOPHAT, square(5)) > noise).astype(np.uint8)
    if np.count_nonzero(thin) > MAX_THIN_SHARE * thin.size:
        return [], 0.0
    # Lines no darker than the grain are removed with the grain.
    lines = [line for line in _straight_lines(search, thin) if line.level > 1.5 * noise]
    if not lines:
        return [], 0.0
    writing = _writing_level(search, lines, noise)
    pale = [line for line in lines if line.level < MAX_RULING_DARKNESS * writing]
    if len(pale) <= len(lines) / 2:
        through = [line for line in lines if line.run > 0.9]
        lines = through if len(through) > 2 else pale
    return [*lines, *_more_lines(search, thin, lines)], writing


def _writing_level(search: NDArray[np.uint8], lines: list[RuledLine], noise: float) -> float:
    """Darkness of the writing between the lines; 0 where there is none."""
    mask = np.zeros_like(search)
    for line in lines:
        cv2.polylines(mask, [np.rint(line.points).astype(np.int32)], False, 255, 5)
    ink = search[(mask == 0) & (search > noise)]
    return float(np.percentile(ink, 75)) if len(ink) > 0.001 * search.size else 0.0


def _straight_lines(search: NDArray[np.uint8], thin: NDArray[np.uint8]) -> list[RuledLine]:
    """Distinct lines that run uninterrupted through most of the picture, by Hough's transform (Duda and Hart 1972).

    thin: uint8 (h, w), 1 where something narrow stands out.
    """
    shorter = min(search.shape)
    min_votes = max(8, 2 * shorter // 5)
    found = cv2.HoughLines(thin, 1, math.pi / 360, min_votes) if np.count_nonzero(thin) >= min_votes else None
    if found is None:
        return []
    lines = []
    for distance, angle in _distinct(found.reshape(-1, found.shape[-1])[:MAX_CANDIDATES, :2], search.shape):
        x, y = _pixels_of(distance, angle, search.shape)
        if len(x) >= shorter / 2:
            lines.append(_followed(search, x, y))
    return [line for line in lines if line.run > MIN_RUN]


def _more_lines(search: NDArray[np.uint8], thin: NDArray[np.uint8], lines: list[RuledLine]) -> list[RuledLine]:
    """Lines of the same direction and darkness that cut off a corner, or had too few votes among many candidates."""
    if len(lines) < MIN_PATTERN_LINES:
        return []
    shorter = min(search.shape)
    found = cv2.HoughLinesWithAccumulator(thin, 1, math.pi / 360, max(8, shorter // 8))
    if found is None:
        return []
    known, candidates = np.array([line.distance_and_angle for line in lines]), found[:, :2].astype(float)
    lengths = _lengths(candidates, search.shape)
    votes_per_px = np.where(lengths > shorter / 8, found[:, 2] / np.maximum(lengths, 1), 0)
    most = min(10 * MAX_CANDIDATES, np.count_nonzero(votes_per_px > 0.5))
    candidates = candidates[np.argsort(-votes_per_px, kind="stable")[:most]]
    turned = np.abs(candidates[:, 1:] - known[:, 1])
    parallel = np.minimum(turned, math.pi - turned).min(axis=1) < 0.1
    others = parallel & ~_same(candidates, known, search.shape).any(axis=1)
    levels = [line.level for line in lines]
    result = []
    for distance, angle in _distinct(candidates[others][:MAX_CANDIDATES], search.shape):
        line = _followed(search, *_pixels_of(distance, angle, search.shape))
        if line.run > MIN_RUN and min(levels) / 1.5 < line.level < 1.5 * max(levels):
            result.append(line)
    return result


def _lengths(lines: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Length in pixels of lines, (distance, angle) as float (n, 2), within a picture of this height and width."""
    distance, angle = lines.T
    cosine, sine = np.cos(angle), np.sin(angle)
    entered, left = np.full(len(lines), -np.inf), np.full(len(lines), np.inf)
    for start, step, side in ((distance * cosine, -sine, shape[1]), (distance * sine, cosine, shape[0])):
        step = np.where(np.abs(step) < 1e-9, 1e-9, step)
        ends = np.sort([-start / step, (side - start) / step], axis=0)
        entered, left = np.maximum(entered, ends[0]), np.minimum(left, ends[1])
    return np.maximum(left - entered, 0)


def _followed(search: NDArray[np.uint8], x: NDArray[np.int_], y: NDArray[np.int_]) -> RuledLine:
    """The line that runs near the given pixels, x (n,) and y (n,).

    It is a parabola through the darkest pixels, because paper bends, and so do lenses. It is uninterrupted where it is
    at least half as dark as its median; a text line is too broad to count as a line at all.
    """
    upright = np.ptp(y) > np.ptp(x)
    along, across = (y, x) if upright else (x, y)
    plane = search.T if upright else search
    values = _parallels(plane, along, across, range(-2, 3)).astype(np.float32)
    peaks = values.max(axis=1)
    # Strokes on the line are darker than the line and would draw it aside.
    weight = np.where(peaks < 1.5 * np.median(peaks), peaks, 0) + 1e-3
    squares = values * values + 1e-3
    darkest = across + squares @ np.arange(-2.0, 3.0) / squares.sum(axis=1)
    fitted = np.polyval(np.polyfit(along, darkest, 2, w=weight), along)
    found = _parallels(plane, along, np.rint(fitted).astype(int), (-1, 0, 1, -4, 4)).astype(np.float32)
    on, beside = found[:, :3].max(axis=1), found[:, 3:].min(axis=1)
    level = float(np.median(on))
    narrow = float((beside < level / 2).mean()) > 0.5
    run = _longest_run((on > level / 2).astype(np.uint8)) / len(x) if narrow else 0.0
    return RuledLine(np.stack([fitted, along] if upright else [along, fitted], axis=1), level, run)


def _parallels(
    plane: NDArray[np.uint8], along: NDArray[np.int_], across: NDArray[np.int_], offsets: Sequence[int]
) -> NDArray[np.uint8]:
    """The pixels on parallels of a line, n pixels at columns `along` and rows `across`: uint8 (n, offsets)."""
    rows = np.clip(across[:, None] + np.array(offsets), 0, plane.shape[0] - 1)
    return plane[rows, along[:, None]]


def _distinct(found: NDArray[np.floating], shape: tuple[int, ...]) -> list[tuple[float, float]]:
    """Lines as (distance, angle), float (n, 2), those with most votes first, without near repetitions."""
    same = _same(found.astype(float), found.astype(float), shape)
    kept: list[int] = []
    for number in range(len(found)):
        if not same[number, kept].any():
            kept.append(number)
    return [(float(distance), float(angle)) for distance, angle in found[kept]]


def _same(lines: NDArray[np.float64], others: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which lines hardly differ, bool (n, m); each (distance, angle), float (n, 2) and (m, 2)."""
    # Lines are compared where they pass the middle of the picture.
    middle = np.array([shape[1] / 2, shape[0] / 2])
    offset, other = (
        distance - middle @ np.stack([np.cos(angle), np.sin(angle)]) for distance, angle in (lines.T, others.T)
    )
    turned = np.abs(lines[:, 1:] - others[:, 1])
    near, flipped = np.abs(offset[:, None] - other) < 4, np.abs(offset[:, None] + other) < 4
    found: NDArray[np.bool_] = (near & (turned < 0.1)) | (flipped & (turned > math.pi - 0.1))
    return found


def _pixels_of(distance: float, angle: float, shape: tuple[int, ...]) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
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


def _longest_run(covered: NDArray[np.uint8]) -> int:
    """Length of the longest stretch of ones, uint8 (n,), in which no more than 3 zeros follow each other."""
    closed = cv2.morphologyEx(covered[None], cv2.MORPH_CLOSE, np.ones((1, 4), np.uint8))[0]
    ends = np.flatnonzero(np.diff(np.concatenate([[0], closed, [0]]).astype(np.int8)))
    return int((ends[1::2] - ends[::2]).max(initial=0))
