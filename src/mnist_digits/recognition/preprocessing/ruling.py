"""Lines of ruled and squared paper and of tables: found, and removed without breaking the strokes that cross them."""

import itertools
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

MAX_SPARSE_SHARE, COARSE_VOTES = 6, (6, math.pi / 180)
"""Of fewer pixels than so many times the votes of a line, votes are counted coarsely first, in steps of so many pixels
and radians: across a copy of SEARCH_SIDE_PX, all the votes for one line fall into two of these steps at most."""

MIN_PATTERN_LINES = 4
"""From so many ruled lines on, further ones like them are searched."""

MIN_RUN = 0.6
"""Minimum uninterrupted share of a line's way through the picture."""

MAX_WANDER_PX = 0.5
"""Mean distance, in pixels of the reduced copy, of a line's darkest pixels from its course: of digits that stand under
or beside one another it is about 1."""

MIN_FAMILY, MIN_FAMILY_RUN, MIN_FAMILY_SPACINGS = 6, 0.3, 5.0
"""So many parallel lines are ruling, however dark, if each is longer than this share of the picture's shorter side, and
than so many distances to the next."""

MAX_FAMILY_ANGLE, MAX_FAMILY_LEVEL_RATIO = 0.1, 1.5
"""Lines of one family differ by less, in radians and in darkness."""

MIN_COMB_SIDES, MIN_COMB_HEIGHT_PX, MIN_COMB_COVER = 3, 8, 0.9
"""The sides of a row of boxes are at least so many, so high, and uninterrupted over this share of their height."""

MAX_BRIDGE_PX = 16
"""Length of a gap in a stroke that is closed at most."""

MAX_COMB_SAMPLES = 40
"""Heights at which such a side is looked at."""


Pixels = tuple[NDArray[np.int_], NDArray[np.int_]]
"""Rows and columns of pixels, int (n,) each."""


@dataclass(frozen=True, eq=False)
class RuledLine:
    """A line across the picture, in pixels of the reduced copy."""

    points: NDArray[np.float64]
    """All the way through the picture, float (n, 2), x and y."""
    level: float
    """Its median darkness where it is uninterrupted, 0 to 255."""
    stretch: tuple[int, int]
    """Its longest uninterrupted stretch: the first of these points, and the one after the last."""
    upright: bool
    """Whether there is a point in each row; otherwise there is one in each column."""

    @property
    def length(self) -> int:
        """Of the stretch, in pixels."""
        return self.stretch[1] - self.stretch[0]

    @property
    def run(self) -> float:
        """The stretch as a share of the way through the picture."""
        return self.length / len(self.points)

    @property
    def angle(self) -> float:
        """In radians, from 0 to pi."""
        along = self.points[-1] - self.points[0]
        return math.atan2(along[1], along[0]) % math.pi


def remove_ruling(
    darkness: NDArray[np.uint8], noise: float, inner: tuple[slice, slice] = np.s_[:, :]
) -> NDArray[np.uint8]:
    """Darkness without its ruling. darkness: uint8 (h, w), 0 = paper; noise: the level that paper alone reaches.

    inner: rows and columns beyond which, and in a margin of 4 pixels within which, the darkness is known to be 0.
    Ruling is straight through most of the picture and paler than the writing or repeated, or a family of parallels.
    Where a stroke crosses it, what is darker than the line stays, and gaps no wider than the line are closed again.
    """
    if min(darkness.shape) < MIN_RULED_SIDE_PX:
        return darkness
    factor = math.ceil(max(darkness.shape) / SEARCH_SIDE_PX)
    search = darkness
    if factor > 1:
        # The maximum of each block, so that a hair line keeps its darkness.
        search = cv2.dilate(darkness, square(factor))[factor // 2 :: factor, factor // 2 :: factor]
        inner = np.s_[:, :]
    lines, writing = _ruling(search, max(noise, 6.0), inner)
    if not lines:
        return darkness
    courses = [_in_full_size(darkness, line, factor) for line in lines]
    rows = sorted((one for one in courses if not one.upright), key=lambda one: float(one.across.mean()))
    for upper, lower in itertools.pairwise(rows):
        courses += _comb(darkness, upper, lower, factor)
    return _cleared(darkness, courses, noise, writing)


@dataclass(frozen=True)
class _Course:
    """A line's course in the picture itself; for an upright one, rows are columns and the reverse."""

    upright: bool
    level: float
    """Its darkness, 0 to 255."""
    steps: NDArray[np.int_]
    """Columns: int (n,)."""
    across: NDArray[np.float64]
    """The line's middle in each, float (n,)."""
    thickness: float
    """In pixels, without its soft edges."""
    crossed: NDArray[np.bool_]
    """Where a stroke makes it thicker: bool (n,)."""

    def meets(self, occupied: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Where it crosses a line of the other direction: bool (n,). occupied: 1 by level lines, 2 by upright ones."""
        plane = occupied.T if self.upright else occupied
        rows = np.clip(np.rint(self.across).astype(int), 0, len(plane) - 1)
        found: NDArray[np.bool_] = plane[rows, self.steps] & (1 if self.upright else 2) > 0
        return found

    def pixels(self, shape: tuple[int, ...], margin: float, where: NDArray[np.bool_] | None = None) -> Pixels:
        """The line's pixels with a margin around it in a picture of (h, w); `where`: only at those steps, bool (n,)."""
        height, reach = shape[self.upright], self.thickness / 2 + margin
        rows = np.rint(self.across)[:, None] + np.arange(-math.ceil(reach), math.ceil(reach) + 1)
        near = (np.abs(rows - self.across[:, None]) <= reach) & (rows >= 0) & (rows < height)
        index, offset = np.nonzero(near if where is None else near & where[:, None])
        place = rows[index, offset].astype(int), self.steps[index]
        return place[::-1] if self.upright else place


def _cleared(
    darkness: NDArray[np.uint8], courses: Sequence[_Course], noise: float, writing: float
) -> NDArray[np.uint8]:
    """Darkness, uint8 (h, w), without these lines. writing: darkness of the strokes."""
    occupied = np.zeros_like(darkness)
    for course in courses:
        occupied[course.pixels(darkness.shape, 1.5)] |= 1 + course.upright
    limits, gaps = ([np.zeros_like(darkness) for _ in range(2)] for _ in range(2))
    for course in courses:
        # Its soft edges, then the line itself; of a dark one not where a stroke makes it thicker.
        pale = course.level < MAX_RULING_DARKNESS * writing
        plain = None if pale else ~course.crossed | course.meets(occupied)
        for margin, limit in ((1.5, course.level / 2), (0.5, _limit(course.level, writing))):
            place = course.pixels(darkness.shape, margin, plain)
            layer = limits[course.upright]
            layer[place] = np.maximum(layer[place], min(255, int(limit + noise)))
        if pale:
            gaps[course.upright][place] = 255
    # Where two lines cross, the paper is as dark as both together.
    cleared: NDArray[np.uint8] = np.where(darkness > cv2.add(limits[0], limits[1]), darkness, 0).astype(np.uint8)
    del occupied, limits
    reach = math.ceil(max(course.thickness for course in courses)) + 3
    result = cleared
    for gap, upright in zip(gaps, (False, True), strict=True):
        if gap.any():
            bridge = _bridged(np.ascontiguousarray(cleared.T), reach).T if upright else _bridged(cleared, reach)
            result = cv2.max(result, np.minimum(bridge, cv2.min(darkness, gap)))
    return result


def _bridged(plane: NDArray[np.uint8], reach: int) -> NDArray[np.uint8]:
    """What continues strokes, uint8 (h, w), over gaps of up to so many pixels between an upper and a lower part."""
    bridge = None
    for source in (plane, np.ascontiguousarray(plane[::-1])):
        reached = np.zeros_like(source)
        for step in range(min(reach, MAX_BRIDGE_PX)):
            reached[1:] = cv2.max(reached[:-1], source[:-1])
            if step % 2:
                # Strokes slant by up to a pixel in two.
                reached = cv2.dilate(reached, np.ones((1, 3), np.uint8))
        bridge = reached if bridge is None else cv2.min(bridge, np.ascontiguousarray(reached[::-1]))
    assert bridge is not None
    return bridge


def _in_full_size(darkness: NDArray[np.uint8], line: RuledLine, factor: int) -> _Course:
    """A line's course in the picture itself. factor: pixels per pixel of the reduced copy."""
    start, stop = (0, len(line.points)) if line.run > MIN_RUN else line.stretch
    points = line.points[max(0, start - 1) : stop + 1] * factor + (factor - 1) / 2
    plane, (across, along) = (darkness.T, points.T) if line.upright else (darkness, points.T[::-1])
    steps = np.arange(max(0, math.ceil(along[0] - factor)), min(plane.shape[1], int(along[-1]) + factor + 1))
    return _measured(plane, steps, np.interp(steps, along, across), line.level, line.upright, factor)


def _measured(
    plane: NDArray[np.uint8],
    steps: NDArray[np.int_],
    across: NDArray[np.float64],
    level: float,
    upright: bool,
    factor: int,
) -> _Course:
    """A line of this darkness that runs near `across`, float (n,), in the columns `steps`, int (n,)."""
    reach = factor + 2
    offsets = np.arange(-reach, reach + 1)
    values = np.minimum(_parallels(plane, steps, np.rint(across).astype(int), offsets), level).astype(np.float32)
    dark = values > level / 2
    count = dark.sum(axis=1)
    width = float(np.median(count[count > 0])) if dark.any() else 1.0
    squares = values * values + 1e-3
    moved = np.rint(across) + squares @ offsets / squares.sum(axis=1)
    trusted = (count > 0) & (count <= 1.5 * width + 0.5)
    away = factor / 2
    # Through fewer than three points there is no parabola: where two lines meet, a side between them is a pixel long.
    if trusted.sum() > max(2, len(steps) / 4):
        across = np.polyval(np.polyfit(steps - steps[0], moved, 2, w=trusted + 1e-3), steps - steps[0])
        away = float(np.mean(np.abs(moved - across)[trusted]))
        dark = _parallels(plane, steps, np.rint(across).astype(int), offsets) > level / 2
    # Only what touches the line makes it thicker.
    touching = (
        sum(np.minimum.accumulate(side, axis=1).sum(axis=1) for side in (dark[:, reach:], dark[:, reach::-1])) - 1
    )
    crossed = touching > width + max(1.0, 0.35 * width)
    return _Course(upright, level, steps, across, min(3.0 * factor, width + 2 * away), crossed)


def _comb(darkness: NDArray[np.uint8], upper: _Course, lower: _Course, factor: int) -> list[_Course]:
    """The sides of a row of boxes between two level lines: upright, of equal distances, ending at both."""
    first, last = max(upper.steps[0], lower.steps[0]), min(upper.steps[-1], lower.steps[-1])
    if last - first < MIN_COMB_SIDES * MIN_COMB_HEIGHT_PX:
        return []
    steps = np.arange(first, last + 1)
    top, bottom = (one.across[first - one.steps[0] : last + 1 - one.steps[0]] for one in (upper, lower))
    height = float(np.median(bottom - top))
    if height < MIN_COMB_HEIGHT_PX or height > len(steps) / 2:
        return []
    level, tilt = min(upper.level, lower.level), -float(np.polyfit(steps, top, 1)[0])
    middle = np.linspace(0.1, 0.9, min(MAX_COMB_SAMPLES, int(height)))
    covered = _columns_covered(darkness, steps, top, bottom, tilt, middle, level) > MIN_COMB_COVER
    for beyond in (np.arange(-0.35, -0.15, 0.05), np.arange(1.15, 1.35, 0.05)):
        covered &= _columns_covered(darkness, steps, top, bottom, tilt, beyond, level) < 0.5
    starts = np.flatnonzero(np.diff(np.concatenate([[0], covered.astype(np.int8), [0]])))
    places = (starts[::2] + starts[1::2] - 1) / 2
    if len(places) < MIN_COMB_SIDES:
        return []
    spacing = float(np.median(np.diff(places)))
    regular = (np.abs(np.abs(places[:, None] - places) - spacing) < 1 + 0.08 * spacing).any(axis=1)
    if regular.sum() < MIN_COMB_SIDES:
        return []
    sides = []
    for place in np.rint(places[regular]).astype(int):
        rows = np.arange(max(0, int(top[place]) - 1), min(len(darkness), int(bottom[place]) + 2))
        sides.append(_measured(darkness.T, rows, steps[place] + tilt * (rows - top[place]), level, True, factor))
    return sides


def _columns_covered(
    darkness: NDArray[np.uint8],
    steps: NDArray[np.int_],
    top: NDArray[np.float64],
    bottom: NDArray[np.float64],
    tilt: float,
    heights: NDArray[np.float64],
    level: float,
) -> NDArray[np.float64]:
    """Share of some heights, 0 at the top and 1 at the bottom, at which a column of a strip is dark: float (n,)."""
    rows = top + heights[:, None] * (bottom - top)
    columns = np.rint(steps + tilt * (rows - top)).astype(int)
    rows = np.clip(np.rint(rows).astype(int), 0, len(darkness) - 1)
    dark = (darkness[rows, np.clip(columns, 0, darkness.shape[1] - 1)] > level / 2).astype(np.uint8)
    covered: NDArray[np.float64] = cv2.dilate(dark, np.ones((1, 3), np.uint8)).mean(axis=0)
    return covered


def _limit(level: float, writing: float) -> float:
    """Darkness up to which a pixel on a line of this level is part of the line. writing: darkness of the strokes."""
    return min((level + writing) / 2, 1.6 * level) if level < MAX_RULING_DARKNESS * writing else 1.3 * level


def _ruling(
    search: NDArray[np.uint8], noise: float, inner: tuple[slice, slice] = np.s_[:, :]
) -> tuple[list[RuledLine], float]:
    """The lines that are the paper's, and the darkness of the writing between them. inner: as of `remove_ruling`."""
    thin = np.zeros_like(search)
    thin[inner] = cv2.morphologyEx(search[inner], cv2.MORPH_TOPHAT, square(5)) > noise
    if np.count_nonzero(thin) > MAX_THIN_SHARE * thin.size:
        return [], 0.0
    # Lines no darker than the grain are removed with the grain.
    lines = [line for line in _straight_lines(search, thin) if line.level > 1.5 * noise]
    family = _family([line for line in lines if line.length > MIN_FAMILY_RUN * min(search.shape)])
    single = [line for line in lines if line.run > MIN_RUN and line not in family]
    if not family and not single:
        return [], 0.0
    writing = _writing_level(search, [*family, *single], noise)
    pale = [line for line in single if line.level < MAX_RULING_DARKNESS * writing]
    if len(pale) <= len(single) / 2:
        through = [line for line in single if line.run > 0.9]
        single = through if len(through) > 2 or family else pale
    return [*family, *single, *_more_lines(search, thin, [*family, *single])], writing


def _family(lines: Sequence[RuledLine]) -> list[RuledLine]:
    """Those of the lines that have enough parallels of about their darkness, and are long for their distances."""
    if len(lines) < MIN_FAMILY:
        return []
    angles, levels = np.array([line.angle for line in lines]), np.array([line.level for line in lines])
    turned = np.abs(angles[:, None] - angles)
    like = (np.minimum(turned, math.pi - turned) < MAX_FAMILY_ANGLE) & (
        np.abs(np.log(levels[:, None] / levels)) < math.log(MAX_FAMILY_LEVEL_RATIO)
    )
    middles = np.array([line.points[sum(line.stretch) // 2] for line in lines])
    kept = []
    for number, line in enumerate(lines):
        own = np.flatnonzero(like[number])
        across = np.sort(middles[own] @ (-math.sin(line.angle), math.cos(line.angle)))
        if len(own) >= MIN_FAMILY and line.length > MIN_FAMILY_SPACINGS * np.median(np.diff(across)):
            kept.append(line)
    return kept


def _more_lines(search: NDArray[np.uint8], thin: NDArray[np.uint8], lines: Sequence[RuledLine]) -> list[RuledLine]:
    """Lines like those known that cut off a corner, or had too few votes among many candidates."""
    if len(lines) < MIN_PATTERN_LINES:
        return []
    left = thin.copy()
    for line in lines:
        cv2.polylines(left, [np.rint(line.points).astype(np.int32)], False, 0, 5)
    found = cv2.HoughLines(left, 1, math.pi / 360, max(8, min(search.shape) // 8)) if left.any() else None
    if found is None:
        return []
    found = found.reshape(-1, found.shape[-1])[: 10 * MAX_CANDIDATES, :2]
    # Hough's angle is that of the normal.
    turned = np.abs((found[:, 1:] + math.pi / 2) % math.pi - [line.angle for line in lines])
    parallel = np.minimum(turned, math.pi - turned).min(axis=1) < MAX_FAMILY_ANGLE
    levels = [line.level for line in lines]
    more = []
    for distance, angle in _distinct(found[parallel][:MAX_CANDIDATES], search.shape):
        x, y = _pixels_of(distance, angle, search.shape)
        more_line = _followed(search, x, y) if len(x) > min(search.shape) / 8 else None
        if more_line and more_line.run > MIN_RUN and min(levels) / 1.5 < more_line.level < 1.5 * max(levels):
            more.append(more_line)
    return more


def _writing_level(search: NDArray[np.uint8], lines: list[RuledLine], noise: float) -> float:
    """Darkness of the writing between the lines; 0 where there is none."""
    mask = np.zeros_like(search)
    for line in lines:
        cv2.polylines(mask, [np.rint(line.points).astype(np.int32)], False, 255, 5)
    ink = search[(mask == 0) & (search > noise)]
    return float(np.percentile(ink, 75)) if len(ink) > 0.001 * search.size else 0.0


def _straight_lines(search: NDArray[np.uint8], thin: NDArray[np.uint8]) -> list[RuledLine]:
    """Distinct straight lines, by Hough's transform (Duda and Hart 1972).

    thin: uint8 (h, w), 1 where something narrow stands out.
    """
    shorter = min(search.shape)
    min_votes = max(8, int(MIN_FAMILY_RUN * shorter))
    pixels = np.count_nonzero(thin)
    if pixels < min_votes:
        return []
    # The empty rows and columns beyond, right and below, would only make the table of votes larger.
    x, y, width, height = cv2.boundingRect(thin)
    seen = thin[: y + height, : x + width]
    if pixels < MAX_SPARSE_SHARE * min_votes and cv2.HoughLines(seen, *COARSE_VOTES, min_votes // 2) is None:
        return []
    found = cv2.HoughLines(seen, 1, math.pi / 360, min_votes)
    if found is None:
        return []
    lines = []
    for distance, angle in _distinct(found.reshape(-1, found.shape[-1])[:MAX_CANDIDATES, :2], search.shape):
        x, y = _pixels_of(distance, angle, search.shape)
        if len(x) >= shorter / 2:
            lines.append(_followed(search, x, y))
    return [line for line in lines if line is not None]


def _followed(search: NDArray[np.uint8], x: NDArray[np.int_], y: NDArray[np.int_]) -> RuledLine | None:
    """The line that runs near the given pixels, x (n,) and y (n,); None where they are no line.

    It is a parabola through the darkest pixels, because paper bends, and so do lenses. It is uninterrupted where it is
    at least half as dark as its median; a text line is too broad to count as a line at all, and digits that stand under
    one another are now at this side of their middle and now at that.
    """
    upright = bool(np.ptp(y) > np.ptp(x))
    along, across = (y, x) if upright else (x, y)
    if along[0] > along[-1]:
        # Found row by row, though it is as near to a level line.
        along, across = along[::-1], across[::-1]
    plane = search.T if upright else search
    offsets = np.arange(-2, 3)
    values = _parallels(plane, along, across, offsets).astype(np.float32)
    peaks = values.max(axis=1)
    # Strokes on the line are darker than the line and would draw it aside.
    weight = np.where(peaks < 1.5 * _median(peaks), peaks, 0) + 1e-3
    squares = values * values + 1e-3
    darkest = across + squares @ offsets / squares.sum(axis=1)
    fitted = _parabola(along, darkest, weight)
    found = _parallels(plane, along, np.rint(fitted).astype(int), (-1, 0, 1, -4, 4)).astype(np.float32)
    on, beside = found[:, :3].max(axis=1), found[:, 3:].min(axis=1)
    # A line that ends early is judged by itself.
    level = _median(on)
    level = _median(on[on > level / 2])
    covered = on > level / 2
    stretch = _longest_run(covered.astype(np.uint8))
    own = np.s_[stretch[0] : stretch[1]]
    narrow = float((beside[own] < level / 2).mean()) > 0.5 if stretch[1] > stretch[0] else False
    steady = float(np.abs(darkest - fitted)[own][covered[own]].mean()) < MAX_WANDER_PX if narrow else False
    if not steady:
        return None
    return RuledLine(np.stack([fitted, along] if upright else [along, fitted], axis=1), level, stretch, upright)


def _median(values: NDArray[np.floating]) -> float:
    """The median of (n,) values: NumPy's own takes five times as long for a few hundred; NaN for none."""
    if not len(values):
        return math.nan
    middle = len(values) // 2
    parted = np.partition(values, middle)
    return float(parted[middle] if len(values) % 2 else (parted[:middle].max() + parted[middle]) / 2)


def _parabola(x: NDArray[np.int_], y: NDArray[np.floating], weight: NDArray[np.floating]) -> NDArray[np.float64]:
    """The parabola through weighted points, (n,) each, by least squares: its values at x, float64 (n,)."""
    # Between -1 and 1, where the powers are of one size and the normal equations are well conditioned.
    scaled = (2.0 * x - x[0] - x[-1]) / max(1, abs(int(x[-1]) - int(x[0])))
    powers = np.stack([np.ones_like(scaled), scaled, scaled * scaled])
    weighted = powers * np.square(weight, dtype=np.float64)
    coefficients: NDArray[np.float64] = np.linalg.solve(weighted @ powers.T, weighted @ y)
    return coefficients @ powers


def _parallels(
    plane: NDArray[np.uint8],
    along: NDArray[np.int_],
    across: NDArray[np.int_],
    offsets: Sequence[int] | NDArray[np.int_],
) -> NDArray[np.uint8]:
    """The pixels on parallels of a line, n pixels at columns `along` and rows `across`: uint8 (n, offsets).

    Outside there is 0.
    """
    rows = across[:, None] + np.array(offsets)
    inside = (rows >= 0) & (rows < len(plane))
    return plane[np.where(inside, rows, 0), along[:, None]] * inside


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


def _longest_run(covered: NDArray[np.uint8]) -> tuple[int, int]:
    """Begin and end of the longest stretch of ones, uint8 (n,), in which no more than 3 zeros follow each other."""
    closed = cv2.morphologyEx(covered[None], cv2.MORPH_CLOSE, np.ones((1, 4), np.uint8))[0]
    ends = np.flatnonzero(np.diff(np.concatenate([[0], closed, [0]]).astype(np.int8)))
    if not len(ends):
        return 0, 0
    longest = int(np.argmax(ends[1::2] - ends[::2]))
    return int(ends[2 * longest]), int(ends[2 * longest + 1])
