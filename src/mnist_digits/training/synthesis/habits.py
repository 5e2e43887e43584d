"""Digits as other hands and countries write them: slashed, crossed, flagged, open, looped; MNIST's, or by strokes.

Each form is drawn on the canvas of `drawing.py`, and stays the digit that it was.
"""

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from mnist_digits.training.synthesis.drawing import (
    CANVAS_PX,
    Ink,
    Random,
    blank,
    bounds,
    draw_line,
    smooth_curve,
    stroke_width,
)

Points = Sequence[tuple[float, float]]


def _pen_width(ink: Ink) -> float:
    """Width of a line that looks as broad as the strokes: their soft edges and the line's own add to it."""
    return max(1.0, stroke_width(ink) - 1.5)


def _slash_zero(ink: Ink, random: Random) -> Ink:
    left, top, right, bottom = bounds(ink)
    reach = random.uniform(-0.2, 0.15, 2) * (right - left)
    ends = [(left - reach[0], bottom + reach[0]), (right + reach[1], top - reach[1])]
    return draw_line(ink, ends, _pen_width(ink))


def _cross_seven(ink: Ink, random: Random) -> Ink:
    left, top, right, bottom = bounds(ink)
    y = round(top + random.uniform(0.42, 0.62) * (bottom - top))
    stem = np.flatnonzero(ink[min(y, CANVAS_PX - 1)] > 0.5)
    if not len(stem):
        return ink
    half, slope = random.uniform(0.22, 0.4) * (right - left), random.uniform(-0.3, 0.15)
    x = float(stem.mean())
    return draw_line(ink, [(x - half, y - half * slope), (x + half, y + half * slope)], _pen_width(ink))


def _flag_one(ink: Ink, random: Random) -> Ink:
    """A one with a flag at its head, and sometimes a foot."""
    _, top, _, bottom = bounds(ink)
    height, width = bottom - top, _pen_width(ink)
    rows = slice(top, top + max(2, height // 10)), slice(bottom - max(2, height // 10), bottom)
    head, heel = (float(np.average(np.arange(CANVAS_PX), weights=ink[part].sum(0) + 1e-6)) for part in rows)
    share = random.uniform(0.15, 0.5)
    # A long and level flag would make a seven of it.
    length, steepness = share * height, random.uniform(max(0.5, 2.2 * share), 1.7)
    if random.random() < 0.2:
        # As long as in Germany or France, nearly a stem of its own.
        length, steepness = random.uniform(0.5, 0.85) * height, random.uniform(1, 2)
    angle = math.atan(steepness)
    flag = (head - length * math.cos(angle), top + length * math.sin(angle))
    ink = draw_line(ink, [(head, top + width / 3), flag], width)
    if random.random() < 0.5:
        half = random.uniform(0.15, 0.32) * height
        ink = draw_line(ink, [(heel - half, bottom - width / 3), (heel + half, bottom - width / 3)], width)
    return ink


def _written(strokes: Sequence[Points], random: Random) -> Ink:
    """Strokes by points in a box of 0 to 1, each point moved a little, drawn in the middle of the canvas."""
    ink, size = blank(), np.array([random.uniform(0.35, 0.5), 0.62])
    for points in strokes:
        moved = (np.array(points) + random.normal(0, 0.035, (len(points), 2)) - 0.5) * size + 0.5
        ink = draw_line(ink, list(map(tuple, smooth_curve(moved) * CANVAS_PX)), 4)
    return ink


def _open_four(ink: Ink, random: Random) -> Ink:
    """A four in two strokes that do not meet at the top, angular or round at the left."""
    left, knee = random.uniform(0, 0.3), (random.uniform(-0.05, 0.15), random.uniform(0.5, 0.68))
    end = (random.uniform(0.9, 1.2), knee[1] + random.uniform(-0.12, 0.08))
    top = left + random.uniform(0.4, 0.7)
    stem = [(top, random.uniform(-0.1, 0.35)), (top - random.uniform(0, 0.15), 0.7), (top - random.uniform(0, 0.25), 1)]
    if random.random() < 0.5:
        return _written([[(left, 0), knee], [knee, end], stem], random)
    return _written([[(left, 0), (knee[0], knee[1] - 0.15), (knee[0] + 0.2, knee[1]), end], stem], random)


def _looped_four(ink: Ink, random: Random) -> Ink:
    """A four in one stroke, which turns back above the bar and crosses it."""
    right, low = random.uniform(0.75, 1), random.uniform(0.5, 0.65)
    turn = [(right, low - 0.12), (right - 0.08, random.uniform(0.05, 0.3)), (right - 0.3, low)]
    return _written([[(random.uniform(0.25, 0.45), 0), (0.05, low), (0.4, low + 0.06), *turn, (0.45, 1)]], random)


def _open_nine(ink: Ink, random: Random) -> Ink:
    """A nine whose head does not close: at its top, or where it comes back to the stem."""
    stem = [(0.85, random.uniform(-0.05, 0.1)), (0.83, 0.5), (random.uniform(0.55, 0.85), 1)]
    head = [(0.4, 0.0), (0.05, random.uniform(0.15, 0.3)), (0.3, random.uniform(0.42, 0.52))]
    gap = random.uniform(0.12, 0.3)
    if random.random() < 0.5:
        return _written([[(0.85 - gap, 0.08), *head, (0.84, 0.35)], stem], random)
    return _written([[stem[0], *head, (0.85 - gap, 0.44)], stem], random)


def _tailed_nine(ink: Ink, random: Random) -> Ink:
    """A nine whose tail comes back across its stem."""
    head = [(0.8, 0.12), (0.45, 0), (0.1, 0.2), (0.4, 0.42), (0.82, 0.2)]
    tail = [(0.78, 0.7), (0.5, 1), (0.15, random.uniform(0.8, 0.95)), (0.4, 0.72), (random.uniform(0.85, 1.1), 0.6)]
    return _written([[*head, *tail]], random)


def _open_loop(ink: Ink, random: Random, directions: tuple[float, float], widest: float) -> Ink:
    """A closed loop, the upper one of two, with a gap where a hasty pen does not come back to where it began.

    directions: range of the gap's direction from the loop's middle, in degrees, counterclockwise from the right.
    widest: largest gap, as a share of the digit's height. The ink as it was, where there is no loop.
    """
    solid = (ink > 0.5).astype(np.uint8)
    # The first component is the strokes, the second the paper around them, if the corner is paper.
    count, labels, stats, middles = cv2.connectedComponentsWithStats(1 - solid, connectivity=4)
    loops = [n for n in range(1, count) if n != labels[0, 0] and stats[n, cv2.CC_STAT_AREA] >= MIN_LOOP_PX]
    if not loops:
        return ink
    loop = min(loops, key=lambda n: float(middles[n][1]))
    _, top, _, bottom = bounds(ink)
    angle, (x, y) = math.radians(random.uniform(*directions)), middles[loop]
    across = CANVAS_PIXELS[0] - x, CANVAS_PIXELS[1] - y
    ahead = across[0] * math.cos(angle) - across[1] * math.sin(angle)
    aside = np.abs(across[0] * math.sin(angle) + across[1] * math.cos(angle))
    # A small loop with a wide gap would be none.
    gap = min(random.uniform(0.05, widest) * (bottom - top), math.sqrt(stats[loop, cv2.CC_STAT_AREA]))
    lane = (ahead > 0) & (aside < gap / 2)
    inside = ahead[lane & (labels == loop)]
    # Only the stroke that bounds the loop there, not what lies beyond it.
    reach = (float(inside.max()) if len(inside) else 0.0) + 1.6 * stroke_width(ink)
    kept = 1 - cv2.GaussianBlur((lane & (ahead < reach)).astype(np.float32), (3, 3), 0)
    return np.asarray(ink * kept, np.float32)


def _open_zero(ink: Ink, random: Random) -> Ink:
    """A zero that does not close at its top."""
    return _open_loop(ink, random, (50, 130), 0.16)


def _unclosed_four(ink: Ink, random: Random) -> Ink:
    """A four that is closed in MNIST, opened at its top."""
    return _open_loop(ink, random, (75, 140), 0.22)


def _open_six(ink: Ink, random: Random) -> Ink:
    """A six whose loop does not come back to the stem."""
    return _open_loop(ink, random, (85, 135), 0.14)


def _open_eight(ink: Ink, random: Random) -> Ink:
    """An eight whose upper loop is open at its right."""
    return _open_loop(ink, random, (20, 80), 0.18)


def _unclosed_nine(ink: Ink, random: Random) -> Ink:
    """A nine that is closed in MNIST, its head opened at the top or where it comes back to the stem."""
    return _open_loop(ink, random, (15, 70), 0.18)


def _overrun_zero(ink: Ink, random: Random) -> Ink:
    """A zero whose ends cross at the top, so that one or both stick out."""
    _, top, _, bottom = bounds(ink)
    height, width = bottom - top, _pen_width(ink)
    columns = np.flatnonzero(ink[min(top + round(width / 2), CANVAS_PX - 1)] > 0.5)
    if not len(columns):
        return ink
    x = float(columns.mean())
    for side in (-1, 1)[: int(random.integers(1, 3))] if random.random() < 0.5 else (1,):
        along, rise = random.uniform(0.08, 0.3) * height * side, random.uniform(-0.12, 0.16) * height
        ink = draw_line(
            ink, [(x, top + width / 2), (x + along / 2, top + width / 2 - rise / 3), (x + along, top - rise)], width
        )
    return ink


def _dotted_zero(ink: Ink, random: Random) -> Ink:
    """A zero with a dot in it, as programmers write it."""
    left, top, right, bottom = bounds(ink)
    x, y = (left + right) / 2, (top + bottom) / 2
    return draw_line(ink, [(x, y - random.uniform(0, 2)), (x, y + random.uniform(0, 2))], _pen_width(ink))


def _hooked_seven(ink: Ink, random: Random) -> Ink:
    """A seven with a hook down from the left end of its bar."""
    _, top, _, bottom = bounds(ink)
    height, width = bottom - top, _pen_width(ink)
    rows, columns = np.nonzero(ink[top : top + max(2, height // 4)] > 0.5)
    if not len(columns):
        return ink
    first = int(columns.argmin())
    x, y = columns[first] + width / 2, top + float(rows[first])
    length = random.uniform(0.1, 0.24) * height
    return draw_line(ink, [(x, y), (x + random.uniform(-0.4, 0.3) * length, y + length)], width)


def _tailed(ink: Ink, random: Random) -> Ink:
    """A stroke that goes on at its lowest point in a curve to the left or, as in haste, to the right."""
    _, top, _, bottom = bounds(ink)
    height, width = bottom - top, _pen_width(ink)
    columns = np.flatnonzero(ink[max(0, bottom - 1 - round(width / 2))] > 0.5)
    if not len(columns):
        return ink
    x, y = float(columns.mean()), bottom - width / 2
    reach = random.uniform(0.15, 0.45) * height * (-1 if random.random() < 0.7 else 1)
    drop, rise = random.uniform(0, 0.1) * height, random.uniform(-0.05, 0.2) * height
    curve = smooth_curve(np.array([(x, y), (x + reach / 2, y + drop), (x + reach, y - rise)]))
    return draw_line(ink, list(map(tuple, curve)), width)


CANVAS_PIXELS = np.meshgrid(np.arange(CANVAS_PX, dtype=np.float32), np.arange(CANVAS_PX, dtype=np.float32))
"""Columns and rows of the canvas: float32 (CANVAS_PX, CANVAS_PX) each."""
MIN_LOOP_PX = 14
"""Smallest area of paper inside a loop, in pixels of the canvas."""
VARIANTS: dict[int, tuple[tuple[float, Callable[[Ink, Random], Ink]], ...]] = {
    0: ((0.08, _slash_zero), (0.02, _dotted_zero), (0.08, _open_zero), (0.08, _overrun_zero)),
    1: ((0.45, _flag_one),),
    4: ((0.2, _open_four), (0.1, _looped_four), (0.4, _unclosed_four), (0.06, _tailed)),
    6: ((0.06, _open_six),),
    7: ((0.25, _cross_seven), (0.12, _hooked_seven)),
    8: ((0.12, _open_eight),),
    9: ((0.1, _open_nine), (0.05, _tailed_nine), (0.12, _unclosed_nine), (0.15, _tailed)),
}
"""Digit → fractions of its drawings in forms that other hands and countries write, and the functions that draw them."""
